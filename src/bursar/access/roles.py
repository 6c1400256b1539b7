"""
Roles and scopes: the permissions of users and API keys, by least privilege.

A scope is `<resource>:read`, `<resource>:write` or `refunds:approve` (four-eyes principle). None
includes another. A user has the scopes of one role; an API key has scopes chosen from `KEY_SCOPES`,
and of those only the ones that its owner's role has.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from bursar import errors


class Role(StrEnum):
    """Role of a user."""

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
USERS_READ, USERS_WRITE = "users:read", "users:write"
AUDIT_READ = "audit:read"
METRICS_READ = "metrics:read"
DASHBOARD_READ = "dashboard:read"
MONITORS_WRITE = "monitors:write"

_READ_SCOPES: Final = frozenset(
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
    Role.VIEWER: _READ_SCOPES,
    Role.SUPPORT: _READ_SCOPES | {REFUNDS_WRITE},
    Role.FINANCE: _READ_SCOPES
    | {PAYMENTS_WRITE, REFUNDS_WRITE, REFUNDS_APPROVE, REVIEWS_WRITE, AUDIT_READ},
    Role.DEVELOPER: _READ_SCOPES
    | {
        ORDERS_WRITE,
        ACCOUNTS_WRITE,
        JOBS_WRITE,
        KEYS_READ,
        KEYS_WRITE,
        METRICS_READ,
        MONITORS_WRITE,
    },
}
SCOPES_OF[Role.ADMIN] = frozenset().union(*SCOPES_OF.values()) | {
    USERS_READ,
    USERS_WRITE,
}

#: Scopes that an API key may have: those of the public API and of the metrics.
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


class InvalidScope(errors.ValidationError):
    """The scope does not exist, or a key cannot have it."""

    code = "invalid_scope"


class InvalidRole(errors.ValidationError):
    """The role does not exist."""

    code = "invalid_role"


def check_scopes(scopes: Iterable[str]) -> list[str]:
    """
    Return *scopes* without duplicates, in the order of `KEY_SCOPES`.

    :raises InvalidScope: if *scopes* is empty, or one is not in `KEY_SCOPES`.
    """
    requested = set(scopes)
    unknown = sorted(requested - set(KEY_SCOPES))
    if unknown or not requested:
        problem = f"invalid scope {unknown[0]!r}" if unknown else "an API key needs a scope"
        raise InvalidScope(f"{problem}; valid scopes: {', '.join(KEY_SCOPES)}", param="scopes")
    return [scope for scope in KEY_SCOPES if scope in requested]


def parse_role(name: str) -> Role:
    """Return the role called *name*. Raises `InvalidRole` if there is none."""
    try:
        return Role(name)
    except ValueError:
        raise InvalidRole(
            f"invalid role {name!r}; valid roles: {', '.join(Role)}", param="role"
        ) from None
