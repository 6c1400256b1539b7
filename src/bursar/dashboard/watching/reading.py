"""Reading the database for the watcher: one thread, with a connection of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

from django import db
from django.db import connections

T = TypeVar("T")


class Reader:
    """One read at a time; who comes meanwhile waits."""

    def __init__(self) -> None:
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="watch")

    async def run(self, read: Callable[[], T]) -> T:
        """Run *read* on the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _read, read)

    async def close(self) -> None:
        """Close the connection and end the thread; a read that has begun is waited for."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, connections.close_all)
        await asyncio.to_thread(self._thread.shutdown)


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    except db.Error:
        # A connection that broke would fail all that come after.
        connections["default"].close()
        raise
