"""
Which requests a merchant should look at twice, kept by client address and path until the end.

What is told of an address is how many different paths it tried and what came of it: payments
declined, webhooks with a bad signature, sign-ins refused, ways in that scanners look for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import IntEnum

import numpy as np

from bursar.accesslog.parsing.byte_search import Ints, Mask, U, Words

#: What is counted of an address and a path; the last two are maxima.
MEASURES = (
    "requests",
    "tried",
    "declined",
    "signatures",
    "sign_ins",
    "probes",
    "missing",
    "since_first",
    "last",
)
MAXIMA = 2
#: Epoch seconds below it; `since_first` is what lacks to it, so that its maximum is of the first.
FAR = 1 << 40
_SLOT_BITS = 16


class PathCategory(IntEnum):
    """What a path is about."""

    NOTHING = 0
    PAYMENT = 1
    WEBHOOK = 2
    SIGN_IN = 3
    SIGN_IN_FORM = 4
    """A form that fails answers 200 and shows itself again."""

    PROBE = 5


_PROBE = re.compile(
    rb"/\.(?:env|git|svn|hg|aws|ssh|htpasswd|htaccess|ds_store|vscode|idea)\b|/wp-(?:login|admin|content|includes|config)"
    rb"|/xmlrpc\.php|/phpmyadmin|/pma/|/adminer|/cgi-bin/|/vendor/phpunit|/actuator|/solr/|/hnap1|/boaform|/owa/"
    rb"|/manager/html|/server-status|/\.well-known/\.|\.\./|%2e%2e|/etc/passwd|/shell|/eval-stdin|/config\.(?:json|php|ya?ml)"
    rb"|/backup|\.(?:sql|bak|old|swp)$|/telescope|/_ignition|/autodiscover|/remote/login|/dana-na|/setup\.cgi"
    rb"|union(?:%20|\+)select|<script|%3cscript|\$\{jndi",
)
_SIGN_IN = re.compile(
    rb"/(?:log-?in|sign-?in|session|sessions|auth|authenticate|oauth/token|token)(?:/[a-z]{0,12})?/?$"
)
_WEBHOOK = re.compile(rb"/(?:web)?hooks?(?:/|$)|/ipn(?:/|$)")
_PAYMENT = re.compile(
    rb"/(?:checkout|charges?|payments?|payment[_-]intents|pay|orders/[^/]+/(?:pay|charge)|cards?|setup[_-]intents|purchase|donate)(?:/|$)"
)


def about(path: bytes) -> PathCategory:
    """Say what *path*, without its query, is about."""
    lower = path.lower()
    if _PROBE.search(lower):
        return PathCategory.PROBE
    if _SIGN_IN.search(lower):
        return (
            PathCategory.SIGN_IN
            if b"api" in lower or b"token" in lower
            else PathCategory.SIGN_IN_FORM
        )
    if _WEBHOOK.search(lower):
        return PathCategory.WEBHOOK
    return PathCategory.PAYMENT if _PAYMENT.search(lower) else PathCategory.NOTHING


class Abouts:
    """What paths are about, remembered by their hashes; two of one hash would be about the same."""

    def __init__(self) -> None:
        self._key = np.zeros(1 << _SLOT_BITS, U)
        self._about = np.zeros(1 << _SLOT_BITS, np.int64)

    def of(self, key: Words, texts: Callable[[Ints], Iterable[bytes]]) -> Ints:
        """Say what the path of each *key* is about; *texts* is asked for those at some positions."""
        slot = (key >> U(64 - _SLOT_BITS)).astype(np.int64)
        told: Ints = self._about[slot]
        new = np.flatnonzero(self._key[slot] != key)
        if len(new):
            _, first, again = np.unique(key[new], return_index=True, return_inverse=True)
            abouts = np.array([about(path) for path in texts(new[first])], np.int64)
            told[new] = abouts[again]
            self._key[slot[new]], self._about[slot[new]] = key[new], told[new]
        return told


def measured(abouts: Ints, status: Ints, is_post: Mask, epochs: Ints) -> tuple[Mask, list[Ints]]:
    """Return which of some requests are worth keeping, and their `MEASURES` (each of all requests)."""
    refused = np.isin(status, (400, 402, 403, 409, 422, 429))
    tried = (abouts == PathCategory.PAYMENT) & is_post
    declined = tried & refused
    signatures = (abouts == PathCategory.WEBHOOK) & np.isin(status, (400, 401, 403))
    by_form = (abouts == PathCategory.SIGN_IN_FORM) & (status == 200)
    sign_ins = ((abouts == PathCategory.SIGN_IN) | (abouts == PathCategory.SIGN_IN_FORM)) & (
        refused | (status == 401) | by_form
    )
    sign_ins &= is_post
    probes = (abouts == PathCategory.PROBE) & (status >= 300)
    missing = status == 404
    kept = tried | signatures | sign_ins | probes | missing
    flags = [np.ones_like(kept), tried, declined, signatures, sign_ins, probes, missing]
    known = epochs >= 0
    since_first = np.where(known, FAR - epochs, 0)
    return kept, [*(flag.astype(np.int64) for flag in flags), since_first, np.maximum(epochs, 0)]
