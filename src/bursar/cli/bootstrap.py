"""Starting an installation: settings, logs, database, guards."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
from collections.abc import Iterator

from bursar import errors

#: What `start` has begun and `stop` ends.
_begun = contextlib.ExitStack()


class NotMigrated(errors.Conflict):
    """The database is of another version than the program."""

    code = "migrations_pending"
    status = None


class WorkerRunning(errors.Conflict):
    """Another worker works on these SQLite books."""

    code = "worker_already_running"
    status = None


@contextlib.contextmanager
def configure(*, log_to_file: bool = True) -> Iterator[None]:
    """
    Make Django ready and route every log line, until the end; the database is not touched.

    Commands that a person watches log to `bursar.log` in BURSAR_HOME, long-running ones to
    standard error, where the process manager collects it.

    :raises errors.Invalid: if a setting is wrong.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bursar.settings")
    import django

    from bursar import logs, settings

    settings.current.home.mkdir(parents=True, exist_ok=True)
    path = settings.current.home / "bursar.log"
    with path.open("ab", 0) if log_to_file else contextlib.nullcontext() as stream:
        logs.configure(level=settings.current.log_level, stream=stream)
        try:
            django.setup()
            yield
        finally:
            logs.configure(level=settings.current.log_level)


@contextlib.contextmanager
def application(*, log_to_file: bool = True, refuse: bool = True) -> Iterator[None]:
    """
    Make everything ready for work; an installation that is quite new gets its tables.

    What is logged inside names the command and who typed it. At the end what waits is committed,
    and everything is left as it was before. Without *refuse* a database that lacks guards or
    durability is taken as it is, for `verify` to tell.

    :raises schema.SchemaOutdated: if the database was made by another schema;
    :raises NotMigrated: if the database needs `bursar manage migrate` first;
    :raises triggers.TriggersMissing: if it was altered by other means;
    :raises triggers.UnsafeDurability: if it may lose what it acknowledged.
    """
    with configure(log_to_file=log_to_file):
        _look_at_database(refuse=refuse)
        from bursar import ids, logs

        try:
            with logs.bound_contextvars(request_id=ids.new("cli"), actor=getpass.getuser()):
                yield
        finally:
            _commit_what_waits()


def start() -> None:
    """Enter `started`, for a program that is no block; `stop` leaves it."""
    _begun.enter_context(application())


def stop() -> None:
    """Leave what `start` entered."""
    _begun.close()


def _look_at_database(*, refuse: bool) -> None:
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    from bursar import schema, triggers

    schema.check()
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan and not connection.introspection.table_names():
        call_command("migrate", verbosity=0)
    elif plan:
        raise NotMigrated(f"{len(plan)} migrations are missing; run: bursar manage migrate")
    if refuse:
        triggers.check_durability()
        triggers.check_triggers()


def _commit_what_waits() -> None:
    from bursar import group_commit

    group_commit.commits.close()
    group_commit.commits = group_commit.GroupCommit()


@contextlib.contextmanager
def exclusive_worker_lock() -> Iterator[None]:
    """
    On SQLite, keep other workers off these books; PostgreSQL takes any number.

    :raises WorkerRunning: if there is one.
    """
    from bursar import settings

    if settings.current.database_url is not None:
        yield
        return
    with (settings.current.home / "worker.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WorkerRunning(
                f"another worker works on {settings.current.home}; SQLite takes one"
            ) from error
        yield
