"""Calculations in processes that are killed, and calls in threads that are many."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from bursar import errors
from bursar.dashboard.fetching import executors, fetcher
from bursar.dashboard.fetching.executors import ProcessExecutor, ThreadExecutor
from bursar.dashboard.fetching.results import FetchStatus
from bursar.dashboard.fetching.sources import CoroutineSource
from tests.unit.dashboard.calculations import die, double, fail, pid, spin

T = TypeVar("T")


def _in_processes(work: Callable[[ProcessExecutor], Awaitable[T]], *, processes: int = 1) -> T:
    async def main() -> T:
        pool = ProcessExecutor(processes=processes)
        try:
            return await work(pool)
        finally:
            await pool.close()

    return asyncio.run(main())


def test_a_process_calculates_and_is_used_again_whatever_it_raised() -> None:
    async def work(pool: ProcessExecutor) -> tuple[Any, ...]:
        first = await pool.run(pid, None)
        with pytest.raises(LookupError, match="no such thing"):
            await pool.run(fail, "no such thing")
        return await pool.run(double, 21), first, await pool.run(pid, None)

    doubled, first, second = _in_processes(work)
    assert doubled == 42
    assert first == second != os.getpid()


def test_a_calculation_that_kills_its_process_fails_and_the_pool_goes_on() -> None:
    async def work(pool: ProcessExecutor) -> Any:
        with pytest.raises(errors.WorkerProcessDied):
            await pool.run(die, None)
        return await pool.run(double, 1)

    assert _in_processes(work) == 2


def test_a_process_that_is_killed_from_outside_is_replaced() -> None:
    async def work(pool: ProcessExecutor) -> Any:
        first = await pool.run(pid, None)
        assert pool.pids == [first]
        os.kill(first, signal.SIGKILL)
        return first, await pool.run(pid, None)

    first, second = _in_processes(work)
    assert first != second


def test_a_calculation_that_never_ends_is_killed_with_its_process() -> None:
    async def work(pool: ProcessExecutor) -> Any:
        first = await pool.run(pid, None)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.run(spin, None), 0.05)
        second = await pool.run(pid, None)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        return first, second

    first, second = _in_processes(work)
    assert first != second


def test_on_a_board_only_the_tile_of_a_killed_process_fails() -> None:
    async def main() -> list[FetchStatus]:
        async with fetcher.Fetcher(processes=2) as gathering:
            transforms: list[Any] = [double, die, double, double, fail]
            sources = [
                CoroutineSource(key=str(n), function=_seven, transform=transform)
                for n, transform in enumerate(transforms)
            ]
            tiles = await gathering.fetch_all(sources, deadline_seconds=30)
            assert tiles["0"].value == 14
            assert "killed" in tiles["1"].reason
            assert tiles["4"].reason == "transform failed: LookupError"
            return [tile.state for tile in tiles.values()]

    assert asyncio.run(main()) == [
        FetchStatus.OK,
        FetchStatus.FAILED,
        FetchStatus.OK,
        FetchStatus.OK,
        FetchStatus.FAILED,
    ]


async def _seven() -> Any:
    return 7


def test_no_process_is_started_before_it_is_needed() -> None:
    async def work(pool: ProcessExecutor) -> list[int]:
        return pool.pids

    assert _in_processes(work, processes=8) == []


# --- Threads ------------------------------------------------------------------------------------


def test_as_many_threads_as_allowed_run_at_once_and_no_more() -> None:
    lock, three = threading.Lock(), threading.Barrier(3, timeout=30)
    running = most = 0

    def block() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        three.wait()  # for two others, so that no fewer will do
        with lock:
            running -= 1

    async def main() -> int:
        threads = ThreadExecutor(threads_max=3)
        await asyncio.gather(*(threads.run(str(n), block) for n in range(12)))
        return threading.active_count()

    before = threading.active_count()
    assert asyncio.run(main()) == before
    assert most == 3


@pytest.mark.parametrize("error", [ValueError("told"), StopIteration(), SystemExit(3)])
def test_what_a_blocking_call_raises_is_told(error: BaseException) -> None:
    def block() -> None:
        raise error

    expected = type(error) if isinstance(error, ValueError) else RuntimeError
    with pytest.raises(expected):
        asyncio.run(ThreadExecutor().run("a", block))


def test_a_call_that_outlives_its_loop_harms_nobody() -> None:
    release = threading.Event()

    async def main() -> None:
        threads = executors.ThreadExecutor()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(threads.run("a", release.wait), 0.01)
        threads.close()

    asyncio.run(main())
    release.set()
    for thread in threading.enumerate():
        if thread.name == "bursar-source-a":
            thread.join(5)
            assert not thread.is_alive()


def test_a_call_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    program = """
import asyncio, threading
from bursar.dashboard.fetching.executors import ThreadExecutor

async def main():
    threads = ThreadExecutor()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang():
        loop.call_soon_threadsafe(begun.set)
        threading.Event().wait()

    call = asyncio.create_task(threads.run("a", hang))
    await begun.wait()
    threads.close()
    print(await asyncio.wait_for(asyncio.wait([call]), 20) and call.cancelled())

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("True\n", "", 0)
