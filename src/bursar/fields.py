"""
Model fields and SQL conversions for money, ids, times and texts, with their checks.

SQLite stores any text in an integer column by default, so range and type of an amount are a
constraint of the column.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from bursar import card_numbers, errors
from bursar.money import MINOR_MAX

if TYPE_CHECKING:
    _BigInteger = models.BigIntegerField[Any, Any]
    _Char = models.CharField[Any, Any]
else:
    _BigInteger, _Char = models.BigIntegerField, models.CharField


_SURROGATE = re.compile("[\ud800-\udfff]")


def _quoted_column(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> str:
    assert field.column is not None
    return connection.ops.quote_name(field.column)


class MinorField(_BigInteger):
    """An amount in whole minor units, at most 2**53 - 1 in size; each table restricts the sign."""

    def db_check(self, connection: BaseDatabaseWrapper) -> str:
        """Check the range and, on SQLite, the type."""
        name = _quoted_column(self, connection)
        in_range = f"{name} BETWEEN {-MINOR_MAX} AND {MINOR_MAX}"
        if connection.vendor == "sqlite":
            in_range = f"typeof({name}) = 'integer' AND {in_range}"
        return f"{name} IS NULL OR ({in_range})"


class CurrencyField(_Char):
    """An ISO 4217 code or asset code in upper case."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 8)
        super().__init__(*args, **kwargs)

    def db_check(self, connection: BaseDatabaseWrapper) -> str:
        """Check length and upper case."""
        name = _quoted_column(self, connection)
        return f"length({name}) BETWEEN 3 AND 8 AND {name} = upper({name})"


class IdField(_Char):
    """A text primary key: an id of `ids.new` with *prefix*, which is checked, or a plain name."""

    def __init__(self, prefix: str = "", *args: Any, **kwargs: Any) -> None:
        self.prefix = prefix
        kwargs.setdefault("max_length", 40)
        kwargs.setdefault("primary_key", True)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        """Return the arguments for migrations."""
        name, path, args, kwargs = super().deconstruct()
        return name, path, [self.prefix, *args], kwargs

    def db_check(self, connection: BaseDatabaseWrapper) -> str | None:
        """Check the prefix, if there is one."""
        if not self.prefix:
            return None
        name = _quoted_column(self, connection)
        return f"substr({name}, 1, {len(self.prefix) + 1}) = '{self.prefix}_'"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:  # noqa: ARG002  (Django's)
        """Return a text type of bounded length."""
        # For the type name "varchar" Django adds a second index for LIKE to every PostgreSQL key.
        return f"character varying({self.max_length})"

    def rel_db_type(self, connection: BaseDatabaseWrapper) -> str:
        """Return the type of columns that reference this one."""
        return self.db_type(connection)


#: Types of parameters of raw SQL.
Parameter = str | int | bool | bytes | date | None


def to_db_datetime(at: datetime | None) -> Parameter:
    """Convert an aware time to a parameter of raw SQL, as the ORM does."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    return _to_sqlite_text(at) if _is_sqlite() else at


def _is_sqlite() -> bool:
    # Not `connection.vendor`, whose proxy looks up the thread's connection: 17 calls per order.
    return str(connections.settings[DEFAULT_DB_ALIAS]["ENGINE"]).endswith("sqlite3")


@functools.lru_cache(maxsize=64)  # a transaction writes the same time into many rows
def _to_sqlite_text(at: datetime) -> str:
    return str(at.astimezone(UTC).replace(tzinfo=None))


def from_db_datetime(value: datetime | None) -> datetime | None:
    """Convert a time from raw SQL; SQLite's have no zone and are UTC."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def from_json(value: Any) -> Any:
    """Convert a JSON column from raw SQL; drivers return text or the parsed value."""
    return json.loads(value) if isinstance(value, (str, bytes)) else value


def to_db_date(value: date) -> Parameter:
    """Convert a date to a parameter of raw SQL."""
    return value.isoformat() if _is_sqlite() else value


def placeholders(values: Iterable[object]) -> str:
    """Return `%s, %s` for an IN list, one placeholder per value."""
    return ", ".join("%s" for _ in values)


class CardNumberRefused(errors.ValidationError):
    """A text contains what looks like a card number, which Bursar never stores."""

    code = "card_number_refused"


def validate_text(param: str, text: str, letters_max: int, *, required: bool = False) -> None:
    """
    Validate a text of the field *param*.

    :raises errors.ValidationError: if it is too long, missing, or cannot be stored;
    :raises CardNumberRefused: if it contains what looks like a card number.
    """
    if required and not text:
        raise errors.ValidationError("must not be empty", param=param)
    if len(text) > letters_max:
        raise errors.ValidationError(f"must have at most {letters_max} characters", param=param)
    if "\x00" in text or (not text.isascii() and _SURROGATE.search(text)):
        raise errors.ValidationError("must not contain NUL or lone surrogates", param=param)
    if card_numbers.contains_card_number(text):
        raise CardNumberRefused(
            "looks like a card number; card numbers are never stored", param=param
        )
