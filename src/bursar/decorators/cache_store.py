"""The store of `@cache`: values with their expiry, and calls in progress (single flight)."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from bursar.decorators import cache_keys


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """
    Counts of calls since the function was decorated, and the size now.

    *hits* returned a fresh value, *stale_hits* a stale one; *misses* called the function;
    *coalesced* waited for a call in progress. *errors* counts calls of the function that raised,
    including refreshes; *evictions* counts values removed because the cache was full.
    """

    hits: int
    stale_hits: int
    misses: int
    coalesced: int
    errors: int
    evictions: int
    size: int
    maxsize: int


#: A value (in weak mode a weak reference to it), until when it is fresh, and until when it may be
#: returned as stale, in seconds of the cache's clock. A tuple, because a hit reads it faster.
Entry = tuple[Any, float, float]


class InFlightCall:
    """One call of the function in progress, and its waiters."""

    __slots__ = ("abandoned", "done", "error", "owner", "task", "value", "waiters")

    def __init__(self) -> None:
        self.owner = threading.get_ident()
        self.done = threading.Event()
        self.value: Any = None
        self.error: Exception | None = None
        self.abandoned = False
        self.task: asyncio.Task[Any] | None = None
        self.waiters = 0


#: Identifies a call in progress: event loop (None for threads) and key.
Place = tuple[asyncio.AbstractEventLoop | None, Hashable]


class Cache:
    """The cache of one decorated function; `cache_of` returns it."""

    def __init__(
        self,
        *,
        title: str,
        maxsize: int,
        ttl_seconds: float,
        stale_seconds: float,
        weak: bool,
        key_of: cache_keys.Keyer,
        clock: Callable[[], float],
    ) -> None:
        self.title = title
        self.maxsize = maxsize
        self.ttl_seconds = ttl_seconds
        self.stale_seconds = stale_seconds
        self.weak = weak
        self.clock = clock
        self.entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self.hits = self.stale_hits = self.misses = self.coalesced = self.errors = (
            self.evictions
        ) = 0
        self._key_of = key_of
        self._flights: dict[Place, InFlightCall] = {}
        self._lock = threading.RLock()  # the callback of a weak reference may run while it is held

    def statistics(self) -> CacheStatistics:
        """Return the counts since the function was decorated, and the size now."""
        return CacheStatistics(
            hits=self.hits,
            stale_hits=self.stale_hits,
            misses=self.misses,
            coalesced=self.coalesced,
            errors=self.errors,
            evictions=self.evictions,
            size=len(self.entries),
            maxsize=self.maxsize,
        )

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """
        Remove the value for these arguments; False if there was none.

        A call in progress may have read old data: its waiters receive its value, but the value is
        not stored, and later callers start a new call.
        """
        key = self._key_of(args, kwargs)
        with self._lock:
            for place in [place for place in self._flights if place[1] == key]:
                del self._flights[place]
            return self.entries.pop(key, None) is not None

    def clear(self) -> None:
        """Remove all values; calls in progress as for `invalidate`."""
        with self._lock:
            self._flights.clear()
            self.entries.clear()

    def find_or_start(self, place: Place) -> tuple[tuple[Any] | None, InFlightCall, bool]:
        """
        Look up a value under the lock, and start a call if none is in progress.

        Returns a usable value (in a tuple, because it may be None) or None, the call in progress,
        and whether the caller has to run it.
        """
        with self._lock:
            now, entry, flight = self.clock(), self.entries.get(place[1]), self._flights.get(place)
            usable = self._usable(entry, now)
            if entry is not None and usable is not None and now < entry[1]:
                self.hits += 1  # stored while this caller waited for the lock
                self.entries.move_to_end(place[1])
                return usable, flight or InFlightCall(), False
            self.stale_hits += usable is not None
            if flight is not None:
                return usable, flight, False
            self.misses += usable is None
            flight = self._flights[place] = InFlightCall()
            return usable, flight, True

    def _usable(self, entry: Entry | None, now: float) -> tuple[Any] | None:
        if entry is None or now >= entry[2]:
            return None
        value = entry[0]() if self.weak else entry[0]
        return None if self.weak and value is None else (value,)

    def finish(
        self,
        place: Place,
        flight: InFlightCall,
        *,
        value: Any = None,
        error: Exception | None = None,
        abandoned: bool = False,
    ) -> None:
        """Finish *flight*: store its value unless it was invalidated, and wake the waiters."""
        flight.value, flight.abandoned = value, abandoned
        with self._lock:
            is_current = self._flights.get(place) is flight
            if is_current:
                del self._flights[place]
            self.errors += error is not None
            if is_current and error is None and not abandoned:
                try:
                    self._insert(place[1], value)
                except TypeError as problem:
                    error = problem
        flight.error = error
        flight.done.set()

    def _insert(self, key: Hashable, value: Any) -> None:
        if self.weak and value is None:
            return
        stored = self._weak_reference(key, value) if self.weak else value
        fresh_until = self.clock() + self.ttl_seconds
        entry = (stored, fresh_until, fresh_until + self.stale_seconds)
        self.entries.pop(key, None)
        while (
            len(self.entries) >= self.maxsize
        ):  # before the insert, so that the size never exceeds maxsize
            self.entries.popitem(last=False)
            self.evictions += 1
        self.entries[key] = entry

    def _weak_reference(self, key: Hashable, value: Any) -> Any:
        def forget(reference: weakref.ref[Any], key: Hashable = key) -> None:
            entry = self.entries.get(key)
            if entry is not None and entry[0] is reference:
                self.entries.pop(key, None)

        try:
            return weakref.ref(value, forget)
        except TypeError:
            raise TypeError(
                f"@cache(weak=True) cannot weakly reference the {type(value).__name__} that "
                f"{self.title} returned"
            ) from None

    def detach(self, place: Place, flight: InFlightCall) -> None:
        """Detach *flight*, so that later callers start a new call."""
        with self._lock:
            if self._flights.get(place) is flight:
                del self._flights[place]
