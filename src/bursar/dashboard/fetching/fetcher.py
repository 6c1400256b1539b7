"""
The fan-out: any number of sources asked at once, in the time of the slowest.

    async with fetcher.Fetcher() as gathering:
        tiles = await gathering.gather(sources, deadline_seconds=3.0)

A source's failure is its own tile's: late, broken or gone, it holds up no other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from random import random as draw
from typing import Any, Self

from bursar import clock
from bursar.dashboard.fetching import executors, hedging_policy, http_fetcher
from bursar.dashboard.fetching.batch import Executors, FetchBatch, FetchState, OnTile
from bursar.dashboard.fetching.results import FetchResult
from bursar.dashboard.fetching.sources import BlockingSource, HttpSource, Source

#: How long `close` waits for tasks that were cancelled and went on.
CLOSE_SECONDS = 1.0


class Fetcher:
    """
    Gathers in one event loop, for the process's life; an async context manager.

    It remembers each source's last good value and habit, and each host's circuit. With *hedging*,
    answers that are late are asked for a second time, for at most *extra_share_max* of all calls.
    *processes* transform (None: one a core), *threads_max* block. *now* is the wall clock; *random*
    gives numbers from 0 to 1 for pauses. Time itself is the event loop's.
    """

    def __init__(
        self,
        *,
        hedging: bool = True,
        extra_share_max: float = hedging_policy.EXTRA_SHARE_MAX,
        processes: int | None = None,
        threads_max: int = executors.THREADS_MAX,
        now: Callable[[], datetime] = clock.now,
        random: Callable[[], float] = draw,
    ) -> None:
        self._hedging = hedging
        self._memory = FetchState(
            now=now, random=random, allowance=hedging_policy.HedgeBudget(share=extra_share_max)
        )
        self._connections = http_fetcher.HttpFetcher(now=now)
        self._threads = executors.ThreadExecutor(threads_max=threads_max)
        self.processes = executors.ProcessExecutor(processes=processes or os.cpu_count() or 1)
        self._means = Executors(ask=self._ask, transform=self.processes.run)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def fetch_all(
        self, sources: Sequence[Source], *, deadline_seconds: float, on_tile: OnTile | None = None
    ) -> dict[str, FetchResult[Any]]:
        """
        Ask all *sources* now; a tile for each, by its key, at the latest after *deadline_seconds*.

        *on_tile* is called with each tile as it lands. If the caller is cancelled, all that was
        begun is stopped.

        :raises ValueError: if two sources have one key.
        """
        if len({source.key for source in sources}) < len(sources):
            raise ValueError("two sources have one key")
        return await FetchBatch(
            sources,
            memory=self._memory,
            means=self._means,
            deadline_seconds=deadline_seconds,
            on_tile=on_tile,
            hedging=self._hedging,
        ).run()

    @property
    def calls(self) -> tuple[int, int]:
        """How many first calls were sent so far, and how many beside a first one."""
        return self._memory.allowance.calls, self._memory.allowance.extra

    def forget(self, key: str) -> None:
        """Drop what is remembered of a source that is no more."""
        self._memory.kept.pop(key, None)
        self._memory.habits.pop(key, None)
        self._memory.hosts.pop(key, None)  # its own, where it named none

    async def close(self) -> None:
        """End connections, processes and calls; a blocking call that still runs is left behind."""
        await self._connections.close()
        await self.processes.close()
        self._threads.close()
        if self._memory.stragglers:
            await asyncio.wait(self._memory.stragglers, timeout=CLOSE_SECONDS)

    async def _ask(self, source: Source) -> Any:
        if isinstance(source, HttpSource):
            return await self._connections.fetch(source)
        if isinstance(source, BlockingSource):
            return await self._threads.run(source.key, source.function)
        return await source.function()
