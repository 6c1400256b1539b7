"""
One COMMIT for all who wait: the only place where transactions are opened.

A commit costs one sync of the disk, however much it holds. One writer thread takes whatever has
queued up, runs it in one transaction and answers after COMMIT; who comes while the disk syncs
goes into the next batch. Nobody waits for company: an idle system commits a lone member at once.

A member is a function without arguments that writes through Django's connection and may be run
more than once, so ids and times are decided before. The batch is optimistic: savepoints cost
PostgreSQL threefold, and a deferred foreign key or a full disk kills the batch all the same. When
it fails nothing of it stays, and its members run again, apart from the one to blame.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from django import db
from django.db import connections, transaction

from bursar import errors

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: How often one member is run when a lost connection or a deadlock takes it down.
_ATTEMPTS_MAX = 3
#: libpq's PQTRANS_IDLE (psycopg sends BEGIN with the first statement) and PQTRANS_INTRANS.
_USABLE_TRANSACTION_STATUSES = (0, 2)
#: SQLSTATE of a lost connection: class 08, and a server that stops or crashed.
_CONNECTION_LOST = ("08", "57P0")
#: SQLSTATE class 40: a deadlock or a serialization failure; the same may succeed at once.
_SERIALIZATION_FAILURE = "40"
#: No room or no lock (class 53): nothing is wrong with the member.
_TRANSIENT = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "53", _SERIALIZATION_FAILURE)
#: Answers of SQLite to COMMIT after which it surely did not happen; SQLITE_IOERR is not one.
_SQLITE_COMMIT_REJECTIONS = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CONSTRAINT")


class NestedTransaction(RuntimeError):
    """A member was handed in from inside a transaction: it might wait for itself for ever."""


class WriteQueueFull(errors.RetryableError):
    """Too many members wait already; this one was not queued."""

    code = "write_queue_full"


class _TransactionResult(NamedTuple):
    """
    How one transaction ended.

    `failed`: the member *at* raised or spoilt it; `refused`: the database said no to COMMIT;
    `unknown`: COMMIT was sent and nobody knows.
    """

    kind: Literal["committed", "not_begun", "failed", "refused", "unknown"]
    error: BaseException | None = None
    at: int = 0


@dataclass(slots=True, eq=False)
class _PendingMember:
    """One member, whoever waits for it, and its answer."""

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
    A writer thread for one database, started at the first member.

    At most *batch_max* members share a transaction, at most *pending_max* wait. *watch* is called
    on the writer thread with `begin`, `commit` (to be sent now), `committed` (nobody was answered
    yet) or `rolled_back`, and the members; after an unknown outcome neither of the last two
    comes. It should not raise; if it does, the batch ends as unknown or as not written.

    No pool of the standard library takes all that waits as one task, which a batch is
    (`test_a_batch_is_one_transaction`); hence a thread with a queue of its own.
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
        Commit *member* with whoever else waits; returns what it returned, after COMMIT.

        If the waiting task is cancelled the member is committed all the same.

        :raises NestedTransaction: on the writer thread (a coroutine cannot open a transaction).
        :raises Busy: if `pending_max` members wait.
        :raises errors.RetryableError: if nothing happened: closed, no connection, a full disk.
        :raises errors.OutcomeUnknown: if the connection was lost during COMMIT.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._enqueue(_PendingMember(member, future, loop))
        return await future

    def run_blocking(self, member: Callable[[], T]) -> T:
        """
        Do what `run` does for callers without an event loop; the thread blocks.

        :raises NestedTransaction: if the caller is inside a transaction.
        """
        if connections[self._using].in_atomic_block:
            raise NestedTransaction("members are handed in outside transactions")
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._enqueue(_PendingMember(member, future, None))
        return future.result()

    def close(self, *, timeout_seconds: float = 30.0) -> None:
        """
        Commit what is queued, stop the thread and close its connection; refuse new members.

        :raises TimeoutError: if the thread is not done in time; it goes on by itself.
        """
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            if self._thread.is_alive():
                raise TimeoutError(f"the writer thread still works after {timeout_seconds} s")

    def _enqueue(self, waiting: _PendingMember) -> None:
        if threading.current_thread() is self._thread:
            raise NestedTransaction("a member cannot wait for another")
        with self._wake:
            if self._closed:
                raise errors.RetryableError("nothing more is written: this process is stopping")
            if len(self._queue) >= self._pending_max:
                raise WriteQueueFull("too many wait to be written", after_seconds=1.0)
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
            # A thread that may sleep for hours must not keep results alive.
            del batch
        connections[self._using].close()

    def _take_batch(self) -> list[_PendingMember]:
        """Wait for the next batch; nothing when closed and drained."""
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
        except BaseException as error:  # noqa: BLE001 - whatever broke, nobody may wait for ever
            _log.critical("the writer itself failed", exc_info=error)
            _fail_members([w for w in batch if not w.is_resolved], errors.OutcomeUnknown, error)
            with contextlib.suppress(db.Error):
                connections[self._using].close()

    def _run_transaction(self, piece: list[_PendingMember]) -> _TransactionResult:
        connection = connections[self._using]
        verdict: _TransactionResult | None = None
        self._notify_watch("begin", piece)
        try:
            with transaction.atomic(using=self._using, durable=True):
                verdict = self._commit(connection, piece)
                if verdict.kind != "committed":
                    transaction.set_rollback(True, using=self._using)
                if verdict.kind == "unknown" or _is_connection_lost(connection, verdict.error):
                    # Inside the block, so that leaving it does not talk to a dead server.
                    connection.close()
        except Exception as error:  # noqa: BLE001 - once there is a verdict nothing can change it
            with contextlib.suppress(db.Error):
                connection.close()
            if verdict is None:
                return _TransactionResult("not_begun", error)
            _log.warning("left a transaction (%s) badly", verdict.kind, exc_info=error)
        return verdict

    def _commit(
        self, connection: BaseDatabaseWrapper, piece: list[_PendingMember]
    ) -> _TransactionResult:
        for at, waiting in enumerate(piece):
            try:
                waiting.value = waiting.context.run(waiting.member)
            except BaseException as error:  # noqa: BLE001 - it is the member's, not the thread's
                return _TransactionResult("failed", error, at)
            if _is_transaction_broken(connection):
                spoilt = transaction.TransactionManagementError("went on after a database error")
                return _TransactionResult("failed", spoilt, at)
        self._notify_watch("commit", piece)
        try:
            # By hand, so that no other failure can be taken for a refused COMMIT.
            with connection.wrap_database_errors:
                connection.connection.commit()
        except BaseException as error:  # noqa: BLE001 - only what is surely a no is a no
            return _TransactionResult(
                "refused" if _is_commit_rejected(connection, error) else "unknown", error
            )
        return _TransactionResult("committed")

    def _handle_result(
        self, piece: list[_PendingMember], verdict: _TransactionResult
    ) -> list[list[_PendingMember]]:
        """Answer the members of *piece*, or return the pieces in which they are to run again."""
        kind, error, at = verdict
        if kind == "committed":
            self._notify_watch("committed", piece)
            _resolve_members(piece)
            return []
        if kind == "unknown":
            _fail_members(piece, errors.OutcomeUnknown, error)
            return []
        self._notify_watch("rolled_back", piece)
        if len(piece) > 1 and kind == "failed":
            # Only the culprit apart: an order turned down must not cost 500 others a sync each.
            return [part for part in (piece[:at], [piece[at]], piece[at + 1 :]) if part]
        if len(piece) > 1 and kind == "refused":
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
    """Answer each of *piece* with an exception of its own."""
    unknown = kind is errors.OutcomeUnknown
    message = "nobody knows whether this was committed" if unknown else "nothing was written"
    for waiting in piece:
        waiting.error = kind(message)
        waiting.error.__cause__ = cause
    _resolve_members(piece)


def _resolve_members(piece: list[_PendingMember]) -> None:
    """Answer all of *piece*, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_PendingMember]] = {}
    for waiting in piece:
        waiting.is_resolved = True
        if waiting.loop is None:
            _set_futures([waiting])
        else:
            by_loop.setdefault(waiting.loop, []).append(waiting)
    for loop, loop_members in by_loop.items():
        # A loop that was closed meanwhile has nobody left to tell.
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
    """Tell whether COMMIT would silently keep less than was written."""
    if connection.needs_rollback:
        return True
    if connection.vendor == "sqlite":
        return not connection.connection.in_transaction
    return connection.connection.pgconn.transaction_status not in _USABLE_TRANSACTION_STATUSES


def _error_state(error: BaseException | None) -> str:
    """Return what the database calls the error (SQLSTATE or SQLite's name), or nothing."""
    cause = error.__cause__ if isinstance(error, db.Error) else None
    return getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""


def _is_connection_lost(connection: BaseDatabaseWrapper, error: BaseException | None) -> bool:
    """Tell whether the connection is gone; a SQLite file has none to lose."""
    if connection.vendor == "sqlite":
        return False
    if connection.connection is None or connection.connection.closed:
        return True
    state = _error_state(error)
    return state.startswith(_CONNECTION_LOST) or (
        isinstance(error, db.OperationalError) and not state
    )


def _is_commit_rejected(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Tell whether the database surely refused COMMIT; a doubt is no refusal."""
    state = _error_state(error)
    if connection.vendor == "sqlite":
        return state.startswith(_SQLITE_COMMIT_REJECTIONS)
    return state not in ("", "40003") and not _is_connection_lost(connection, error)


def require_transaction(using: str = "default") -> None:
    """
    Do nothing inside a transaction; features call this before they write.

    :raises RuntimeError: if none is open.
    """
    if not connections[using].in_atomic_block:
        raise RuntimeError("this writes: hand it to group_commit.commits.run or .wait")


commits = GroupCommit()
