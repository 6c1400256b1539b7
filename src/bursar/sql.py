"""
Named SQL, run by the driver itself on the connection that Django keeps for this thread.

Django makes a cursor of its own for each statement and rewrites its placeholders each time, which
costs more than most of our statements. The connection, its transaction and its errors stay
Django's: what the driver raises arrives as `django.db.Error`. While somebody listens to Django's
cursors (`execute_wrapper`, captured queries) statements go through them.

Placeholders are `%s` on both databases, and a percent sign is doubled.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")
Values = Sequence[Any]

_PLACEHOLDER = re.compile(r"(?<!%)%s")


def insert(table: str, columns: Sequence[str]) -> str:
    """The statement that inserts one row of *columns*; both names are the caller's own constants."""
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608  (no value is in it)
        f"VALUES ({', '.join(['%s'] * len(columns))})"
    )


def run(statement: str, values: Values = ()) -> int:
    """Run one statement; returns how many rows it wrote."""
    return _executed(statement, values, lambda cursor: int(cursor.rowcount))


def rows(statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
    """All rows of a query; ask for no more than fit in memory."""
    return _executed(statement, values, lambda cursor: list(cursor.fetchall()))


def row(statement: str, values: Values = ()) -> tuple[Any, ...] | None:
    """The first row of a query, or None."""
    found: tuple[Any, ...] | None = _executed(statement, values, lambda cursor: cursor.fetchone())
    return found


def run_many(statement: str, several: Sequence[Values]) -> None:
    """Run one statement for each of *several* lists of values."""
    database = connections[DEFAULT_DB_ALIAS]
    if _is_watched(database):
        with database.cursor() as cursor:
            cursor.executemany(statement, several)
        return
    with database.wrap_database_errors:
        cursor = database.connection.cursor()
        cursor.executemany(_in_its_style(database.vendor, statement), several)
        cursor.close()


def _executed(statement: str, values: Values, read: Callable[[Any], T]) -> T:
    database = connections[DEFAULT_DB_ALIAS]
    if _is_watched(database):
        with database.cursor() as cursor:
            cursor.execute(statement, values)
            return read(cursor)
    with database.wrap_database_errors:
        return read(database.connection.execute(_in_its_style(database.vendor, statement), values))


def _is_watched(database: BaseDatabaseWrapper) -> bool:
    """Tell whether Django has to see the statement, if only to connect first."""
    return bool(database.connection is None or database.execute_wrappers or database.queries_logged)


@functools.lru_cache(maxsize=512)
def _in_its_style(vendor: str, statement: str) -> str:
    if vendor != "sqlite":
        return statement
    return _PLACEHOLDER.sub("?", statement).replace("%%", "%")
