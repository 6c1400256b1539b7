"""
Classify requests for signals, counted by client address and path.

The counts of an address are its distinct paths, declined payments, webhooks with a bad signature,
failed logins, and paths that vulnerability scanners probe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import IntEnum

import numpy as np

from bursar.accesslog.parsing.byte_search import Ints, Mask, U, Words

#: The counts of an address and a path; the last two are maxima.
MEASURES = (
    "requests",
    "attempts",
    "declined",
    "bad_signatures",
    "failed_logins",
    "probes",
    "missing",
    "since_first",
    "last",
)
MAXIMA = 2
#: Above all epoch seconds; `since_first` is the difference to it, so that its maximum is the first request.
FAR_FUTURE = 1 << 40
_SLOT_BITS = 16


class PathCategory(IntEnum):
    """The kind of endpoint a path belongs to."""

    NOTHING = 0
    PAYMENT = 1
    WEBHOOK = 2
    LOGIN = 3
    LOGIN_FORM = 4
    """A failed login form responds with 200 and the form."""

    PROBE = 5


_PROBE = re.compile(
    rb"/\.(?:env|git|svn|hg|aws|ssh|htpasswd|htaccess|ds_store|vscode|idea)\b|/wp-(?:login|admin|content|includes|config)"
    rb"|/xmlrpc\.php|/phpmyadmin|/pma/|/adminer|/cgi-bin/|/vendor/phpunit|/actuator|/solr/|/hnap1|/boaform|/owa/"
    rb"|/manager/html|/server-status|/\.well-known/\.|\.\./|%2e%2e|/etc/passwd|/shell|/eval-stdin|/config\.(?:json|php|ya?ml)"
    rb"|/backup|\.(?:sql|bak|old|swp)$|/telescope|/_ignition|/autodiscover|/remote/login|/dana-na|/setup\.cgi"
    rb"|union(?:%20|\+)select|<script|%3cscript|\$\{jndi",
)
_LOGIN = re.compile(
    rb"/(?:log-?in|sign-?in|session|sessions|auth|authenticate|oauth/token|token)(?:/[a-z]{0,12})?/?$"
)
_WEBHOOK = re.compile(rb"/(?:web)?hooks?(?:/|$)|/ipn(?:/|$)")
_PAYMENT = re.compile(
    rb"/(?:checkout|charges?|payments?|payment[_-]intents|pay|orders/[^/]+/(?:pay|charge)|cards?|setup[_-]intents|purchase|donate)(?:/|$)"
)


def path_category(path: bytes) -> PathCategory:
    """Return the category of *path* (without its query)."""
    lower = path.lower()
    if _PROBE.search(lower):
        return PathCategory.PROBE
    if _LOGIN.search(lower):
        return (
            PathCategory.LOGIN if b"api" in lower or b"token" in lower else PathCategory.LOGIN_FORM
        )
    if _WEBHOOK.search(lower):
        return PathCategory.WEBHOOK
    return PathCategory.PAYMENT if _PAYMENT.search(lower) else PathCategory.NOTHING


class PathCategoryCache:
    """Direct-mapped cache of path categories by path hash; paths with equal hashes share a category."""

    def __init__(self) -> None:
        self._key = np.zeros(1 << _SLOT_BITS, U)
        self._category = np.zeros(1 << _SLOT_BITS, np.int64)

    def categories(self, key: Words, texts: Callable[[Ints], Iterable[bytes]]) -> Ints:
        """Return the category of each *key*'s path; *texts* returns the paths at some positions."""
        slot = (key >> U(64 - _SLOT_BITS)).astype(np.int64)
        categories: Ints = self._category[slot]
        new = np.flatnonzero(self._key[slot] != key)
        if len(new):
            _, first, inverse = np.unique(key[new], return_index=True, return_inverse=True)
            new_categories = np.array([path_category(path) for path in texts(new[first])], np.int64)
            categories[new] = new_categories[inverse]
            self._key[slot[new]], self._category[slot[new]] = key[new], categories[new]
        return categories


def measure(categories: Ints, status: Ints, is_post: Mask, epochs: Ints) -> tuple[Mask, list[Ints]]:
    """Return the mask of relevant requests, and the `MEASURES` of all requests."""
    refused = np.isin(status, (400, 402, 403, 409, 422, 429))
    attempts = (categories == PathCategory.PAYMENT) & is_post
    declined = attempts & refused
    bad_signatures = (categories == PathCategory.WEBHOOK) & np.isin(status, (400, 401, 403))
    by_form = (categories == PathCategory.LOGIN_FORM) & (status == 200)
    failed_logins = (
        (categories == PathCategory.LOGIN) | (categories == PathCategory.LOGIN_FORM)
    ) & (refused | (status == 401) | by_form)
    failed_logins &= is_post
    probes = (categories == PathCategory.PROBE) & (status >= 300)
    missing = status == 404
    relevant = attempts | bad_signatures | failed_logins | probes | missing
    flags = [
        np.ones_like(relevant),
        attempts,
        declined,
        bad_signatures,
        failed_logins,
        probes,
        missing,
    ]
    valid = epochs >= 0
    since_first = np.where(valid, FAR_FUTURE - epochs, 0)
    return relevant, [
        *(flag.astype(np.int64) for flag in flags),
        since_first,
        np.maximum(epochs, 0),
    ]
