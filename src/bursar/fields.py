"""
The database types of money, ids, times and texts, with the checks that keep them true.

SQLite stores any text in an integer column unless told otherwise, so the range and type of an
amount are a constraint of the column itself.
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
    """Whole minor units, at most 2**53 - 1 in size; the sign is the table's business."""

    def db_check(self, connection: BaseDatabaseWrapper) -> str:
        """Range and, where the database does not see to it, type."""
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
        """A code in upper case."""
        name = _quoted_column(self, connection)
        return f"length({name}) BETWEEN 3 AND 8 AND {name} = upper({name})"


class IdField(_Char):
    """A key as text: an id as `ids.new` makes them, its prefix checked; or a plain name."""

    def __init__(self, prefix: str = "", *args: Any, **kwargs: Any) -> None:
        self.prefix = prefix
        kwargs.setdefault("max_length", 40)
        kwargs.setdefault("primary_key", True)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        """How a migration writes this field."""
        name, path, args, kwargs = super().deconstruct()
        return name, path, [self.prefix, *args], kwargs

    def db_check(self, connection: BaseDatabaseWrapper) -> str | None:
        """The prefix, where there is one."""
        if not self.prefix:
            return None
        name = _quoted_column(self, connection)
        return f"substr({name}, 1, {len(self.prefix) + 1}) = '{self.prefix}_'"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:  # noqa: ARG002  (Django's)
        """Text of bounded length."""
        # Under the name "varchar" Django adds a second index for LIKE to every key on PostgreSQL.
        return f"character varying({self.max_length})"

    def rel_db_type(self, connection: BaseDatabaseWrapper) -> str:
        """The type of a column that refers to this one."""
        return self.db_type(connection)


#: What may be a parameter of named SQL.
Parameter = str | int | bool | bytes | date | None


def to_db_datetime(at: datetime | None) -> Parameter:
    """Write an aware time as a parameter of named SQL, just as the ORM would."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    return _to_sqlite_text(at) if _is_sqlite() else at


def _is_sqlite() -> bool:
    # Not `connection.vendor`: its proxy looks for the thread's connection, 17 times an order.
    return str(connections.settings[DEFAULT_DB_ALIAS]["ENGINE"]).endswith("sqlite3")


@functools.lru_cache(maxsize=64)  # a transaction writes its own time into many rows
def _to_sqlite_text(at: datetime) -> str:
    return str(at.astimezone(UTC).replace(tzinfo=None))


def from_db_datetime(value: datetime | None) -> datetime | None:
    """Read a time from named SQL: SQLite's come without their zone, which is UTC."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def from_json(value: Any) -> Any:
    """Read a JSON column from named SQL: the drivers give text or what it holds."""
    return json.loads(value) if isinstance(value, (str, bytes)) else value


def to_db_date(value: date) -> Parameter:
    """Write a date as a parameter of named SQL."""
    return value.isoformat() if _is_sqlite() else value


def placeholders(values: Iterable[object]) -> str:
    """The `%s, %s` of an IN list, one for each of *values*."""
    return ", ".join("%s" for _ in values)


class CardNumberDetected(errors.ValidationError):
    """A text holds what looks like a card number; Bursar never keeps one."""

    code = "card_number_refused"


def validate_text(param: str, text: str, letters_max: int, *, required: bool = False) -> None:
    """
    Check one text; *param* names it.

    :raises errors.ValidationError: if it is too long, missing, or cannot be stored;
    :raises CardNumber: if it holds what looks like one.
    """
    if len(text) > letters_max or (required and not text):
        raise errors.ValidationError(f"a text of at most {letters_max} letters", param=param)
    if "\x00" in text or (not text.isascii() and _SURROGATE.search(text)):
        raise errors.ValidationError("NUL and lone surrogates cannot be stored", param=param)
    if card_numbers.contains_card_number(text):
        raise CardNumberDetected(
            "this looks like a card number, which is never stored", param=param
        )
