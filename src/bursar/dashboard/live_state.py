"""
The board: the newest view of every watched source, in memory, for any number of listeners.

The watcher puts views from its loop or from threads; pages and the terminal read. Nothing here
waits for a listener: who is slow is told the newest of each view and not what it missed.
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

#: The most points of a view's sparkline.
SPARK_MAX: Final = 60
#: How many removals are remembered; who is further behind is told the whole board.
_REMOVALS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One value of a source; *value* is None if the source answered without it."""

    name: str
    value: float | str | None
    unit: str = ""
    level: Level = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """
    One tile: what a source told last, and how that is.

    *as_of* is when the readings were obtained, *since* when the state began; *seconds* is how
    long the last call took; *reason* is a short sentence for people, without secrets; *spark*
    holds the newest points, oldest first, of the first numeric reading, else of the latency.
    """

    key: str
    title: str
    group: str
    kind: Kind
    state: State
    readings: tuple[Measurement, ...]
    as_of: datetime | None
    since: datetime
    reason: str
    seconds: float | None
    interval_seconds: float
    spark: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """
    What changed on the board up to *version*; with *whole* the views are all there are.

    Every listener is told the whole board first if it asks with a version it cannot have, such
    as one of another process.
    """

    version: int
    views: tuple[SourceStatus, ...]
    removed: tuple[str, ...]
    whole: bool


class _Listener:
    """Something that waits in an event loop; woken at most once between two waits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._called = False

    def wake(self) -> None:
        """Call it under the board's lock, from any thread."""
        if self._called:
            return
        self._called = True
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # its loop is closed: nobody is there any more
            return

    def rest(self) -> None:
        """Call it under the board's lock, when everything so far has been looked at."""
        self._called = False
        self._news.clear()

    async def news(self) -> None:
        """Wait to be woken."""
        await self._news.wait()


class LiveState:
    """The views of one process; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: dict[str, tuple[int, SourceStatus]] = {}
        self._removed: dict[str, int] = {}
        self._version = 0
        self._oldest = 0  # changes after this version are all known
        self._listeners: set[_Listener] = set()

    @property
    def version(self) -> int:
        """How often the board was changed; 0 is empty and untouched."""
        return self._version

    def put(self, view: SourceStatus) -> None:
        """Show *view* in place of the one with its key; the same again changes nothing."""
        assert len(view.spark) <= SPARK_MAX, f"{len(view.spark)} points"
        with self._lock:
            there = self._views.get(view.key)
            if there is not None and there[1] == view:
                return
            self._version += 1
            self._removed.pop(view.key, None)
            self._views[view.key] = (self._version, view)
            self._tell()

    def remove(self, key: str) -> None:
        """Show it no longer; nothing happens if it is not there."""
        with self._lock:
            if self._views.pop(key, None) is None:
                return
            self._version += 1
            self._removed[key] = self._version
            if len(self._removed) > _REMOVALS_MAX:
                self._oldest = self._removed.pop(next(iter(self._removed)))
            self._tell()

    def views(self) -> list[SourceStatus]:
        """All views, by group, then title."""
        with self._lock:
            return _sorted([view for _, view in self._views.values()])

    def get(self, key: str) -> SourceStatus | None:
        """The view of one source."""
        with self._lock:
            found = self._views.get(key)
        return None if found is None else found[1]

    async def changes(self, after_version: int = 0) -> AsyncGenerator[Changes, None]:
        """
        Yield what changed after *after_version*, then what changes from then on, without end.

        Each is at most as large as the board, however long the listener took before it came back.
        Close the iterator (`contextlib.aclosing`) so that its listener is forgotten at once.
        """
        listener = _Listener()
        with self._lock:
            self._listeners.add(listener)
        seen = after_version
        try:
            while True:
                found = self._since(seen, listener)
                if found is None:
                    await listener.news()
                    continue
                seen = found.version
                yield found
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _since(self, seen: int, listener: _Listener) -> Changes | None:
        with self._lock:
            if seen == self._version:
                listener.rest()
                return None
            whole = seen == 0 or seen > self._version or seen < self._oldest
            first = -1 if whole else seen
            views = [view for version, view in self._views.values() if version > first]
            removed = () if whole else (k for k, version in self._removed.items() if version > seen)
            return Changes(
                version=self._version,
                views=tuple(_sorted(views)),
                removed=tuple(removed),
                whole=whole,
            )

    def _tell(self) -> None:
        for listener in self._listeners:
            listener.wake()


def _sorted(views: list[SourceStatus]) -> list[SourceStatus]:
    return sorted(views, key=lambda view: (view.group, view.title, view.key))


_current = LiveState()


def current() -> LiveState:
    """The one board of this process."""
    return _current
