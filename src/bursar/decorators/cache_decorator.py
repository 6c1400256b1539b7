"""
`@cache`: caches return values with a time to live and LRU eviction.

    @cache(1_000, 60.0, stale_seconds=300.0)
    def turnover(day: date, currency: str) -> Money: ...

    cache_of(turnover).invalidate(day, "EUR")

Concurrent calls for a missing value call the function once (single flight); all callers receive its
value, or its error, which is not cached.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import math
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Final, ParamSpec, TypeVar, cast

from bursar import logs
from bursar.decorators import cache_keys, decorator_order
from bursar.decorators.cache_store import Cache, CacheStatistics, InFlightCall, Place

P = ParamSpec("P")
R = TypeVar("R")

Args = tuple[Any, ...]
Kwargs = dict[str, Any]

log = logs.get(__name__)

#: Most refreshes in threads at once in one process; beyond that the stale value is kept.
REFRESHES_MAX: Final = 8
_refreshes = threading.BoundedSemaphore(REFRESHES_MAX)


def cache(
    maxsize: int,
    ttl_seconds: float,
    *,
    stale_seconds: float = 0.0,
    key: Callable[..., Hashable] | None = None,
    weak: bool = False,
    wait_seconds_max: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Cache up to *maxsize* values for *ttl_seconds* each (`math.inf`: until evicted).

    The least recently used value is evicted first. For *stale_seconds* after its expiry a value is
    still returned while one call in the background refreshes it (stale-while-revalidate, RFC 5861);
    if the refresh fails, the stale value stays and `cache_refresh_failed` is logged.

    Arguments are compared by type and content (`cache_keys`); *key* computes the key instead. The
    cache holds references to the arguments, including a method's `self`, until eviction. With
    *weak* a value is cached only while something else references it.

    A caller waits at most *wait_seconds_max* for a call in progress and then makes its own. An
    asynchronous call continues when its first caller is cancelled, and is cancelled with its last
    waiter; it runs in the first caller's context. Each event loop has its own calls in progress;
    values are shared.

    :raises ValueError: when decorating, if a number is out of bounds.
    :raises TypeError: when decorating a generator, or anything but a function.
    """
    if callable(maxsize):
        raise TypeError("@cache requires its bounds: @cache(maxsize, ttl_seconds)")
    if maxsize < 1 or not ttl_seconds > 0:
        raise ValueError("maxsize must be at least 1, ttl_seconds above 0")
    if not (stale_seconds >= 0 and 0 < wait_seconds_max < math.inf):
        raise ValueError("stale_seconds must be at least 0, wait_seconds_max finite and above 0")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        decorator_order.check_order("cache", function)
        decorator_order.refuse_generators("cache", function)
        key_of = cache_keys.keyer(function) if key is None else _custom_keyer(key)
        store = Cache(
            title=decorator_order.title(function),
            maxsize=maxsize,
            ttl_seconds=ttl_seconds,
            stale_seconds=stale_seconds,
            weak=weak,
            key_of=key_of,
            clock=clock,
        )
        make = _async if inspect.iscoroutinefunction(function) else _sync
        bare = key is None and _has_one_parameter(function)
        wrapper = make(function, store, key_of, wait_seconds_max, bare=bare)
        decorator_order.mark("cache", wrapper, function)
        _caches[wrapper] = store
        return cast("Callable[P, R]", wrapper)

    return decorate


#: Marks a call without a first argument. A separate first parameter saves a tuple at each hit.
_NO_ARGUMENT: Final = object()

_caches: weakref.WeakKeyDictionary[Callable[..., Any], Cache] = weakref.WeakKeyDictionary()


def cache_of(function: Callable[..., Any]) -> Cache:
    """
    Return the cache of a decorated function, also below other decorators or of a method.

    :raises TypeError: if `@cache` is not on it.
    """
    candidate: Any = getattr(function, "__func__", function)
    while candidate is not None:
        if candidate in _caches:
            return _caches[candidate]
        candidate = getattr(candidate, "__wrapped__", None)
    raise TypeError(f"@cache is not on {decorator_order.title(function)}")


