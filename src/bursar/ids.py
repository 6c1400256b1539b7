"""
Identifiers: a prefix for the kind of object, and a UUIDv7 in Crockford's base32.

UUIDv7 (RFC 9562 section 5.7) begins with the time, so later ids sort later and an index grows at
its end.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any

import uuid_utils

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
#: 128 bits at 5 bits a letter.
_LETTERS = 26

ORDER, PAYMENT, ATTEMPT, REFUND, REVIEW = "ord", "pay", "att", "re", "rev"
BODY, API_KEY, RECONCILIATION = "raw", "key", "rec"
FACT = "fct"  # followed by the fact's number
ALERT = "alr"


def new(prefix: str) -> str:
    """Create an id such as `pay_06ev3n...`: prefix, underscore, 26 base32 characters."""
    return f"{prefix}_{_base32(uuid_utils.uuid7().int)}"


def _base32(number: int) -> str:
    return "".join([_ALPHABET[number >> shift & 31] for shift in range(5 * (_LETTERS - 1), -1, -5)])


def digest(*parts: object) -> str:
    """
    Return a digest of a tuple of values: 32 hexadecimal digits of SHA-256 (128 bits).

    Boundaries matter (`("a", "bc")` differs from `("ab", "c")`), and so do types (1 differs from
    "1"); a `StrEnum` counts as its text, as read back from a database.
    """
    # The length prefix makes the encoding of the parts unambiguous.
    encoded_parts = [
        f"{'str' if isinstance(part, str) else type(part).__name__}:{len(text := str(part))}:{text};"
        for part in parts
    ]
    return hashlib.sha256("".join(encoded_parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def fingerprint(record: object, *, excluded: Collection[str] = ()) -> str:
    """
    Return a digest of a record's field names and values, without the fields *excluded*.

    *record* is a dataclass or a msgspec struct; so may its values be, or texts, integers, decimals,
    aware times, dates, enums, None, and lists and mappings of these. A field added to the class is
    included automatically.

    :raises TypeError: for any other value.
    """
    return digest(repr(_content(record, excluded)))


def _content(record: Any, excluded: Collection[str] = ()) -> list[tuple[str, object]]:
    return [
        (name, value if type(value) in _PLAIN else _canonical(value))
        for name in _field_names(type(record))  # type: ignore[arg-type]  # a class is hashable
        if name not in excluded
        for value in (getattr(record, name),)
    ]


#: Nearly all values; their `repr` is canonical as it stands.
_PLAIN = frozenset({str, int, bool, NoneType})
_SCALARS = (str, Enum, Decimal, date)


@functools.lru_cache(maxsize=256)
def _field_names(kind: type) -> tuple[str, ...]:
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    names: tuple[str, ...] | None = getattr(kind, "__struct_fields__", None)
    if names is None:
        raise TypeError(f"{kind.__name__} is neither a dataclass nor a msgspec struct")
    return names


def _canonical(value: object) -> object:
    """Return a value whose `repr` is equal exactly if the content is equal."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, _SCALARS):
        return _canonical_scalar(value)
    if isinstance(value, list | tuple):
        return [_canonical(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _canonical(value[name]) for name in sorted(value)}
    return _content(value)


def _canonical_scalar(value: str | Enum | Decimal | date) -> object:
    if isinstance(value, str):  # a StrEnum counts as its text
        return str(value)
    if isinstance(value, Enum):
        return _canonical(value.value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"{value!r} has no time zone")
        return ("time", value.astimezone(UTC).isoformat())
    return (type(value).__name__, str(value))
