"""Time one call of a decorated function, in the same way for Bursar and its peers."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
import timeit
from collections.abc import Awaitable, Callable
from typing import Any


def nanoseconds(function: Callable[[int], Any], *, calls: int) -> float:
    """Return the median of seven loops over `function(1)` per call, including the loop."""
    function(1)
    timer = timeit.Timer("function(1)", globals={"function": function})
    return 1e9 * statistics.median(timer.repeat(7, calls)) / calls


def async_nanoseconds(function: Callable[[int], Awaitable[Any]], *, calls: int) -> float:
    """As `nanoseconds`, for `await function(1)` in a running event loop."""

    async def loops() -> list[float]:
        await function(1)
        return [await one() for _ in range(7)]

    async def one() -> float:
        began = time.perf_counter()
        for _ in range(calls):
            await function(1)
        return time.perf_counter() - began

    return 1e9 * statistics.median(asyncio.run(loops())) / calls


def stampede(decorate: Callable[[Callable[[int], int]], Callable[[int], int]]) -> int:
    """Return how often a function runs when fifty threads request one value at once."""
    calls: list[int] = []

    def slow(a: int) -> int:
        calls.append(a)
        time.sleep(0.1)
        return a

    function, barrier = decorate(slow), threading.Barrier(50)

    def one() -> None:
        barrier.wait()
        function(1)

    threads = [threading.Thread(target=one) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(calls)


def async_stampede(decorate: Callable[[Callable[[int], Awaitable[int]]], Any]) -> int:
    """As `stampede`, with fifty coroutines."""
    calls: list[int] = []

    async def slow(a: int) -> int:
        calls.append(a)
        await asyncio.sleep(0.1)
        return a

    async def all_at_once() -> None:
        function = decorate(slow)
        await asyncio.gather(*[function(1) for _ in range(50)])

    asyncio.run(all_at_once())
    return len(calls)


def plain(a: int) -> int:
    return a


async def coroutine(a: int) -> int:
    return a


class Null:
    """A sink that discards everything."""

    def write(self, data: Any) -> int:
        return len(data)

    def flush(self) -> None:
        pass
