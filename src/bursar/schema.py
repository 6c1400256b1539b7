"""
Compare the database's tables and columns with the program's models.

Before version 0.2.0 the initial migration is edited in place, so a database created with an earlier
schema has the same migration recorded but other tables. It is detected before anything is read or
written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from django.apps import apps
from django.db import connection

from bursar import errors, settings, sql

Columns = Mapping[str, frozenset[str]]
"""Column names by table."""

_SQLITE: Final = """
SELECT tables.name, columns.name FROM sqlite_master tables, pragma_table_info(tables.name) columns
WHERE tables.type = 'table'
"""
_POSTGRESQL: Final = """
SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()
"""


class SchemaOutdated(errors.Conflict):
    """The database or backup was created with another schema than this version's."""

    code = "schema_outdated"
    status = None


def expected_columns() -> Columns:
    """Return the columns of every table of the program's models."""
    tables: dict[str, frozenset[str]] = {}
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta  # noqa: SLF001  (Django's public interface, whatever its name)
        tables[meta.db_table] = frozenset(f.column for f in meta.local_concrete_fields if f.column)
    return tables


def existing_columns() -> Columns:
    """Return the columns of every table of the database, in one query."""
    tables: dict[str, set[str]] = {}
    for table, column in sql.rows(_SQLITE if connection.vendor == "sqlite" else _POSTGRESQL):
        tables.setdefault(table, set()).add(column)
    return {table: frozenset(columns) for table, columns in tables.items()}


def digest() -> str:
    """Return a digest of the program's tables and columns; it is part of every backup."""
    lines = (
        f"{table} {' '.join(sorted(row))}" for table, row in sorted(expected_columns().items())
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check() -> None:
    """
    Check that the database has the tables and columns of the program's models.

    A database without Bursar's tables passes: it is new.

    :raises SchemaOutdated: if a table or column is missing, or one of its tables has another column.
    """
    existing = existing_columns()
    if not any(table.startswith("bursar_") for table in existing):
        return
    for table, columns in sorted(expected_columns().items()):
        missing = columns - existing.get(table, frozenset())
        if missing:
            missing_name = f"column {min(missing)} of {table}" if table in existing else table
            raise SchemaOutdated(message(_installation(), f"{missing_name} is missing"))
        if extra := existing[table] - columns:
            reason = f"column {min(extra)} of {table} is unknown"
            raise SchemaOutdated(message(_installation(), reason))


def _installation() -> str:
    if connection.vendor == "sqlite":
        return str(settings.current.home)
    return f"the database {connection.settings_dict['NAME']}"


def message(what: str, reason: str) -> str:
    """Return the error message for *what* (a folder, database or file): the reason and the remedy."""
    return (
        f"{what} was created with another schema ({reason}); schemas before version 0.2.0 are not"
        " migrated: move it away, or set BURSAR_HOME (or BURSAR_DATABASE_URL) to a new one"
    )
