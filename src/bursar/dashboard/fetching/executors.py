"""
Executors for work that must not run in the event loop: blocking calls in threads, CPU-bound functions
in processes.

A blocking call releases the GIL while it waits, but its thread cannot be stopped. A process uses a
core of its own, can be killed, and may die.
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
#: A call whose process died is retried once: the cause may have been another call.
ATTEMPTS_MAX = 2


class ThreadExecutor:
    """
    Runs each call in a daemon thread: at most *threads_max* at once, and one per key.

    The interpreter joins the threads of `ThreadPoolExecutor` at exit; a call that hangs must not delay
    the exit (`test_a_call_that_hangs_does_not_hold_up_the_end_of_the_process`).
    """

    def __init__(self, *, threads_max: int = THREADS_MAX) -> None:
        self._threads_max = threads_max
        self._running: dict[str, asyncio.Future[Any]] = {}
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads: set[threading.Thread] = set()

    async def run(self, key: str, function: Callable[[], Any]) -> Any:
        """
        Call *function* in a thread, or wait for the call of the same *key* that is still running.

        Cancellation ends the wait, not the call.
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
            except BaseException as raised:  # noqa: BLE001  (raised in `run`)
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits
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
        thread.join()  # its function has returned
        self._threads.discard(thread)
        self._running.pop(key, None)
        if not future.cancelled():
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(_storable(error))
                future.exception()  # mark as retrieved, even if nobody waits
        while self._waiting and len(self._threads) < self._threads_max:
            self._waiting.popleft()()

    def close(self) -> None:
        """Cancel all waits; threads end with their calls and are not awaited."""
        self._waiting.clear()
        for future in self._running.values():
            future.cancel()
        self._running.clear()


def _storable(error: BaseException) -> BaseException:
    """Return *error* in a form that a future can hold: no StopIteration, no BaseException."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"the call ended with {type(error).__name__}")


class ProcessExecutor:
    """
    A pool of processes that run one call each at a time, started when first needed.

    Each is a `ProcessPoolExecutor` with one worker. In one with several workers a process that dies
    fails all calls, and none can be killed alone; here it fails its own call and is replaced, and that
    of a cancelled call is killed (`test_on_a_board_only_the_tile_of_a_killed_process_fails`,
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

        :raises errors.WorkerProcessDied: if its process died `ATTEMPTS_MAX` times.
        """
        process = await self._free.get()
        try:
            for _ in range(ATTEMPTS_MAX):
                try:
                    return await process.run(function, value)
                except BrokenProcessPool:
                    await process.end()
            raise errors.WorkerProcessDied("the worker process was killed or ran out of memory")
        except asyncio.CancelledError:
            process.kill()
            raise
        finally:
            self._free.put_nowait(process)

    @property
    def pids(self) -> list[int]:
        """The ids of the running processes."""
        return [process.pid for process in self._all if process.pid]

    async def close(self) -> None:
        """Kill all processes."""
        for process in self._all:
            process.kill()
            await process.end()


class _Process:
    """A worker process that is started when first needed."""

    def __init__(self) -> None:
        self.pid = 0
        self._executor: ProcessPoolExecutor | None = None

    async def run(self, function: Callable[[Any], Any], value: Any) -> Any:
        if self._executor is None or not self.pid:
            await self.end()
            # No fork: a fork copies locks that other threads hold.
            context = multiprocessing.get_context("forkserver")
            executor = self._executor = ProcessPoolExecutor(
                1, context, initializer=_ignore_interrupts
            )
            # `submit` starts the process, which is too slow for the event loop.
            self.pid = await asyncio.to_thread(lambda: executor.submit(os.getpid).result())
        return await asyncio.wrap_future(self._executor.submit(function, value))

    def kill(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):  # it has died already
                os.kill(self.pid, signal.SIGKILL)
            self.pid = 0

    async def end(self) -> None:
        """Wait until its process and threads have ended."""
        executor, self._executor, self.pid = self._executor, None, 0
        if executor is not None:
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ignore Ctrl+C in a worker: the parent process receives it and ends the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