def all_cache_statistics() -> dict[str, CacheStatistics]:
    """Return statistics by dotted name of all functions with `@cache` in this process."""
    return {store.title: store.statistics() for store in list(_caches.values())}


def _custom_keyer(key: Callable[..., Hashable]) -> cache_keys.Keyer:
    def of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        return (cache_keys.exact_key(key(*args, **kwargs)),)

    return of


def _has_one_parameter(function: Callable[..., Any]) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    return len(parameters) == 1 and parameters[0].kind is parameters[0].POSITIONAL_OR_KEYWORD


def _sync(
    function: Callable[..., Any],
    store: Cache,
    key_of: cache_keys.Keyer,
    wait_seconds_max: float,
    *,
    bare: bool,
) -> Callable[..., Any]:
    find, touch, clock, weak = store.entries.get, store.entries.move_to_end, store.clock, store.weak
    miss = _ThreadCalls(function, store, wait_seconds_max).miss

    @functools.wraps(function)
    def wrapper(first: Any = _NO_ARGUMENT, /, *rest: Any, **kwargs: Any) -> Any:
        # A hit takes no lock: each operation on the dict is atomic in the interpreter. A single str
        # or int argument is its own key, as in `cache_keys.keyer`.
        kind = type(first)
        if bare and (kind is str or kind is int) and not (rest or kwargs):
            key = first
        else:
            key = key_of(() if first is _NO_ARGUMENT else (first, *rest), kwargs)
        entry = find(key)
        if entry is not None and clock() < entry[1]:
            value = entry[0]
            if weak and (value := value()) is None:
                return miss(key, () if first is _NO_ARGUMENT else (first, *rest), kwargs)
            try:  # noqa: SIM105  (contextlib.suppress would double the cost of a hit)
                touch(key)
            except KeyError:  # evicted by another thread
                pass
            store.hits += 1
            return value
        return miss(key, () if first is _NO_ARGUMENT else (first, *rest), kwargs)

    return wrapper


def _async(
    function: Callable[..., Any],
    store: Cache,
    key_of: cache_keys.Keyer,
    wait_seconds_max: float,
    *,
    bare: bool,
) -> Callable[..., Any]:
    find, touch, clock, weak = store.entries.get, store.entries.move_to_end, store.clock, store.weak
    miss = _TaskCalls(function, store, wait_seconds_max).miss

    @functools.wraps(function)
    async def wrapper(first: Any = _NO_ARGUMENT, /, *rest: Any, **kwargs: Any) -> Any:
        kind = type(first)
        if bare and (kind is str or kind is int) and not (rest or kwargs):
            key = first
        else:
            key = key_of(() if first is _NO_ARGUMENT else (first, *rest), kwargs)
        entry = find(key)
        if entry is not None and clock() < entry[1]:
            value = entry[0]
            if weak and (value := value()) is None:
                return await miss(key, () if first is _NO_ARGUMENT else (first, *rest), kwargs)
            try:  # noqa: SIM105  (as above)
                touch(key)
            except KeyError:
                pass
            store.hits += 1
            return value
        return await miss(key, () if first is _NO_ARGUMENT else (first, *rest), kwargs)

    return wrapper


