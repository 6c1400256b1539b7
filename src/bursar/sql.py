"""
Run raw SQL through the database driver, on Django's connection of the current thread.

Django creates a cursor and rewrites placeholders for each statement, which costs more than most of
our statements. Connection, transaction and errors remain Django's: driver errors are raised as
`django.db.Error`. While Django's cursors are instrumented (`execute_wrapper`, captured queries),
statements go through them.

Placeholders are `%s` on both databases; a literal percent sign is doubled.
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
    """Return an INSERT of one row of *columns*; table and column names must be constants."""
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608  (no value is in it)
        f"VALUES ({', '.join(['%s'] * len(columns))})"
    )


def run(statement: str, values: Values = ()) -> int:
    """Run one statement. Returns the number of affected rows."""
    return _execute(statement, values, lambda cursor: int(cursor.rowcount))


def rows(statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a query; they must fit in memory."""
    return _execute(statement, values, lambda cursor: list(cursor.fetchall()))


def row(statement: str, values: Values = ()) -> tuple[Any, ...] | None:
    """Return the first row of a query, or None."""
    first_row: tuple[Any, ...] | None = _execute(
        statement, values, lambda cursor: cursor.fetchone()
    )
    return first_row


def run_many(statement: str, value_rows: Sequence[Values]) -> None:
    """Run one statement for each of *value_rows*."""
    database = connections[DEFAULT_DB_ALIAS]
    if _is_instrumented(database):
        with database.cursor() as cursor:
            cursor.executemany(statement, value_rows)
        return
    with database.wrap_database_errors:
        cursor = database.connection.cursor()
        cursor.executemany(_to_driver_paramstyle(database.vendor, statement), value_rows)
        cursor.close()


def _execute(statement: str, values: Values, fetch: Callable[[Any], T]) -> T:
    database = connections[DEFAULT_DB_ALIAS]
    if _is_instrumented(database):
        with database.cursor() as cursor:
            cursor.execute(statement, values)
            return fetch(cursor)
    with database.wrap_database_errors:
        return fetch(
            database.connection.execute(_to_driver_paramstyle(database.vendor, statement), values)
        )


def _is_instrumented(database: BaseDatabaseWrapper) -> bool:
    """Whether the statement must go through Django, for instrumentation or to connect first."""
    return bool(database.connection is None or database.execute_wrappers or database.queries_logged)


@functools.lru_cache(maxsize=512)
def _to_driver_paramstyle(vendor: str, statement: str) -> str:
    if vendor != "sqlite":
        return statement
    return _PLACEHOLDER.sub("?", statement).replace("%%", "%")
