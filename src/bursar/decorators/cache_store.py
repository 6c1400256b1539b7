"""What `@cache` keeps: values with their age, and the calls that are under way for more."""

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
    What became of the calls so far.

    *hits* found a fresh value, *stale_hits* an old one, *misses* called the function, *joined*
    waited for another's call. *errors* counts calls of the function that raised, refreshes too;
    *evicted* values that had to make room.
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
#: returned at all; seconds of the cache's clock. A plain tuple: a hit reads it quicker.
Entry = tuple[Any, float, float]


class InFlightCall:
    """One call of the function, and all who wait for it."""

    __slots__ = ("abandoned", "done", "error", "owner", "task", "value", "waiters")

    def __init__(self) -> None:
        self.owner = threading.get_ident()
        self.done = threading.Event()
        self.value: Any = None
        self.error: Exception | None = None
        self.abandoned = False
        self.task: asyncio.Task[Any] | None = None
        self.waiters = 0


#: Where a flight belongs: an event loop (None for threads) and a key.
Place = tuple[asyncio.AbstractEventLoop | None, Hashable]


class Cache:
    """The values that one decorated function returned; made by `@cache`, found by `cache_of`."""

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
        self._lock = threading.RLock()  # a weak value's end may come while it is held

    def statistics(self) -> CacheStatistics:
        """Counts since the function was decorated, and the size now."""
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
        Forget the value for these arguments; False if there was none.

        A call that is under way may have begun before what happened: who waits for it gets its
        value, but it is not kept, and who asks from now on has the function called anew.
        """
        key = self._key_of(args, kwargs)
        with self._lock:
            for place in [place for place in self._flights if place[1] == key]:
                del self._flights[place]
            return self.entries.pop(key, None) is not None

    def clear(self) -> None:
        """Forget all values, as `invalidate` does one."""
        with self._lock:
            self._flights.clear()
            self.entries.clear()

    def find_or_start(self, place: Place) -> tuple[tuple[Any] | None, InFlightCall, bool]:
        """
        What a caller who found no fresh value finds under the lock.

        A value that may still be used (in a tuple, for it may be None), the flight, and whether
        the caller has to fly it.
        """
        with self._lock:
            now, entry, flight = self.clock(), self.entries.get(place[1]), self._flights.get(place)
            usable = self._usable(entry, now)
            if entry is not None and usable is not None and now < entry[1]:
                self.hits += 1  # it came while we waited for the lock
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
        """End *flight*: keep its value unless it was invalidated meanwhile, and tell who waits."""
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
        while len(self.entries) >= self.maxsize:  # before, so that it is never larger
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
                f"@cache(weak=True) cannot refer weakly to the {type(value).__name__} that "
                f"{self.title} returned"
            ) from None

    def detach(self, place: Place, flight: InFlightCall) -> None:
        """Let nobody join *flight* any more."""
        with self._lock:
            if self._flights.get(place) is flight:
                del self._flights[place]
