"""
Scheduler of the monitors: runs each check at its interval, and writes and publishes the results.

It runs checks in one process at a time, elected by `leader_election`; in the other processes it
copies the leader's states to their live state, and takes over when the lease expires. No check
holds up another: results are published as they arrive, and written in one commit about every second.
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
from bursar.dashboard.alerts.creation import LevelChange
from bursar.dashboard.checks import registry
from bursar.dashboard.checks.base import MonitorCheck
from bursar.dashboard.config.config_file import DashboardConfig
from bursar.dashboard.evaluation import MonitorState
from bursar.dashboard.fetching.fetcher import Fetcher
from bursar.dashboard.fetching.results import FetchResult
from bursar.dashboard.history import HistoryPoint
from bursar.dashboard.live_state import LiveState
from bursar.db_reader import DatabaseThreadPool
from bursar.queue import jobs

#: The interval of `tick`: due checks are started, results written, and a leader's states read.
TICK_SECONDS: Final = 1.0
#: The interval at which the list of monitors is reloaded and the lease renewed.
REFRESH_SECONDS: Final = 5.0
#: Added to the longest timeout of a batch for its deadline.
_GRACE_SECONDS: Final = 1.0
#: The points of a source that are kept while the database is unavailable; older ones are dropped.
_POINTS_MAX: Final = 1_000
#: The states in one commit; payments wait for the same writer.
_STATES_PER_COMMIT_MAX: Final = 50

log = logs.get(__name__)


class MonitorScheduler:
    """
    Runs the monitors of *file*, of the back office and of the provider accounts.

    *is_only_process*: no other process can hold the lease (SQLite), so a predecessor's is taken
    over. *now* is the wall clock; *monotonic* and *sleep* are the clock of the intervals.
    """

    def __init__(
        self,
        *,
        file: DashboardConfig,
        live: LiveState,
        fetcher: Fetcher,
        is_only_process: bool,
        now: Callable[[], datetime] = clock.now,
        monotonic: Callable[[], float] = clock.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.is_leader = False
        self._file, self._live, self._fetcher = file, live, fetcher
        self._takes_over = is_only_process
        self._now, self._monotonic, self._sleep = now, monotonic, sleep
        self._token = ids.new("leader")
        self._reader = DatabaseThreadPool(threads=1, name="monitors")
        self._checks: dict[str, MonitorCheck] = {}
        self._states: dict[str, MonitorState] = {}
        self._due_at: dict[str, float] = {}
        self._refreshed_at = self._written_at = -REFRESH_SECONDS
        self._batches: set[asyncio.Task[None]] = set()
        self._in_progress: set[str] = set()
        self._unwritten: dict[str, MonitorState] = {}
        self._points: dict[str, list[HistoryPoint]] = {}
        self._level_changes: dict[str, LevelChange] = {}
        self._removed: set[str] = set()
        self._sequence = 0

    async def run(self) -> None:
        """Run until cancelled; then write the results so far and release the lease."""
        try:
            while True:
                try:
                    await self.tick()
                except leader_election.LeaderLeaseLost:
                    log.warning("leader_lease_lost")
                    self.step_down()
                except (errors.Unavailable, errors.OutcomeUnknown, db.Error) as error:
                    # Without the database the dashboard goes on, and results wait to be written.
                    log.warning(
                        "monitor_state_write_failed", error=error, unwritten=len(self._unwritten)
                    )
                    if isinstance(error, errors.OutcomeUnknown):
                        self._points.clear()  # they may be committed, and must not count twice
                except Exception:  # this process also takes payments and must go on
                    log.exception("monitor_tick_failed")
                await self._sleep(TICK_SECONDS)
        finally:
            await self.stop()

    async def tick(self) -> None:
        """
        Do once what is due.

        :raises leader_election.LeaderLeaseLost: if another process holds the lease.
        """
        if self._is_refresh_due():
            await self._refresh()
        if not self.is_leader:
            await self._follow()
            return
        self._start_due_checks()
        await self._write()

    async def wait_for_checks(self) -> None:
        """Wait until all running checks have a result."""
        while self._batches:
            await asyncio.wait(set(self._batches))

    def _is_refresh_due(self) -> bool:
        now = self._monotonic()
        if now - self._refreshed_at < REFRESH_SECONDS:
            return False
        self._refreshed_at = now
        return True

    async def _refresh(self) -> None:
        if not self.is_leader:
            force, self._takes_over = self._takes_over, False
            is_acquired = await group_commit.commits.run(
                lambda: leader_election.acquire(
                    token=self._token, now=jobs.database_time(), force=force
                )
            )
            if not is_acquired:
                return
            log.info("monitoring_started", token=self._token)
            self.is_leader = True
            self._restore(await self._reader.run(state_store.load))
        checks = await self._reader.run(
            lambda: registry.all_monitors(self._file, read=self._reader.run)
        )
        for key in (self._states.keys() | self._checks.keys()) - checks.keys():
            self._remove(key)
        for key in checks.keys() - self._checks.keys():
            self._due_at[key] = self._monotonic()
            self._removed.discard(key)
        self._checks = checks

    def _restore(self, states: dict[str, MonitorState]) -> None:
        self._states = states
        for state in states.values():
            self._live.put(state.status)
        for key in {status.key for status in self._live.statuses()} - states.keys():
            self._live.remove(key)

    def _remove(self, key: str) -> None:
        state = self._states.pop(key, None)
        if state is not None and state.alert_state.level != "ok":
            status = dataclasses.replace(state.status, reason="The monitor was removed.")
            self._add_level_change(
                LevelChange(
                    alert_id=ids.new(ids.ALERT),
                    status=status,
                    previous_level=state.alert_state.level,
                    new_level="ok",
                )
            )
        self._due_at.pop(key, None)
        self._unwritten.pop(key, None)
        self._points.pop(key, None)
        self._removed.add(key)
        self._live.remove(key)
        self._fetcher.forget(key)

    def step_down(self) -> None:
        """Become a follower and discard all results that are not written."""
        self.is_leader = False
        for collection in (
            self._unwritten,
            self._points,
            self._level_changes,
            self._removed,
            self._states,
            self._checks,
            self._due_at,
        ):
            collection.clear()
        self._sequence = 0  # so that `_follow` reads all states of the new leader

    # --- Checks -------------------------------------------------------------------------------

    def _start_due_checks(self) -> None:
        now = self._monotonic()
        due = [
            check
            for key, check in self._checks.items()
            if self._due_at[key] <= now and key not in self._in_progress
        ]
        if not due:
            return
        for check in due:
            self._in_progress.add(check.key)
            # Counted from the due time, so that intervals do not drift; missed checks are skipped.
            late = max(now - self._due_at[check.key], 0.0) % check.interval_seconds
            self._due_at[check.key] = now - late + check.interval_seconds
        task = asyncio.create_task(self._run_checks({check.key: check for check in due}))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    async def _run_checks(self, due: dict[str, MonitorCheck]) -> None:
        deadline = max(check.source.timeout_seconds for check in due.values()) + _GRACE_SECONDS

        def on_result(result: FetchResult[Any]) -> None:
            self._in_progress.discard(result.key)
            self._evaluate(due[result.key], result)

        try:
            await self._fetcher.fetch_all(
                [check.source for check in due.values()],
                deadline_seconds=deadline,
                on_result=on_result,
            )
        except Exception:  # one failed batch must not end the scheduler
            log.exception("monitor_fetch_failed")
        finally:
            self._in_progress -= due.keys()

    def _evaluate(self, check: MonitorCheck, result: FetchResult[Any]) -> None:
        if check.key not in self._checks:
            return  # removed in the meantime, or another process leads
        now = self._now()
        outcome = evaluation.evaluate(check, result, self._states.get(check.key), now=now)
        state = self._states[check.key] = self._unwritten[check.key] = outcome.state
        self._live.put(state.status)
        points = self._points.setdefault(check.key, [])
        at = state.status.last_success_at or now
        points += [
            HistoryPoint(source_key=check.key, series=series, at=at, value=value)
            for series, value in outcome.history_values.items()
        ]
        del points[:-_POINTS_MAX]
        if outcome.level_change is not None:
            previous_level, new_level = outcome.level_change
            self._add_level_change(
                LevelChange(
                    alert_id=ids.new(ids.ALERT),
                    status=state.status,
                    previous_level=previous_level,
                    new_level=new_level,
                )
            )

    def _add_level_change(self, change: LevelChange) -> None:
        self._level_changes[change.alert_id] = change
        log.warning(
            "alert_raised",
            source=change.status.key,
            previous_level=change.previous_level,
            new_level=change.new_level,
        )

    # --- Writing ------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Write the results, or only renew the lease if there are none."""
        keys = list(self._unwritten)
        is_idle = not (keys or self._level_changes or self._removed)
        if is_idle and self._monotonic() - self._written_at < REFRESH_SECONDS:
            return
        for start in range(0, max(len(keys), 1), _STATES_PER_COMMIT_MAX):
            await self._write_batch(keys[start : start + _STATES_PER_COMMIT_MAX])

    async def _write_batch(self, keys: list[str]) -> None:
        """Write the states of *keys* with their points and alerts in one commit."""
        states = {key: self._unwritten[key] for key in keys}
        points = {key: list(self._points.get(key, ())) for key in keys}
        # Each alert commits with its state; removed sources have none.
        changes = [
            change
            for change in self._level_changes.values()
            if change.status.key in states or change.status.key not in self._unwritten
        ]
        removed, now = set(self._removed), self._now()
        measurements = [
            evaluation.serialize_measurements(change.status.measurements) for change in changes
        ]

        def write() -> None:
            first = leader_election.next_sequence(
                len(states), token=self._token, now=jobs.database_time()
            )
            state_store.save(states.values(), first=first)
            state_store.delete(removed)
            history.add(point for several in points.values() for point in several)
            creation.create_alerts(changes, measurements=measurements, now=now)

        await group_commit.commits.run(write)
        self._written_at = self._monotonic()
        for key, state in states.items():
            if self._unwritten.get(key) is state:
                del self._unwritten[key]
            del self._points.get(key, [])[: len(points[key])]
        for change in changes:
            self._level_changes.pop(change.alert_id, None)
        self._removed -= removed

    async def _follow(self) -> None:
        """Copy the leader's states to the live state of this process."""
        self._sequence, statuses = await self._reader.run(
            lambda: state_store.changes_since(self._sequence)
        )
        for status in statuses:
            self._live.put(status)
        stored = await self._reader.run(state_store.keys)
        for key in {status.key for status in self._live.statuses()} - stored:
            self._live.remove(key)

    async def stop(self) -> None:
        """Cancel running checks, write the results so far, and release the lease."""
        for task in self._batches:
            task.cancel()
        if self._batches:
            await asyncio.wait(set(self._batches))
        if self.is_leader:
            with contextlib.suppress(errors.BursarError, db.Error):
                await self._write()
                await group_commit.commits.run(
                    lambda: leader_election.release(token=self._token, now=jobs.database_time())
                )
        await asyncio.to_thread(self._reader.close)


async def run_scheduler(file: DashboardConfig) -> None:
    """Run the monitors on the live state of this process until cancelled."""
    is_only_process = settings.current.database_url is None
    async with Fetcher() as fetcher:
        await MonitorScheduler(
            file=file,
            live=live_state.current(),
            fetcher=fetcher,
            is_only_process=is_only_process,
        ).run()
