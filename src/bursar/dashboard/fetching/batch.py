"""
One batch of fetches: the attempts, timers and hedges of every source, until each has a result.

No task waits for a source: each attempt is a task, and its done callback decides what follows. So a
source that does not even stop when it is cancelled holds up no other.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bursar import errors
from bursar.dashboard.fetching.hedging_policy import (
    FIRST_WAVE_SHARE,
    SOURCES_MIN,
    HedgeBudget,
    LatencyEstimator,
)
from bursar.dashboard.fetching.host_limits import Host, Permit
from bursar.dashboard.fetching.results import FetchResult, FetchStatus
from bursar.dashboard.fetching.sources import Source, SourceUnavailable, to_fetch_failure

#: The pause before the second retry; it doubles. With hedging the first retry starts at once.
RETRY_PAUSE_SECONDS = 0.05
#: How long cancelled tasks are awaited; later ones become stragglers.
CANCEL_SECONDS = 0.1

OnResult = Callable[[FetchResult[Any]], None]


@dataclass(slots=True, kw_only=True)
class FetchState:
    """State that is shared by all batches of a fetcher."""

    now: Callable[[], datetime]
    random: Callable[[], float]
    hedge_budget: HedgeBudget
    hosts: dict[str, Host] = field(default_factory=dict)
    latencies: dict[str, LatencyEstimator] = field(default_factory=dict)
    last_values: dict[str, tuple[Any, datetime]] = field(default_factory=dict)
    """The last value of each source, and its time."""

    stragglers: set[asyncio.Task[Any]] = field(default_factory=set)
    """Cancelled tasks that are still running."""


@dataclass(slots=True, kw_only=True)
class Executors:
    """The functions that fetch a source and transform a value."""

    fetch: Callable[[Source], Awaitable[Any]]
    transform: Callable[[Callable[[Any], Any], Any], Awaitable[Any]]


@dataclass(eq=False, slots=True)
class _Attempt:
    fetch: _SourceFetch
    started_at: float
    timeout_seconds: float
    is_first: bool
    task: asyncio.Task[Any] | None = None
    timer: asyncio.TimerHandle | None = None
    is_closed: bool = False


@dataclass(eq=False, slots=True)
class _SourceFetch:
    """The progress of one source in this batch."""

    source: Source
    host: Host
    latency: LatencyEstimator
    attempts: int = 0
    failures: int = 0
    running: list[_Attempt] = field(default_factory=list)
    hedged: bool = False
    reason: str = ""
    as_of: datetime | None = None
    permit: Permit | None = None
    transform_task: asyncio.Task[Any] | None = None
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)


class FetchBatch:
    """Fetches *sources* once; a batch cannot be reused."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        state: FetchState,
        executors: Executors,
        deadline_seconds: float,
        on_result: OnResult | None,
        hedging: bool,
    ) -> None:
        self._sources = sources
        self._state, self._executors = state, executors
        self._deadline_seconds, self._on_result, self._hedging = (
            deadline_seconds,
            on_result,
            hedging,
        )
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._results: dict[str, FetchResult[Any]] = {}
        self._open: dict[str, _SourceFetch] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started_at = self._loop.time()
        self._slowest = 0.0
        # The last sources of a batch are hedged, as far as the budget allows.
        self._hedges_available = state.hedge_budget.limit_for(len(sources)) if hedging else 0
        self._first_attempts_pending = len(sources)
        self._final_hedging_at = max(int(FIRST_WAVE_SHARE * self._hedges_available), 1)
        self._is_final = False

    async def run(self) -> dict[str, FetchResult[Any]]:
        """Fetch all sources. Returns their results in the order of the sources."""
        timer = self._loop.call_later(self._deadline_seconds, self._on_deadline)
        try:
            for source in self._sources:
                self._start_source(source)
            if self._sources:
                await self._done
        finally:
            timer.cancel()
            for fetch in self._unfinished():
                self._finish(fetch)
            await self._await_cancelled()
        return {source.key: self._results[source.key] for source in self._sources}

    def _start_source(self, source: Source) -> None:
        state = self._state
        name = source.host or source.key
        host = state.hosts.get(name)
        if host is None:
            host = state.hosts[name] = Host(name, monotonic=self._loop.time)
        latency = state.latencies.get(source.key)
        if latency is None:
            latency = state.latencies[source.key] = LatencyEstimator()
        fetch = self._open[source.key] = _SourceFetch(source, host, latency)
        if source.timeout_seconds < self._deadline_seconds:
            self._call_later(fetch, "source", source.timeout_seconds, self._time_out_source)
        self._queue_attempt(fetch)

    # --- Attempts -------------------------------------------------------------------------------

    def _queue_attempt(self, fetch: _SourceFetch) -> None:
        """Start an attempt, or queue it until its host has a free slot."""
        start = functools.partial(self._start_attempt, fetch)
        fetch.permit = fetch.host.acquire(fetch.source.max_concurrency, start)

    def _start_attempt(self, fetch: _SourceFetch) -> None:
        """Start an attempt; its host has a slot for it."""
        fetch.permit = None
        try:
            fetch.host.circuit.before_call()
        except errors.Unavailable as error:
            fetch.host.release()
            if not fetch.running:
                self._set_fallback(fetch, error.message)
            return
        fetch.attempts += 1
        if fetch.attempts == 1:
            self._state.hedge_budget.calls += 1
        seconds = self._attempt_timeout(fetch)
        attempt = _Attempt(fetch, self._loop.time(), seconds, is_first=fetch.attempts == 1)
        attempt.task = self._loop.create_task(self._run_attempt(attempt))
        attempt.timer = self._loop.call_later(seconds, self._time_out_attempt, attempt)
        self._tasks.add(attempt.task)
        attempt.task.add_done_callback(functools.partial(self._handle_attempt, attempt))
        fetch.running.append(attempt)
        if self._hedging:
            self._hedge_if_late(fetch)

    async def _run_attempt(self, attempt: _Attempt) -> Any:
        attempt.started_at = self._loop.time()  # the task may have waited for the event loop
        return await self._executors.fetch(attempt.fetch.source)

    def _attempt_timeout(self, fetch: _SourceFetch) -> float:
        """Return the timeout of an attempt: all but the last end early if they are far too late."""
        source, latency = fetch.source, fetch.latency
        is_last = fetch.attempts >= source.attempts_max
        if not self._hedging or is_last or not latency.is_ready or not source.is_repeatable:
            return source.attempt_seconds
        return min(source.attempt_seconds, latency.abandon_after_seconds)

    def _handle_attempt(self, attempt: _Attempt, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if attempt.is_closed:
            return  # timed out, or another attempt was faster
        fetch = attempt.fetch
        self._close_attempt(attempt)
        if task.cancelled():
            self._handle_failure(fetch, SourceUnavailable("cancelled", is_retryable=False))
        elif error is None:
            fetch.host.circuit.record_success()
            self._handle_value(attempt, task.result())
        else:
            self._handle_failure(fetch, to_fetch_failure(error, fetch.source.key))
        fetch.host.release()  # after the circuit is updated: the next attempt checks it

    def _time_out_attempt(self, attempt: _Attempt) -> None:
        fetch = attempt.fetch
        self._close_attempt(attempt)
        reason = f"no response within {attempt.timeout_seconds:.3g} s"
        self._handle_failure(fetch, SourceUnavailable(reason, is_retryable=True))
        fetch.host.release()

    def _close_attempt(self, attempt: _Attempt) -> None:
        """Cancel an attempt and ignore its outcome."""
        attempt.is_closed = True
        if attempt.task is not None:
            attempt.task.cancel()
        if attempt.is_first:
            self._first_attempts_pending -= 1
        attempt.fetch.running.remove(attempt)
        if attempt.timer is not None:
            attempt.timer.cancel()

    def _handle_failure(self, fetch: _SourceFetch, failure: SourceUnavailable) -> None:
        """Retry, wait for the other attempt that is running, or finish with the fallback."""
        if fetch.source.key not in self._open:
            return
        fetch.reason = failure.message
        fetch.failures += 1
        circuit = fetch.host.circuit
        self._start_final_hedging()
        if fetch.running:
            circuit.record_cancelled()
            if failure.is_retryable and fetch.attempts < fetch.source.attempts_max:
                self._queue_attempt(fetch)  # a retry, not charged to the hedging budget
            return
        pause = failure.after_seconds or self._retry_pause(fetch)
        remaining = self._started_at + self._deadline_seconds - self._loop.time()
        if (
            not failure.is_retryable
            or fetch.attempts >= fetch.source.attempts_max
            or pause >= remaining
        ):
            if failure.has_host_responded:
                circuit.record_success()
            else:
                circuit.record_failure(failure.message)
            self._set_fallback(fetch, failure.message)
            return
        circuit.record_cancelled()  # only a final failure counts against the host
        if pause:
            self._call_later(fetch, "retry", pause, self._queue_attempt)
        else:
            self._queue_attempt(fetch)

    def _retry_pause(self, fetch: _SourceFetch) -> float:
        if self._hedging and fetch.failures == 1:
            return 0.0
        longest = RETRY_PAUSE_SECONDS * 2.0 ** (fetch.failures - 1)
        return longest * (1 + self._state.random()) / 2

    # --- Hedging ----------------------------------------------------------------------------------

    def _hedge_if_late(self, fetch: _SourceFetch) -> None:
        """Start a second attempt once the latest one is late, within the budget."""
        source = fetch.source
        hedge_after_seconds = self._hedge_after_seconds(fetch)
        if (
            hedge_after_seconds is None
            or not fetch.running
            or fetch.attempts >= source.attempts_max
        ):
            return
        delay = fetch.running[-1].started_at + hedge_after_seconds - self._loop.time()
        if delay > 0:
            self._call_later(fetch, "hedge", delay, self._hedge_if_late)
        elif fetch.host.has_room(source.max_concurrency) and self._state.hedge_budget.try_acquire():
            self._hedges_available -= 1
            fetch.hedged = True
            self._queue_attempt(fetch)

    def _hedge_after_seconds(self, fetch: _SourceFetch) -> float | None:
        """Return after how long an attempt is late; None if it must not be hedged."""
        if not self._hedges_available or not fetch.source.is_repeatable:
            return None
        latency = fetch.latency
        if self._is_final:
            # Nearly all others have responded. It must be late by its own latency, too.
            if not latency.is_ready:
                return self._slowest
            return max(latency.typical_seconds, min(latency.hedge_after_seconds, self._slowest))
        if len(self._sources) < SOURCES_MIN and latency.is_ready:
            return latency.hedge_after_seconds
        return None

    def _start_final_hedging(self) -> None:
        """Hedge the remaining fetches once few enough are left."""
        is_large = len(self._sources) >= SOURCES_MIN
        if (
            is_large
            and not self._is_final
            and self._first_attempts_pending <= self._final_hedging_at
        ):
            self._is_final = True
            for fetch in list(self._open.values()):
                self._hedge_if_late(fetch)

    # --- Results ----------------------------------------------------------------------------------

    def _handle_value(self, attempt: _Attempt, value: Any) -> None:
        fetch = attempt.fetch
        seconds = self._loop.time() - attempt.started_at
        fetch.latency.observe(seconds)
        self._slowest = max(self._slowest, seconds)
        fetch.as_of = self._state.now()
        self._cancel_attempts(fetch)
        if fetch.source.transform is None:
            self._set_result(fetch, FetchStatus.OK, value)
            return
        task = fetch.transform_task = self._loop.create_task(
            self._transform(fetch.source.transform, value)
        )
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._handle_transformed, fetch))

    async def _transform(self, transform: Callable[[Any], Any], value: Any) -> Any:
        return await self._executors.transform(transform, value)

    def _handle_transformed(self, fetch: _SourceFetch, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if self._open.get(fetch.source.key) is not fetch:
            return
        if error is not None or task.cancelled():
            why = error.message if isinstance(error, errors.BursarError) else type(error).__name__
            self._set_fallback(fetch, f"transform failed: {why}")
        else:
            self._set_result(fetch, FetchStatus.OK, task.result())

    def _set_fallback(self, fetch: _SourceFetch, reason: str) -> None:
        """Finish with the last value (stale), or without one (failed)."""
        value, fetch.as_of = self._state.last_values.get(fetch.source.key, (None, None))
        self._set_result(
            fetch, FetchStatus.FAILED if fetch.as_of is None else FetchStatus.STALE, value, reason
        )

    def _set_result(
        self, fetch: _SourceFetch, state: FetchStatus, value: Any, reason: str = ""
    ) -> None:
        self._finish(fetch)
        key = fetch.source.key
        if state is FetchStatus.OK:
            assert fetch.as_of is not None
            self._state.last_values[key] = value, fetch.as_of
        result = self._results[key] = FetchResult(
            key=key,
            state=state,
            value=value,
            as_of=fetch.as_of,
            reason=reason,
            seconds=self._loop.time() - self._started_at,
            attempts=fetch.attempts,
            hedged=fetch.hedged,
        )
        if self._on_result is not None:
            try:
                self._on_result(result)
            except BaseException as error:  # noqa: BLE001  (raised by `run`)
                if not self._done.done():
                    self._done.set_exception(error)
                return
        if self._open:
            self._start_final_hedging()
        elif len(self._results) == len(self._sources) and not self._done.done():
            self._done.set_result(None)

    # --- Deadline ---------------------------------------------------------------------------------

    def _on_deadline(self) -> None:
        """Finish all remaining sources."""
        for fetch in self._unfinished():
            self._time_out_source(fetch)

    def _unfinished(self) -> list[_SourceFetch]:
        """Return the unfinished fetches, queued ones first so that a freed slot starts none of them."""
        return sorted(self._open.values(), key=lambda fetch: fetch.permit is None)

    def _time_out_source(self, fetch: _SourceFetch) -> None:
        seconds = self._loop.time() - self._started_at
        reason = f"no response within {seconds:.3g} s"
        if fetch.transform_task is not None:
            reason = f"transform not finished within {seconds:.3g} s"
        elif fetch.permit is not None:
            reason = f"queued for its host for {seconds:.3g} s"
        elif fetch.reason:
            reason = f"{reason}; previous attempt: {fetch.reason}"
        for attempt in fetch.running:
            if self._loop.time() - attempt.started_at >= seconds / 2:
                fetch.host.circuit.record_failure(reason)
        self._set_fallback(fetch, reason)

    def _finish(self, fetch: _SourceFetch) -> None:
        """Cancel everything that is running or scheduled for a source."""
        self._open.pop(fetch.source.key, None)
        if not fetch.attempts:
            self._first_attempts_pending -= 1
        for timer in fetch.timers.values():
            timer.cancel()
        if fetch.permit is not None:
            fetch.permit.release()
        if fetch.transform_task is not None:
            fetch.transform_task.cancel()
        self._cancel_attempts(fetch)

    def _cancel_attempts(self, fetch: _SourceFetch) -> None:
        for attempt in list(fetch.running):
            self._close_attempt(attempt)
            fetch.host.circuit.record_cancelled()
            fetch.host.release()

    async def _await_cancelled(self) -> None:
        """Wait up to `CANCEL_SECONDS` for cancelled tasks; the others become stragglers."""
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=CANCEL_SECONDS)
            for task in pending:
                self._state.stragglers.add(task)
                task.add_done_callback(self._state.stragglers.discard)

    def _call_later(
        self, fetch: _SourceFetch, name: str, seconds: float, then: Callable[[_SourceFetch], None]
    ) -> None:
        """Call *then* after *seconds*, unless the fetch is finished first; replaces the timer *name*."""
        if name in fetch.timers:
            fetch.timers[name].cancel()
        fetch.timers[name] = self._loop.call_later(seconds, then, fetch)
