"""
The watcher: asks each source at its interval, shows what comes at once, and writes it down.

In one process at a time, by the lease (`leading`); in the others it copies what that one wrote to
their boards, and takes over when the lease runs out. Nothing here waits for a source: tiles land
on the board as they come, and are written in one commit about every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from django import db

from bursar import clock, errors, group_commit, ids, logs, settings
from bursar.dashboard import evaluation, history, leader_election, live_state, state_store
from bursar.dashboard.alerts import creation
from bursar.dashboard.alerts.creation import Change
from bursar.dashboard.checks import registry
from bursar.dashboard.checks.base import MonitorCheck
from bursar.dashboard.config.config_file import DashboardConfig
from bursar.dashboard.evaluation import PreviousState
from bursar.dashboard.fetching.fetcher import Fetcher
from bursar.dashboard.fetching.results import FetchResult
from bursar.dashboard.history import Point
from bursar.dashboard.live_state import LiveState
from bursar.db_reader import DatabaseThreadPool
from bursar.queue import jobs

#: How often it looks who is due, writes what came, and (following) reads what was written.
TURN_SECONDS: Final = 1.0
#: How often it looks what is to be watched, and for the lease.
LOOK_SECONDS: Final = 5.0
#: Beyond a source's own time, for a round to end.
_GRACE_SECONDS: Final = 1.0
#: Points of a source that wait while the database is away; older ones are dropped.
_POINTS_MAX: Final = 1_000
#: So many states in one commit: payments wait for it, too.
_WRITTEN_MAX: Final = 50

log = logs.get(__name__)


class MonitorScheduler:
    """
    Watches what *file*, the back office and the provider accounts say, on *board*.

    *alone*: no other process may hold the lease (SQLite), so that of a predecessor is void.
    *now* is the wall clock; *monotonic* and *sleep* are that of the intervals.
    """

    def __init__(
        self,
        *,
        file: DashboardConfig,
        board: LiveState,
        gathering: Fetcher,
        alone: bool,
        now: Callable[[], datetime] = clock.now,
        monotonic: Callable[[], float] = clock.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.leads = False
        self._file, self._board, self._gathering = file, board, gathering
        self._by_force = alone
        self._now, self._monotonic, self._sleep = now, monotonic, sleep
        self._token = ids.new("watch")
        self._reader = DatabaseThreadPool(threads=1, name="watch")
        self._watches: dict[str, MonitorCheck] = {}
        self._known: dict[str, PreviousState] = {}
        self._due: dict[str, float] = {}
        self._looked = self._extended = -LOOK_SECONDS
        self._rounds: set[asyncio.Task[None]] = set()
        self._asked: set[str] = set()
        self._unwritten: dict[str, PreviousState] = {}
        self._points: dict[str, list[Point]] = {}
        self._changes: dict[str, Change] = {}
        self._gone: set[str] = set()
        self._seq = 0

    async def run(self) -> None:
        """Watch until cancelled; then what came is written and the lease given back."""
        try:
            while True:
                try:
                    await self.tick()
                except leader_election.LeaseLost:
                    log.warning("watch_lease_lost")
                    self.step_down()
                except (errors.Unavailable, errors.OutcomeUnknown, db.Error) as error:
                    # The database is away: the board goes on, and what came waits to be written.
                    log.warning("watch_not_written", error=error, waiting=len(self._unwritten))
                    if isinstance(error, errors.OutcomeUnknown):
                        self._points.clear()  # they may be counted already
                except Exception:  # the process also takes payments: a bug here must not end it
                    log.exception("watch_turn_failed")
                await self._sleep(TURN_SECONDS)
        finally:
            await self.end()

    async def tick(self) -> None:
        """
        Do what is due once.

        :raises leader_election.LeaseLost: if another process watches by now.
        """
        if self._is_time():
            await self._look()
        if not self.leads:
            await self._follow()
            return
        self._ask()
        await self._write()

    async def settled(self) -> None:
        """Wait until all that was asked has answered or failed."""
        while self._rounds:
            await asyncio.wait(set(self._rounds))

    def _is_time(self) -> bool:
        now = self._monotonic()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        return True

    async def _look(self) -> None:
        if not self.leads:
            force, self._by_force = self._by_force, False
            took = await group_commit.commits.run(lambda: _take(self._token, force))
            if not took:
                return
            log.info("watching", token=self._token)
            self.leads = True
            self._recall(await self._reader.run(state_store.load))
        watches = await self._reader.run(
            lambda: registry.all_monitors(self._file, reading=self._reader.run)
        )
        for key in (self._known.keys() | self._watches.keys()) - watches.keys():
            self._drop(key)
        for key in watches.keys() - self._watches.keys():
            self._due[key] = self._monotonic()
            self._gone.discard(key)
        self._watches = watches

    def _recall(self, known: dict[str, PreviousState]) -> None:
        self._known = known
        for one in known.values():
            self._board.put(one.view)
        for key in {view.key for view in self._board.views()} - known.keys():
            self._board.remove(key)

    def _drop(self, key: str) -> None:
        known = self._known.pop(key, None)
        if known is not None and known.standing.told != "ok":
            ended = dataclasses.replace(known.view, reason="it is watched no more")
            self._alert(
                Change(
                    alert_id=ids.new(ids.ALERT), view=ended, before=known.standing.told, after="ok"
                )
            )
        self._due.pop(key, None)
        self._unwritten.pop(key, None)
        self._points.pop(key, None)
        self._gone.add(key)
        self._board.remove(key)
        self._gathering.forget(key)

    def step_down(self) -> None:
        """Follow from now on: another process watches, and what this one knows is not the truth."""
        self.leads = False
        for what in (
            self._unwritten,
            self._points,
            self._changes,
            self._gone,
            self._known,
            self._watches,
            self._due,
        ):
            what.clear()
        self._seq = 0  # the board is brought in line with what the new one wrote

    # --- Asking -------------------------------------------------------------------------------

    def _ask(self) -> None:
        now = self._monotonic()
        due = [
            w
            for key, w in self._watches.items()
            if self._due[key] <= now and key not in self._asked
        ]
        if not due:
            return
        for watch in due:
            self._asked.add(watch.key)
            # From when it was due, so that intervals do not drift; but none is made up for.
            late = max(now - self._due[watch.key], 0.0) % watch.interval_seconds
            self._due[watch.key] = now - late + watch.interval_seconds
        task = asyncio.create_task(self._round({watch.key: watch for watch in due}))
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)

    async def _round(self, due: dict[str, MonitorCheck]) -> None:
        deadline = max(watch.source.timeout_seconds for watch in due.values()) + _GRACE_SECONDS

        def land(tile: FetchResult[Any]) -> None:
            self._asked.discard(tile.key)
            self._landed(due[tile.key], tile)

        try:
            await self._gathering.fetch_all(
                [watch.source for watch in due.values()], deadline_seconds=deadline, on_tile=land
            )
        except Exception:  # a bug here must not end the watch
            log.exception("watch_round_failed")
        finally:
            self._asked -= due.keys()

    def _landed(self, watch: MonitorCheck, tile: FetchResult[Any]) -> None:
        if watch.key not in self._watches:
            return  # dropped meanwhile, or another process leads
        now = self._now()
        seen = evaluation.evaluate(watch, tile, self._known.get(watch.key), now=now)
        known = self._known[watch.key] = self._unwritten[watch.key] = seen.known
        self._board.put(known.view)
        points = self._points.setdefault(watch.key, [])
        points += [
            Point(source_key=watch.key, series=series, at=known.view.as_of or now, value=value)
            for series, value in seen.numbers.items()
        ]
        del points[:-_POINTS_MAX]
        if seen.alert is not None:
            before, after = seen.alert
            self._alert(
                Change(alert_id=ids.new(ids.ALERT), view=known.view, before=before, after=after)
            )

    def _alert(self, change: Change) -> None:
        self._changes[change.alert_id] = change
        log.warning("alert", source=change.view.key, before=change.before, after=change.after)

    # --- Writing ------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Write what came, and extend the lease if only that is left to do."""
        keys = list(self._unwritten)
        idle = not (keys or self._changes or self._gone)
        if idle and self._monotonic() - self._extended < LOOK_SECONDS:
            return
        for start in range(0, max(len(keys), 1), _WRITTEN_MAX):
            await self._write_some(keys[start : start + _WRITTEN_MAX])

    async def _write_some(self, keys: list[str]) -> None:
        """Write the states of *keys* with all that belongs to them, in one commit."""
        states = {key: self._unwritten[key] for key in keys}
        points = {key: list(self._points.get(key, ())) for key in keys}
        # Each with its state; those of sources that are gone have none.
        changes = [
            c
            for c in self._changes.values()
            if c.view.key in states or c.view.key not in self._unwritten
        ]
        gone, now = set(self._gone), self._now()
        shown = [evaluation.to_json(change.view.readings) for change in changes]

        def write() -> None:
            first = leader_election.next_sequence(
                len(states), token=self._token, now=jobs.database_time()
            )
            state_store.save(states.values(), first=first)
            state_store.forget(gone)
            history.add(point for several in points.values() for point in several)
            creation.create_alerts(changes, readings=shown, now=now)

        await group_commit.commits.run(write)
        self._extended = self._monotonic()
        for key, known in states.items():
            if self._unwritten.get(key) is known:
                del self._unwritten[key]
            del self._points.get(key, [])[: len(points[key])]
        for change in changes:
            self._changes.pop(change.alert_id, None)
        self._gone -= gone

    async def _follow(self) -> None:
        self._seq, views = await self._reader.run(lambda: state_store.changes_since(self._seq))
        for view in views:
            self._board.put(view)
        there = await self._reader.run(state_store.keys)
        for key in {view.key for view in self._board.views()} - there:
            self._board.remove(key)

    async def end(self) -> None:
        """Leave what is under way, write what came, and give the lease back."""
        for task in self._rounds:
            task.cancel()
        if self._rounds:
            await asyncio.wait(set(self._rounds))
        if self.leads:
            with contextlib.suppress(errors.BursarError, db.Error):
                await self._write()
                await group_commit.commits.run(lambda: _give_back(self._token))
        await asyncio.to_thread(self._reader.close)


def _take(token: str, by_force: bool) -> bool:  # noqa: FBT001  (its one caller is above)
    return leader_election.acquire(token=token, now=jobs.database_time(), by_force=by_force)


def _give_back(token: str) -> None:
    leader_election.release(token=token, now=jobs.database_time())


async def watch(file: DashboardConfig) -> None:
    """Watch, for as long as this process serves, on its board; ends when it is cancelled."""
    alone = settings.current.database_url is None
    async with Fetcher() as gathering:
        await MonitorScheduler(
            file=file, board=live_state.current(), gathering=gathering, alone=alone
        ).run()