class _ThreadCalls:
    """Single flight for a synchronous function: one call for all threads that wait for a key."""

    __slots__ = ("_function", "_store", "_wait_seconds_max")

    def __init__(self, function: Callable[..., Any], store: Cache, wait_seconds_max: float) -> None:
        self._function = function
        self._store = store
        self._wait_seconds_max = wait_seconds_max

    def miss(self, key: Hashable, args: Args, kwargs: Kwargs) -> Any:
        """Return the value for a caller without a fresh one: stale, coalesced or computed."""
        place: Place = (None, key)
        while True:
            usable, flight, is_owner = self._store.find_or_start(place)
            if usable is not None:
                if is_owner:
                    self._refresh(place, flight, args, kwargs)
                return usable[0]
            if is_owner:
                self._run_call(place, flight, args, kwargs)
            elif flight.owner == threading.get_ident():
                return self._function(*args, **kwargs)  # a recursive call with the same arguments
            else:
                self._store.coalesced += 1
                if not flight.done.wait(self._wait_seconds_max):
                    return self._function(*args, **kwargs)
            if flight.error is not None:
                raise flight.error
            if not flight.abandoned:
                return flight.value

    def _run_call(self, place: Place, flight: InFlightCall, args: Args, kwargs: Kwargs) -> None:
        try:
            value = self._function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  (`miss` raises it to all waiters)
            self._store.finish(place, flight, error=error)
        except BaseException:
            # The thread is ending, which is no result for the waiters: one of them calls again.
            self._store.finish(place, flight, abandoned=True)
            raise
        else:
            self._store.finish(place, flight, value=value)

    def _refresh(self, place: Place, flight: InFlightCall, args: Args, kwargs: Kwargs) -> None:
        # A daemon thread, which `ThreadPoolExecutor` has not: a refresh that hangs must not delay
        # the end of the process (`test_a_refresh_that_hangs_does_not_hold_up_the_end`).
        if not _refreshes.acquire(blocking=False):
            self._store.finish(place, flight, abandoned=True)
            return

        def work() -> None:
            flight.owner = threading.get_ident()
            try:
                self._run_call(place, flight, args, kwargs)
            finally:
                _refreshes.release()
            _warn_of_failed_refresh(self._store, flight)

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), daemon=True).start()


class _TaskCalls:
    """Single flight for a coroutine function: one call for all tasks of an event loop."""

    __slots__ = ("_function", "_store", "_wait_seconds_max")

    def __init__(self, function: Callable[..., Any], store: Cache, wait_seconds_max: float) -> None:
        self._function = function
        self._store = store
        self._wait_seconds_max = wait_seconds_max

    async def miss(self, key: Hashable, args: Args, kwargs: Kwargs) -> Any:
        """Return the value for a caller without a fresh one: stale, coalesced or computed."""
        place: Place = (asyncio.get_running_loop(), key)
        usable, flight, is_owner = self._store.find_or_start(place)
        if is_owner:
            # A separate task: it continues when the caller that started it is cancelled.
            flight.task = asyncio.create_task(self._run_call(place, flight, args, kwargs))
        if usable is not None:
            if is_owner and flight.task is not None:
                flight.waiters = (
                    1  # counts the cache as a waiter: no caller's cancellation ends a refresh
                )
                flight.task.add_done_callback(
                    lambda _: _warn_of_failed_refresh(self._store, flight)
                )
            return usable[0]
        task = flight.task
        if task is None or task is asyncio.current_task():
            return await self._function(*args, **kwargs)  # a recursive call with the same arguments
        self._store.coalesced += not is_owner
        flight.waiters += 1
        try:
            await asyncio.wait((task,), timeout=self._wait_seconds_max)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not task.done():
                self._store.detach(place, flight)
                task.cancel()
        if not flight.done.is_set() or flight.abandoned:
            return await self._function(*args, **kwargs)
        if flight.error is not None:
            raise flight.error
        return flight.value

    async def _run_call(
        self, place: Place, flight: InFlightCall, args: Args, kwargs: Kwargs
    ) -> None:
        try:
            value = await self._function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  (`miss` raises it to all waiters)
            self._store.finish(place, flight, error=error)
        except BaseException:
            self._store.finish(place, flight, abandoned=True)
            raise
        else:
            self._store.finish(place, flight, value=value)


def _warn_of_failed_refresh(store: Cache, flight: InFlightCall) -> None:
    if flight.error is not None:
        log.warning("cache_refresh_failed", function=store.title, error=flight.error)
