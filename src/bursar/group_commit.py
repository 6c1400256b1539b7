"""
Group commit: the only place where transactions are opened.

A commit costs one disk sync, however many rows it holds. One writer thread runs all queued members
in one transaction and resolves them after COMMIT; members that arrive during the sync form the
next batch. There is no waiting for more members: an idle system commits a single one at once.

A member is a function without arguments that writes through Django's connection and may run more
than once, so its ids and times are chosen before. The batch is optimistic, without savepoints:
they cost threefold on PostgreSQL, and a deferred foreign key or a full disk fails the whole batch
anyway. A failed batch is rolled back, and its members run again, the failing one separately.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from django import db
from django.db import connections, transaction

from bursar import errors, logs

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

log = logs.get(__name__)

#: Attempts for a member that failed by a lost connection or a deadlock.
_ATTEMPTS_MAX = 3
#: libpq's PQTRANS_IDLE (psycopg sends BEGIN with the first statement) and PQTRANS_INTRANS.
_USABLE_TRANSACTION_STATUSES = (0, 2)
#: SQLSTATE of a lost connection: class 08, and a server that stops or crashed.
_CONNECTION_LOST = ("08", "57P0")
#: SQLSTATE class 40: a deadlock or a serialization failure; an immediate retry may succeed.
_SERIALIZATION_FAILURE = "40"
#: No space or no lock (class 53 and SQLite's): the member itself is not at fault.
_TRANSIENT = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "53", _SERIALIZATION_FAILURE)
#: Errors of SQLite after which COMMIT certainly did not happen; SQLITE_IOERR is not among them.
_SQLITE_COMMIT_REJECTIONS = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CONSTRAINT")


class NestedTransaction(RuntimeError):
    """A member was submitted from inside a transaction, which could deadlock with itself."""


class WriteQueueFull(errors.RetryableError):
    """The write queue is full; the member was not queued."""

    code = "write_queue_full"


class _TransactionResult(NamedTuple):
    """
    How a transaction ended.

    `failed`: the member *at* raised or broke the transaction; `rejected`: the database rejected
    COMMIT; `unknown`: COMMIT was sent and its outcome is not known.
    """

    kind: Literal["committed", "not_begun", "failed", "rejected", "unknown"]
    error: BaseException | None = None
    at: int = 0


@dataclass(slots=True, eq=False)
class _PendingMember:
    """A queued member, the future that waits for it, and its result."""

    member: Callable[[], Any]
    future: Any
    loop: asyncio.AbstractEventLoop | None
    # So that a member's log lines carry the request they belong to.
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    value: Any = None
    error: BaseException | None = None
    attempts: int = 0
    is_resolved: bool = False


class GroupCommit:
    """
    The writer thread of one database, started with the first member.

    At most *batch_max* members share a transaction; at most *pending_max* are queued. *watch* is
    called on the writer thread with the members and `begin`, `commit` (about to be sent),
    `committed` (futures not yet resolved) or `rolled_back`; neither of the last two follows an
    unknown outcome. It should not raise; if it does, the batch ends as unknown or as not written.

    A pool of the standard library cannot take all queued items as one task, which a batch is
    (`test_a_batch_is_one_transaction`); hence a thread with its own queue.
    """

    def __init__(
        self,
        *,
        using: str = "default",
        batch_max: int = 512,
        pending_max: int = 10_000,
        watch: Callable[[str, Sequence[Callable[[], Any]]], None] | None = None,
    ) -> None:
        self._using = using
        self._batch_max = batch_max
        self._pending_max = pending_max
        self._watch = watch
        self._queue: deque[_PendingMember] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._asleep = False
        self._closed = False
        self._thread: threading.Thread | None = None

    async def run(self, member: Callable[[], T]) -> T:
        """
        Run *member* in the next batch; returns its result after COMMIT.

        If the waiting task is cancelled, the member is committed nevertheless.

        :raises NestedTransaction: on the writer thread (a coroutine cannot open a transaction).
        :raises WriteQueueFull: if `pending_max` members are queued.
        :raises errors.RetryableError: if nothing was written: closed, no connection, a full disk.
        :raises errors.OutcomeUnknown: if the connection was lost during COMMIT.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._enqueue(_PendingMember(member, future, loop))
        return await future

    def run_blocking(self, member: Callable[[], T]) -> T:
        """
        Like `run`, for callers without an event loop; blocks the thread.

        :raises NestedTransaction: if the caller is inside a transaction.
        """
        if connections[self._using].in_atomic_block:
            raise NestedTransaction("submit members outside transactions")
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._enqueue(_PendingMember(member, future, None))
        return future.result()

    def close(self, *, timeout_seconds: float = 30.0) -> None:
        """
        Reject new members, commit the queued ones, stop the thread and close its connection.

        :raises TimeoutError: if the thread has not ended in time; it continues in the background.
        """
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            if self._thread.is_alive():
                raise TimeoutError(f"the writer thread is still running after {timeout_seconds} s")

    def _enqueue(self, waiting: _PendingMember) -> None:
        if threading.current_thread() is self._thread:
            raise NestedTransaction("a member cannot submit another member")
        with self._wake:
            if self._closed:
                raise errors.RetryableError("the process is shutting down; nothing was written")
            if len(self._queue) >= self._pending_max:
                raise WriteQueueFull("the write queue is full", after_seconds=1.0)
            self._queue.append(waiting)
            if self._asleep:
                self._asleep = False
                self._wake.notify()
            elif self._thread is None:
                name = f"commits-{self._using}"
                self._thread = threading.Thread(target=self._run_writer, name=name, daemon=True)
                self._thread.start()

    def _run_writer(self) -> None:
        while batch := self._take_batch():
            self._process_batch(batch)
            # An idle thread must not hold references to results.
            del batch
        connections[self._using].close()

    def _take_batch(self) -> list[_PendingMember]:
        """Wait for the next batch; empty when closed and drained."""
        with self._wake:
            while not self._queue and not self._closed:
                self._asleep = True
                self._wake.wait()
            self._asleep = False
            take = self._queue.popleft
            return [take() for _ in range(min(len(self._queue), self._batch_max))]

    def _process_batch(self, batch: list[_PendingMember]) -> None:
        pieces = [batch]
        try:
            while pieces:
                piece = pieces.pop()
                pieces += reversed(self._handle_result(piece, self._run_transaction(piece)))
        except BaseException as error:
            log.critical("group_commit_writer_failed", exc_info=error)
            _fail_members([w for w in batch if not w.is_resolved], errors.OutcomeUnknown, error)
            with contextlib.suppress(db.Error):
                connections[self._using].close()

    def _run_transaction(self, piece: list[_PendingMember]) -> _TransactionResult:
        connection = connections[self._using]
        result: _TransactionResult | None = None
        self._notify_watch("begin", piece)
        try:
            with transaction.atomic(using=self._using, durable=True):
                result = self._commit(connection, piece)
                if result.kind != "committed":
                    transaction.set_rollback(True, using=self._using)
                if result.kind == "unknown" or _is_connection_lost(connection, result.error):
                    # Inside the block, so that leaving it does not use a dead connection.
                    connection.close()
        except Exception as error:
            with contextlib.suppress(db.Error):
                connection.close()
            if result is None:
                return _TransactionResult("not_begun", error)
            log.warning("transaction_left_open", result=result.kind, exc_info=error)
        return result

    def _commit(
        self, connection: BaseDatabaseWrapper, piece: list[_PendingMember]
    ) -> _TransactionResult:
        for at, waiting in enumerate(piece):
            try:
                waiting.value = waiting.context.run(waiting.member)
            except BaseException as error:  # noqa: BLE001 - an error of the member, not the thread
                return _TransactionResult("failed", error, at)
            if _is_transaction_broken(connection):
                broken = transaction.TransactionManagementError("continued after a database error")
                return _TransactionResult("failed", broken, at)
        self._notify_watch("commit", piece)
        try:
            # COMMIT is sent here, so that no other failure is mistaken for a rejected COMMIT.
            with connection.wrap_database_errors:
                connection.connection.commit()
        except BaseException as error:  # noqa: BLE001 - unless certainly rejected, it is unknown
            return _TransactionResult(
                "rejected" if _is_commit_rejected(connection, error) else "unknown", error
            )
        return _TransactionResult("committed")

    def _handle_result(
        self, piece: list[_PendingMember], result: _TransactionResult
    ) -> list[list[_PendingMember]]:
        """Resolve the members of *piece*, or return the pieces in which they run again."""
        kind, error, at = result
        if kind == "committed":
            self._notify_watch("committed", piece)
            _resolve_members(piece)
            return []
        if kind == "unknown":
            _fail_members(piece, errors.OutcomeUnknown, error)
            return []
        self._notify_watch("rolled_back", piece)
        if len(piece) > 1 and kind == "failed":
            # Only the failing member runs separately, so that the others still share syncs.
            return [part for part in (piece[:at], [piece[at]], piece[at + 1 :]) if part]
        if len(piece) > 1 and kind == "rejected":
            return [[waiting] for waiting in piece]
        lost, state = _is_connection_lost(connections[self._using], error), _error_state(error)
        piece[0].attempts += 1
        if (lost or state.startswith(_SERIALIZATION_FAILURE)) and piece[0].attempts < _ATTEMPTS_MAX:
            return [piece]
        if lost or kind == "not_begun" or state.startswith(_TRANSIENT):
            _fail_members(piece, errors.RetryableError, error)
        else:
            piece[0].error = error
            _resolve_members(piece)
        return []

    def _notify_watch(self, what: str, piece: list[_PendingMember]) -> None:
        if self._watch is not None:
            self._watch(what, [waiting.member for waiting in piece])


