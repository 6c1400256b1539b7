"""
Live state: the latest status of every monitored source, in memory, for any number of listeners.

The scheduler writes statuses from its event loop or from threads; pages and the terminal read them.
Nothing here waits for a listener: a slow listener receives the latest status of each source and none
of the statuses in between.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

Level = Literal["ok", "warning", "critical"]
State = Literal["ok", "warning", "critical", "stale", "failed"]
Kind = Literal["account", "api", "certificate"]

#: The most points of a sparkline.
SPARKLINE_POINTS_MAX: Final = 60
#: The number of removals that are remembered; a listener that is further behind gets a snapshot.
_REMOVALS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """
    One value of a source; *value* is None if the response did not contain it.

    *decimals* is the number of decimal places to show, such as 3 for an amount in KWD; None shows
    as many as the size of the value suggests.
    """

    name: str
    value: float | str | None
    unit: str = ""
    level: Level = "ok"
    decimals: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """
    The latest status of one source: a tile of the dashboard.

    *measurements* are those of *last_success_at*. *duration_seconds* is the duration of the last
    check; *reason* says why it failed, without secrets; *sparkline* holds the latest points, oldest
    first, of the first numeric measurement, else of the duration.
    """

    key: str
    title: str
    group: str
    kind: Kind
    state: State
    measurements: tuple[Measurement, ...]
    last_success_at: datetime | None
    state_since: datetime
    reason: str
    duration_seconds: float | None
    interval_seconds: float
    sparkline: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """
    The changes of the live state up to *version*; a snapshot holds all statuses.

    A listener receives a snapshot first if its version is 0 or not one of this process.
    """

    version: int
    statuses: tuple[SourceStatus, ...]
    removed: tuple[str, ...]
    is_snapshot: bool


class _Listener:
    """A waiter in an event loop; it is woken at most once between two waits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._is_woken = False

    def wake(self) -> None:
        """Wake the waiter. Needs the lock of the live state; any thread may call it."""
        if self._is_woken:
            return
        self._is_woken = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # the loop is closed, nobody waits
            return

    def reset(self) -> None:
        """Prepare the next wait, after all changes were read. Needs the lock of the live state."""
        self._is_woken = False
        self._event.clear()

    async def wait(self) -> None:
        """Wait until `wake` is called."""
        await self._event.wait()


class LiveState:
    """The statuses of one process; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: dict[str, tuple[int, SourceStatus]] = {}
        self._removed: dict[str, int] = {}
        self._version = 0
        self._oldest = 0  # all changes after this version are available
        self._listeners: set[_Listener] = set()

    @property
    def version(self) -> int:
        """The number of changes so far."""
        return self._version

    def put(self, status: SourceStatus) -> None:
        """Add or replace a status by its key; an equal status is no change."""
        assert len(status.sparkline) <= SPARKLINE_POINTS_MAX, f"{len(status.sparkline)} points"
        with self._lock:
            current = self._statuses.get(status.key)
            if current is not None and current[1] == status:
                return
            self._version += 1
            self._removed.pop(status.key, None)
            self._statuses[status.key] = (self._version, status)
            self._notify()

    def remove(self, key: str) -> None:
        """Remove a status; no effect if there is none."""
        with self._lock:
            if self._statuses.pop(key, None) is None:
                return
            self._version += 1
            self._removed[key] = self._version
            if len(self._removed) > _REMOVALS_MAX:
                self._oldest = self._removed.pop(next(iter(self._removed)))
            self._notify()

    def statuses(self) -> list[SourceStatus]:
        """Return all statuses, sorted by group, then title."""
        with self._lock:
            return _sorted([status for _, status in self._statuses.values()])

    def get(self, key: str) -> SourceStatus | None:
        """Return the status of one source."""
        with self._lock:
            entry = self._statuses.get(key)
        return None if entry is None else entry[1]

    async def changes(self, after_version: int = 0) -> AsyncGenerator[Changes, None]:
        """
        Yield the changes after *after_version*, then all later changes, without end.

        Each item holds a source at most once, however slow the listener is. Close the iterator
        (`contextlib.aclosing`) so that its listener is removed at once.
        """
        listener = _Listener()
        with self._lock:
            self._listeners.add(listener)
        version = after_version
        try:
            while True:
                changes = self._changes_since(version, listener)
                if changes is None:
                    await listener.wait()
                    continue
                version = changes.version
                yield changes
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _changes_since(self, version: int, listener: _Listener) -> Changes | None:
        with self._lock:
            if version == self._version:
                listener.reset()
                return None
            is_snapshot = version == 0 or version > self._version or version < self._oldest
            after = -1 if is_snapshot else version
            statuses = [status for at, status in self._statuses.values() if at > after]
            removed = () if is_snapshot else (k for k, at in self._removed.items() if at > version)
            return Changes(
                version=self._version,
                statuses=tuple(_sorted(statuses)),
                removed=tuple(removed),
                is_snapshot=is_snapshot,
            )

    def _notify(self) -> None:
        for listener in self._listeners:
            listener.wake()


def _sorted(statuses: list[SourceStatus]) -> list[SourceStatus]:
    return sorted(statuses, key=lambda status: (status.group, status.title, status.key))


_current = LiveState()


def current() -> LiveState:
    """Return the live state of this process."""
    return _current
