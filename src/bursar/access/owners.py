"""
Owners: the person behind an action, whichever session or API key of theirs is used.

An owner is `person:` and the number of a person, or `operator` for whoever types commands at the
shell of the machine. It does not change when the person's e-mail address or the key does.
"""

from __future__ import annotations

from typing import Final

from bursar import logs
from bursar.decorators import Principal, Unauthenticated, current_principal

OPERATOR: Final = "operator"
#: What Bursar does by itself, such as the orders of the demonstration.
SYSTEM: Final = "bursar"
_PERSON: Final = "person:"


def owner_of_person(person_id: int | None) -> str:
    """The owner that a person is; `OPERATOR` for None, as a key of nobody's has it."""
    return OPERATOR if person_id is None else f"{_PERSON}{person_id}"


def person_of_owner(owner: str) -> int | None:
    """The number of the person that *owner* is; None for the operator and for Bursar itself."""
    return int(owner.removeprefix(_PERSON)) if owner.startswith(_PERSON) else None


def find_principal() -> Principal | None:
    """The principal of the context; None for a command and for Bursar itself."""
    try:
        return current_principal()
    except Unauthenticated:
        return None


def current_owner() -> str:
    """The owner of what is being done: that of the principal, else `OPERATOR` or `SYSTEM`."""
    principal = find_principal()
    if principal is not None:
        return principal.owner or principal.id
    return OPERATOR if logs.bound_values().get("actor") else SYSTEM
