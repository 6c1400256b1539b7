"""
Roles and scopes: the one table of who may do what, with the least each role needs.

A scope is `<thing>:read`, `<thing>:write` or, for a second pair of eyes, `refunds:approve`. None
includes another. A person has the scopes of one role; an API key has scopes of its own choice
among `KEY_SCOPES`, and of them only those that its owner's role has.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from bursar import errors


class Role(StrEnum):
    """What a person is to the merchant."""

    VIEWER = "viewer"
    SUPPORT = "support"
    FINANCE = "finance"
    DEVELOPER = "developer"
    ADMIN = "admin"


ORDERS_READ, ORDERS_WRITE = "orders:read", "orders:write"
PAYMENTS_READ, PAYMENTS_WRITE = "payments:read", "payments:write"
REFUNDS_READ, REFUNDS_WRITE, REFUNDS_APPROVE = "refunds:read", "refunds:write", "refunds:approve"
REVIEWS_READ, REVIEWS_WRITE = "reviews:read", "reviews:write"
ACCOUNTS_READ, ACCOUNTS_WRITE = "accounts:read", "accounts:write"
FACTS_READ = "facts:read"
LEDGER_READ = "ledger:read"
JOBS_READ, JOBS_WRITE = "jobs:read", "jobs:write"
KEYS_READ, KEYS_WRITE = "keys:read", "keys:write"
PEOPLE_READ, PEOPLE_WRITE = "people:read", "people:write"
AUDIT_READ = "audit:read"
METRICS_READ = "metrics:read"
DASHBOARD_READ = "dashboard:read"
SOURCES_WRITE = "sources:write"

_SEE: Final = frozenset(
    {
        ORDERS_READ,
        PAYMENTS_READ,
        REFUNDS_READ,
        REVIEWS_READ,
        ACCOUNTS_READ,
        FACTS_READ,
        LEDGER_READ,
        JOBS_READ,
        DASHBOARD_READ,
    }
)

SCOPES_OF: Final[dict[Role, frozenset[str]]] = {
    Role.VIEWER: _SEE,
    Role.SUPPORT: _SEE | {REFUNDS_WRITE},
    Role.FINANCE: _SEE
    | {PAYMENTS_WRITE, REFUNDS_WRITE, REFUNDS_APPROVE, REVIEWS_WRITE, AUDIT_READ},
    Role.DEVELOPER: _SEE
    | {
        ORDERS_WRITE,
        ACCOUNTS_WRITE,
        JOBS_WRITE,
        KEYS_READ,
        KEYS_WRITE,
        METRICS_READ,
        SOURCES_WRITE,
    },
}
SCOPES_OF[Role.ADMIN] = frozenset().union(*SCOPES_OF.values()) | {
    PEOPLE_READ,
    PEOPLE_WRITE,
}

#: What an API key may be given: what the public API serves, and its metrics.
KEY_SCOPES: Final = (
    ORDERS_READ,
    ORDERS_WRITE,
    PAYMENTS_READ,
    PAYMENTS_WRITE,
    REFUNDS_READ,
    REFUNDS_WRITE,
    REVIEWS_READ,
    REVIEWS_WRITE,
    ACCOUNTS_READ,
    FACTS_READ,
    METRICS_READ,
    DASHBOARD_READ,
)


class UnknownScope(errors.ValidationError):
    """No such scope can be given to a key."""

    code = "invalid_scope"


class UnknownRole(errors.ValidationError):
    """There is no such role."""

    code = "invalid_role"


def check_scopes(scopes: Iterable[str]) -> list[str]:
    """
    The scopes of a key in the order of `KEY_SCOPES`, each once.

    :raises UnknownScope: if one is none, or there is none at all.
    """
    wanted = set(scopes)
    unknown = sorted(wanted - set(KEY_SCOPES))
    if unknown or not wanted:
        named = f"{unknown[0]!r} is no scope" if unknown else "a key needs a scope"
        raise UnknownScope(f"{named}; known: {', '.join(KEY_SCOPES)}", param="scopes")
    return [scope for scope in KEY_SCOPES if scope in wanted]


def role_of(name: str) -> Role:
    """:raises UnknownRole: if there is no role of that name."""
    try:
        return Role(name)
    except ValueError:
        raise UnknownRole(f"{name!r} is no role; known: {', '.join(Role)}", param="role") from None
