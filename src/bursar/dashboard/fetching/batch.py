"""
One round of asking: every source's attempts, timers and second attempts, until all have a tile.

No task waits for a source: each attempt is one task, and what follows is decided where it lands.
So a source that does not even stop when it is cancelled holds up nobody.
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
    BOARD_MIN,
    FEW_SHARE,
    HedgeBudget,
    LatencyEstimator,
)
from bursar.dashboard.fetching.host_limits import Host, Permit
from bursar.dashboard.fetching.results import FetchResult, FetchStatus
from bursar.dashboard.fetching.sources import FetchFailed, Source, failure_of

#: The wait after the first attempt that failed; it doubles. With hedging, the first is not waited for.
PAUSE_SECONDS = 0.05
#: How long tasks that were cancelled are waited for; those that go on hold up no board.
SWEEP_SECONDS = 0.1

OnTile = Callable[[FetchResult[Any]], None]


@dataclass(slots=True, kw_only=True)
class FetchState:
    """What outlives a round."""

    now: Callable[[], datetime]
    random: Callable[[], float]
    allowance: HedgeBudget
    hosts: dict[str, Host] = field(default_factory=dict)
    habits: dict[str, LatencyEstimator] = field(default_factory=dict)
    kept: dict[str, tuple[Any, datetime]] = field(default_factory=dict)
    """The last good value of each source."""

    stragglers: set[asyncio.Task[Any]] = field(default_factory=set)
    """Tasks that were cancelled and went on."""


@dataclass(slots=True, kw_only=True)
class Executors:
    """How sources are asked, and their values transformed."""

    ask: Callable[[Source], Awaitable[Any]]
    transform: Callable[[Callable[[Any], Any], Any], Awaitable[Any]]


@dataclass(eq=False, slots=True)
class _Attempt:
    asked: _Asked
    began: float
    seconds_max: float
    first: bool
    task: asyncio.Task[Any] | None = None
    timer: asyncio.TimerHandle | None = None
    over: bool = False


@dataclass(eq=False, slots=True)
class _Asked:
    """A source in this round."""

    source: Source
    host: Host
    habit: LatencyEstimator
    attempts: int = 0
    failures: int = 0
    running: list[_Attempt] = field(default_factory=list)
    hedged: bool = False
    reason: str = ""
    as_of: datetime | None = None
    ticket: Permit | None = None
    calculation: asyncio.Task[Any] | None = None
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)


class FetchBatch:
    """Asks *sources* once and is then used up."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        memory: FetchState,
        means: Executors,
        deadline_seconds: float,
        on_tile: OnTile | None,
        hedging: bool,
    ) -> None:
        self._sources = sources
        self._memory, self._means = memory, means
        self._deadline_seconds, self._on_tile, self._hedging = deadline_seconds, on_tile, hedging
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._tiles: dict[str, FetchResult[Any]] = {}
        self._open: dict[str, _Asked] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._began = self._loop.time()
        self._slowest = 0.0
        # The last few of a board may be asked a second time, as many as the allowance has.
        self._extra_left = memory.allowance.of(len(sources)) if hedging else 0
        self._first_left = len(sources)
        self._few = max(int(FEW_SHARE * self._extra_left), 1)
        self._few_left = False

    async def run(self) -> dict[str, FetchResult[Any]]:
        """Ask all; their tiles, in the order of the sources."""
        timer = self._loop.call_later(self._deadline_seconds, self._too_late)
        try:
            for source in self._sources:
                self._begin(source)
            if self._sources:
                await self._over
        finally:
            timer.cancel()
            for asked in self._still_open():
                self._leave(asked)
            await self._sweep()
        return {source.key: self._tiles[source.key] for source in self._sources}

    def _begin(self, source: Source) -> None:
        memory = self._memory
        name = source.host or source.key
        host = memory.hosts.get(name)
        if host is None:
            host = memory.hosts[name] = Host(name, monotonic=self._loop.time)
        habit = memory.habits.get(source.key)
        if habit is None:
            habit = memory.habits[source.key] = LatencyEstimator()
        asked = self._open[source.key] = _Asked(source, host, habit)
        if source.timeout_seconds < self._deadline_seconds:
            self._after(asked, "source", source.timeout_seconds, self._out_of_time)
        self._call(asked)

    # --- Attempts -------------------------------------------------------------------------------

    def _call(self, asked: _Asked) -> None:
        """Start an attempt, or wait for a place at its host."""
        start = functools.partial(self._attempt, asked)
        asked.ticket = asked.host.acquire(asked.source.max_concurrency, start)

    def _attempt(self, asked: _Asked) -> None:
        """Start an attempt; there is a place for it at its host."""
        asked.ticket = None
        try:
            asked.host.circuit.before_call()
        except errors.Unavailable as error:
            asked.host.release()
            if not asked.running:
                self._miss(asked, error.message)
            return
        asked.attempts += 1
        if asked.attempts == 1:
            self._memory.allowance.calls += 1
        seconds = self._patience(asked)
        attempt = _Attempt(asked, self._loop.time(), seconds, first=asked.attempts == 1)
        attempt.task = self._loop.create_task(self._ask(attempt))
        attempt.timer = self._loop.call_later(seconds, self._too_long, attempt)
        self._tasks.add(attempt.task)
        attempt.task.add_done_callback(functools.partial(self._landed, attempt))
        asked.running.append(attempt)
        if self._hedging:
            self._watch(asked)

    async def _ask(self, attempt: _Attempt) -> Any:
        attempt.began = self._loop.time()  # of hundreds, this one's turn is now
        return await self._means.ask(attempt.asked.source)

    def _patience(self, asked: _Asked) -> float:
        """Seconds for an attempt: what its habit makes hopeless is given up, but for the last."""
        source, habit = asked.source, asked.habit
        last = asked.attempts >= source.attempts_max
        if not self._hedging or last or not habit.known or not source.repeatable:
            return source.attempt_seconds
        return min(source.attempt_seconds, habit.abandon_after_seconds)

    def _landed(self, attempt: _Attempt, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if attempt.over:
            return  # given up, or another one was faster
        asked = attempt.asked
        self._close(attempt)
        if task.cancelled():
            self._went_wrong(asked, FetchFailed("it was cancelled", again=False))
        elif error is None:
            asked.host.circuit.record_success()
            self._answered(attempt, task.result())
        else:
            self._went_wrong(asked, failure_of(error, asked.source.key))
        asked.host.release()  # not before its circuit knows: the next one asks it

    def _too_long(self, attempt: _Attempt) -> None:
        asked = attempt.asked
        self._close(attempt)
        reason = f"no answer within {attempt.seconds_max:.3g} s"
        self._went_wrong(asked, FetchFailed(reason, again=True))
        asked.host.release()

    def _close(self, attempt: _Attempt) -> None:
        """It no longer counts, however it ends."""
        attempt.over = True
        if attempt.task is not None:
            attempt.task.cancel()
        if attempt.first:
            self._first_left -= 1
        attempt.asked.running.remove(attempt)
        if attempt.timer is not None:
            attempt.timer.cancel()

    def _went_wrong(self, asked: _Asked, failure: FetchFailed) -> None:
        """Try again, if that may help; or leave it to the attempt that still runs."""
        if asked.source.key not in self._open:
            return
        asked.reason = failure.message
        asked.failures += 1
        circuit = asked.host.circuit
        self._look_who_is_left()
        if asked.running:
            circuit.record_cancelled()
            if failure.again and asked.attempts < asked.source.attempts_max:
                self._call(asked)  # the other one is late: this is a retry, no extra call
            return
        pause = failure.after_seconds or self._pause(asked)
        left = self._began + self._deadline_seconds - self._loop.time()
        if not failure.again or asked.attempts >= asked.source.attempts_max or pause >= left:
            if failure.well:
                circuit.record_success()
            else:
                circuit.record_failure(failure.message)
            self._miss(asked, failure.message)
            return
        circuit.record_cancelled()  # only a source that is given up counts against its host
        if pause:
            self._after(asked, "again", pause, self._call)
        else:
            self._call(asked)

    def _pause(self, asked: _Asked) -> float:
        if self._hedging and asked.failures == 1:
            return 0.0
        longest = PAUSE_SECONDS * 2.0 ** (asked.failures - 1)
        return longest * (1 + self._memory.random()) / 2

    # --- Second attempts beside the first -------------------------------------------------------

    def _watch(self, asked: _Asked) -> None:
        """Ask a second time once the newest attempt is late, as far as the allowance goes."""
        source = asked.source
        late = self._late_seconds(asked)
        if late is None or not asked.running or asked.attempts >= source.attempts_max:
            return
        left = asked.running[-1].began + late - self._loop.time()
        if left > 0:
            self._after(asked, "late", left, self._watch)
        elif asked.host.has_room(source.max_concurrency) and self._memory.allowance.try_acquire():
            self._extra_left -= 1
            asked.hedged = True
            self._call(asked)

    def _late_seconds(self, asked: _Asked) -> float | None:
        """When an attempt is late; None where nothing tells."""
        if not self._extra_left or not asked.source.repeatable:
            return None
        habit = asked.habit
        if self._few_left:
            # Nearly all others have answered. Not before it is late for itself, too.
            if not habit.known:
                return self._slowest
            return max(habit.typical_seconds, min(habit.hedge_after_seconds, self._slowest))
        if len(self._sources) < BOARD_MIN and habit.known:
            return habit.hedge_after_seconds
        return None

    def _look_who_is_left(self) -> None:
        enough = len(self._sources) >= BOARD_MIN
        if enough and not self._few_left and self._first_left <= self._few:
            self._few_left = True
            for asked in list(self._open.values()):
                self._watch(asked)

    # --- Answers --------------------------------------------------------------------------------

    def _answered(self, attempt: _Attempt, value: Any) -> None:
        asked = attempt.asked
        seconds = self._loop.time() - attempt.began
        asked.habit.observe(seconds)
        self._slowest = max(self._slowest, seconds)
        asked.as_of = self._memory.now()
        self._leave_attempts(asked)
        if asked.source.transform is None:
            self._tell(asked, FetchStatus.OK, value)
            return
        task = asked.calculation = self._loop.create_task(
            self._calculate(asked.source.transform, value)
        )
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._calculated, asked))

    async def _calculate(self, transform: Callable[[Any], Any], value: Any) -> Any:
        return await self._means.transform(transform, value)

    def _calculated(self, asked: _Asked, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if self._open.get(asked.source.key) is not asked:
            return
        if error is not None or task.cancelled():
            why = error.message if isinstance(error, errors.BursarError) else type(error).__name__
            self._miss(asked, f"its value could not be calculated: {why}")
        else:
            self._tell(asked, FetchStatus.OK, task.result())

    def _miss(self, asked: _Asked, reason: str) -> None:
        """There is no value of now: show that of before, if there is one."""
        value, asked.as_of = self._memory.kept.get(asked.source.key, (None, None))
        self._tell(
            asked, FetchStatus.FAILED if asked.as_of is None else FetchStatus.STALE, value, reason
        )

    def _tell(self, asked: _Asked, state: FetchStatus, value: Any, reason: str = "") -> None:
        self._leave(asked)
        key = asked.source.key
        if state is FetchStatus.OK:
            assert asked.as_of is not None
            self._memory.kept[key] = value, asked.as_of
        tile = self._tiles[key] = FetchResult(
            key=key,
            state=state,
            value=value,
            as_of=asked.as_of,
            reason=reason,
            seconds=self._loop.time() - self._began,
            attempts=asked.attempts,
            hedged=asked.hedged,
        )
        if self._on_tile is not None:
            try:
                self._on_tile(tile)
            except BaseException as error:  # noqa: BLE001  (it surfaces where the board is awaited)
                if not self._over.done():
                    self._over.set_exception(error)
                return
        if self._open:
            self._look_who_is_left()
        elif len(self._tiles) == len(self._sources) and not self._over.done():
            self._over.set_result(None)

    # --- The end --------------------------------------------------------------------------------

    def _too_late(self) -> None:
        """The board's time is over."""
        for asked in self._still_open():
            self._out_of_time(asked)

    def _still_open(self) -> list[_Asked]:
        """Those that wait for a place first, or they would get it for a moment."""
        return sorted(self._open.values(), key=lambda asked: asked.ticket is None)

    def _out_of_time(self, asked: _Asked) -> None:
        seconds = self._loop.time() - self._began
        reason = f"no answer within {seconds:.3g} s"
        if asked.calculation is not None:
            reason = f"its value was not calculated within {seconds:.3g} s"
        elif asked.ticket is not None:
            reason = f"no turn at its host within {seconds:.3g} s"
        elif asked.reason:
            reason = f"{reason}; before that: {asked.reason}"
        for attempt in asked.running:
            if self._loop.time() - attempt.began >= seconds / 2:
                asked.host.circuit.record_failure(reason)
        self._miss(asked, reason)

    def _leave(self, asked: _Asked) -> None:
        """Stop all that is done for a source in this round."""
        self._open.pop(asked.source.key, None)
        if not asked.attempts:
            self._first_left -= 1
        for timer in asked.timers.values():
            timer.cancel()
        if asked.ticket is not None:
            asked.ticket.release()
        if asked.calculation is not None:
            asked.calculation.cancel()
        self._leave_attempts(asked)

    def _leave_attempts(self, asked: _Asked) -> None:
        for attempt in list(asked.running):
            self._close(attempt)
            asked.host.circuit.record_cancelled()
            asked.host.release()

    async def _sweep(self) -> None:
        """Wait a moment until all tasks have ended; remember those that do not."""
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=SWEEP_SECONDS)
            for task in left:
                self._memory.stragglers.add(task)
                task.add_done_callback(self._memory.stragglers.discard)

    def _after(
        self, asked: _Asked, name: str, seconds: float, then: Callable[[_Asked], None]
    ) -> None:
        """Call *then* in a while, unless the source has its tile by then."""
        if name in asked.timers:
            asked.timers[name].cancel()
        asked.timers[name] = self._loop.call_later(seconds, then, asked)
