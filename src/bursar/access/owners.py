"""
Owners: the user behind an action, whether by session or by API key.

An owner is `user:` and the id of a user, or `operator` for commands at the shell of the machine. It
does not change when the user's e-mail address or the key does.
"""

from __future__ import annotations

from typing import Final

from bursar import logs
from bursar.decorators import Principal, Unauthenticated, current_principal

OPERATOR: Final = "operator"
#: The owner of what Bursar does on its own, such as the orders of the demonstration.
SYSTEM: Final = "bursar"
_USER_PREFIX: Final = "user:"


def owner_of_user(user_id: int | None) -> str:
    """Return the owner of a user id; `OPERATOR` for None, the owner of a key without a user."""
    return OPERATOR if user_id is None else f"{_USER_PREFIX}{user_id}"


def user_id_of_owner(owner: str) -> int | None:
    """Return the user id of *owner*; None for the operator and for Bursar itself."""
    return int(owner.removeprefix(_USER_PREFIX)) if owner.startswith(_USER_PREFIX) else None


def find_principal() -> Principal | None:
    """Return the principal of the context; None for a command and for Bursar itself."""
    try:
        return current_principal()
    except Unauthenticated:
        return None


def current_owner() -> str:
    """Return the owner of the current action: that of the principal, else `OPERATOR` or `SYSTEM`."""
    principal = find_principal()
    if principal is not None:
        return principal.owner or principal.id
    return OPERATOR if logs.bound_values().get("actor") else SYSTEM
