"""Reading the database from asynchronous routes: a few threads, each with its connection."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
from collections.abc import Callable
from typing import TypeVar

from django import db
from django.db import connections

T = TypeVar("T")


class Readers:
    """At most *threads* reads at once; who comes later waits."""

    def __init__(self, threads: int = 4) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="read")

    async def run(self, read: Callable[[], T]) -> T:
        """Run *read* on one of the threads, in the caller's context."""
        context = contextvars.copy_context()
        call = functools.partial(context.run, _read, read)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Wait for what is being read, and end the threads."""
        self._threads.shutdown(wait=True)


def _read(read: Callable[[], T]) -> T:
    connection = connections["default"]
    try:
        return read()
    except db.Error:
        # A connection that broke would fail all that come after.
        connection.close()
        raise


readers = Readers()
