"""Start-up of an installation: settings, logging, database, triggers."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
from collections.abc import Iterator

from bursar import errors

#: Entered by `start`, closed by `stop`.
_exit_stack = contextlib.ExitStack()


class MigrationsPending(errors.Conflict):
    """The database lacks migrations of this version."""

    code = "migrations_pending"
    status = None


class WorkerAlreadyRunning(errors.Conflict):
    """Another worker already uses this SQLite database."""

    code = "worker_already_running"
    status = None


@contextlib.contextmanager
def configure(*, log_to_file: bool = True) -> Iterator[None]:
    """
    Set up Django and logging for the block; the database is not touched.

    Interactive commands log to `bursar.log` in BURSAR_HOME, long-running ones to standard error,
    where the process manager collects it.

    :raises errors.Invalid: if a setting is invalid.
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
def application(*, log_to_file: bool = True, strict: bool = True) -> Iterator[None]:
    """
    Set up Django, logging and the database for the block; an empty database is migrated.

    Log lines carry a request id and the operating system's user as actor. On exit the pending
    group commit is written. Without *strict*, missing triggers and unsafe durability settings
    are accepted, so that `verify` can report them.

    :raises schema.SchemaOutdated: if the database was created with another schema;
    :raises MigrationsPending: if the database needs `bursar manage migrate` first;
    :raises triggers.TriggersMissing: if a trigger is missing;
    :raises triggers.UnsafeDurabilitySettings: if a commit may be lost in a power cut.
    """
    with configure(log_to_file=log_to_file):
        _prepare_database(strict=strict)
        from bursar import ids, logs

        try:
            with logs.bound_contextvars(request_id=ids.new("cli"), actor=getpass.getuser()):
                yield
        finally:
            _close_group_commit()


def start() -> None:
    """Enter `application`, for a program without a `with` block; `stop` leaves it."""
    _exit_stack.enter_context(application())


def stop() -> None:
    """Leave the `application` that `start` entered."""
    _exit_stack.close()


def _prepare_database(*, strict: bool) -> None:
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
        raise MigrationsPending(f"pending migrations: {len(plan)}; run: bursar manage migrate")
    if strict:
        triggers.check_durability()
        triggers.check_triggers()


def _close_group_commit() -> None:
    from bursar import group_commit

    group_commit.commits.close()
    group_commit.commits = group_commit.GroupCommit()


@contextlib.contextmanager
def exclusive_worker_lock() -> Iterator[None]:
    """
    Allow one worker per SQLite database; PostgreSQL allows any number.

    :raises WorkerAlreadyRunning: if another process holds the lock.
    """
    from bursar import settings

    if settings.current.database_url is not None:
        yield
        return
    with (settings.current.home / "worker.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WorkerAlreadyRunning(
                f"another worker uses {settings.current.home}; SQLite allows only one"
            ) from error
        yield
