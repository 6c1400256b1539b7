"""Database reads from asynchronous code: a few threads, each with its own connection."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
from collections.abc import Callable
from typing import TypeVar

from django import db
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")


class DatabaseThreadPool:
    """
    Runs at most *threads* reads at the same time; further reads wait in a queue.

    A read must not write: transactions belong to `group_commit`.
    """

    def __init__(self, *, threads: int, name: str) -> None:
        self._executor = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._connections: set[BaseDatabaseWrapper] = set()

    async def run(self, read: Callable[[], T]) -> T:
        """Run *read* on one of the threads, with a copy of the caller's context variables."""
        context = contextvars.copy_context()
        call = functools.partial(context.run, self._read, read)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        """Wait for the reads that have begun, end the threads and close their connections."""
        self._executor.shutdown(wait=True)
        for connection in self._connections:
            # Django lets only the thread that opened a connection close it; that thread has ended.
            connection.inc_thread_sharing()
            connection.close()
        self._connections.clear()

    def _read(self, read: Callable[[], T]) -> T:
        connection = connections["default"]
        self._connections.add(connection)
        try:
            return read()
        except db.Error:
            # All later reads on this thread would fail on a broken connection.
            connection.close()
            raise


#: The pool of the HTTP API and the dashboard in this process.
readers = DatabaseThreadPool(threads=4, name="read")