def _fail_members(
    piece: list[_PendingMember],
    kind: type[errors.OutcomeUnknown | errors.RetryableError],
    cause: BaseException | None,
) -> None:
    """Resolve each member of *piece* with an exception of its own."""
    unknown = kind is errors.OutcomeUnknown
    message = "it is unknown whether this was committed" if unknown else "nothing was written"
    for waiting in piece:
        waiting.error = kind(message)
        waiting.error.__cause__ = cause
    _resolve_members(piece)


def _resolve_members(piece: list[_PendingMember]) -> None:
    """Resolve all members of *piece*, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_PendingMember]] = {}
    for waiting in piece:
        waiting.is_resolved = True
        if waiting.loop is None:
            _set_futures([waiting])
        else:
            by_loop.setdefault(waiting.loop, []).append(waiting)
    for loop, loop_members in by_loop.items():
        # A loop that was closed meanwhile has no waiting tasks.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_set_futures, loop_members)


def _set_futures(answered: list[_PendingMember]) -> None:
    for waiting in answered:
        if waiting.future.done():
            continue
        if isinstance(waiting.error, StopIteration):  # which no future can hold
            waiting.future.set_exception(RuntimeError(f"the member raised {waiting.error!r}"))
        elif waiting.error is not None:
            waiting.future.set_exception(waiting.error)
        else:
            waiting.future.set_result(waiting.value)


def _is_transaction_broken(connection: BaseDatabaseWrapper) -> bool:
    """Whether COMMIT would silently drop writes of the transaction."""
    if connection.needs_rollback:
        return True
    if connection.vendor == "sqlite":
        return not connection.connection.in_transaction
    return connection.connection.pgconn.transaction_status not in _USABLE_TRANSACTION_STATUSES


def _error_state(error: BaseException | None) -> str:
    """Return the SQLSTATE or SQLite's error name, or "" if there is none."""
    cause = error.__cause__ if isinstance(error, db.Error) else None
    return getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""


def _is_connection_lost(connection: BaseDatabaseWrapper, error: BaseException | None) -> bool:
    """Whether the connection is lost; always false on SQLite."""
    if connection.vendor == "sqlite":
        return False
    if connection.connection is None or connection.connection.closed:
        return True
    state = _error_state(error)
    return state.startswith(_CONNECTION_LOST) or (
        isinstance(error, db.OperationalError) and not state
    )


def _is_commit_rejected(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Whether the database certainly rejected COMMIT; false in case of doubt."""
    state = _error_state(error)
    if connection.vendor == "sqlite":
        return state.startswith(_SQLITE_COMMIT_REJECTIONS)
    return state not in ("", "40003") and not _is_connection_lost(connection, error)


def require_transaction(using: str = "default") -> None:
    """
    Check that a transaction is open; called by every function that writes.

    :raises RuntimeError: if none is open.
    """
    if not connections[using].in_atomic_block:
        raise RuntimeError(
            "no open transaction: write through group_commit.commits.run or .run_blocking"
        )


commits = GroupCommit()
