"""
Work that must not run in the event loop: blocking calls in threads, calculations in processes.

A thread waits without holding the interpreter's lock, but cannot be stopped; a process calculates
beside us on a core of its own, can be killed, and may die.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from bursar import errors

THREADS_MAX = 64
#: A calculation whose process died is tried once more: another one may have killed it.
TRIES_MAX = 2


class ThreadExecutor:
    """
    A daemon thread for each call, at most *threads_max* at once, and one call of a key.

    The interpreter waits at its end for the threads of `ThreadPoolExecutor`; a call that hangs must
    not hold up the stop (`test_a_call_that_hangs_does_not_hold_up_the_end_of_the_process`).
    """

    def __init__(self, *, threads_max: int = THREADS_MAX) -> None:
        self._threads_max = threads_max
        self._running: dict[str, asyncio.Future[Any]] = {}
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads: set[threading.Thread] = set()

    async def run(self, key: str, function: Callable[[], Any]) -> Any:
        """
        Call *function* in a thread, or wait for the call under *key* that still runs.

        If the wait is cancelled the call goes on.
        """
        future = self._running.get(key)
        if future is None:
            future = self._running[key] = asyncio.get_running_loop().create_future()
            start = functools.partial(self._start, key, function, future)
            if len(self._threads) < self._threads_max:
                start()
            else:
                self._waiting.append(start)
        return await asyncio.shield(future)

    def _start(self, key: str, function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def call() -> None:
            value, error = None, None
            try:
                value = context.run(function)
            except BaseException as raised:  # noqa: BLE001  (it is told to whoever waits)
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._done, key, future, thread, value, error)

        thread = threading.Thread(target=call, name=f"bursar-source-{key}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _done(
        self,
        key: str,
        future: asyncio.Future[Any],
        thread: threading.Thread,
        value: Any,
        error: BaseException | None,
    ) -> None:
        thread.join()  # it has nothing left to do
        self._threads.discard(thread)
        self._running.pop(key, None)
        if not future.cancelled():
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(_harmless(error))
                future.exception()  # seen, even if nobody waits
        while self._waiting and len(self._threads) < self._threads_max:
            self._waiting.popleft()()

    def close(self) -> None:
        """Wait for nothing: who still waits is cancelled, threads end with their calls."""
        self._waiting.clear()
        for future in self._running.values():
            future.cancel()
        self._running.clear()


def _harmless(error: BaseException) -> BaseException:
    """What a future can hold: neither StopIteration nor what would end the loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"it ended with {type(error).__name__}")


class ProcessExecutor:
    """
    A pool of processes, one calculation each at a time, started when first needed.

    Each is a `ProcessPoolExecutor` of one. In one of several a process that dies breaks all
    calculations, and none can be killed alone; here it breaks its own and is replaced, and that of
    a cancelled calculation is killed (`test_on_a_board_only_the_tile_of_a_killed_process_fails`,
    `test_a_calculation_that_never_ends_is_killed_with_its_process`).
    """

    def __init__(self, *, processes: int) -> None:
        self._free: asyncio.LifoQueue[_Process] = asyncio.LifoQueue()
        self._all = [_Process() for _ in range(processes)]
        for process in self._all:
            self._free.put_nowait(process)

    async def run(self, function: Callable[[Any], Any], value: Any) -> Any:
        """
        Call *function* with *value*; both are pickled.

        :raises errors.WorkerProcessDied: if its process died `TRIES_MAX` times.
        """
        process = await self._free.get()
        try:
            for _ in range(TRIES_MAX):
                try:
                    return await process.run(function, value)
                except BrokenProcessPool:
                    await process.end()
            raise errors.WorkerProcessDied(
                "the process that calculated it was killed, or out of memory"
            )
        except asyncio.CancelledError:
            process.kill()
            raise
        finally:
            self._free.put_nowait(process)

    @property
    def pids(self) -> list[int]:
        """The processes that were started and not ended by us."""
        return [process.pid for process in self._all if process.pid]

    async def close(self) -> None:
        """End all processes, whatever they do."""
        for process in self._all:
            process.kill()
            await process.end()


class _Process:
    """One process, or none before it is needed."""

    def __init__(self) -> None:
        self.pid = 0
        self._executor: ProcessPoolExecutor | None = None

    async def run(self, function: Callable[[Any], Any], value: Any) -> Any:
        if self._executor is None or not self.pid:
            await self.end()
            # Not forked: a fork copies locks that other threads of ours hold.
            context = multiprocessing.get_context("forkserver")
            executor = self._executor = ProcessPoolExecutor(1, context, initializer=_begin)
            # Starting takes a while, and `submit` starts: not in the loop.
            self.pid = await asyncio.to_thread(lambda: executor.submit(os.getpid).result())
        return await asyncio.wrap_future(self._executor.submit(function, value))

    def kill(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):  # it had died before
                os.kill(self.pid, signal.SIGKILL)
            self.pid = 0

    async def end(self) -> None:
        """Wait until its process and threads are gone."""
        executor, self._executor, self.pid = self._executor, None, 0
        if executor is not None:
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)


def _begin() -> None:
    """In a new process: an interrupt from the terminal is for our parent, which ends us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
