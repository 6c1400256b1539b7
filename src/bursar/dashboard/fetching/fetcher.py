"""
Fan-out: fetch any number of sources concurrently, in the time of the slowest.

    async with Fetcher() as fetcher:
        results = await fetcher.fetch_all(sources, deadline_seconds=3.0)

A source that is late, fails or hangs affects its own result only.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from random import random as uniform
from typing import Any, Self

from bursar import clock
from bursar.dashboard.fetching import executors, hedging_policy, http_fetcher
from bursar.dashboard.fetching.batch import Executors, FetchBatch, FetchState, OnResult
from bursar.dashboard.fetching.results import FetchResult
from bursar.dashboard.fetching.sources import BlockingSource, HttpSource, Source

#: How long `close` waits for stragglers.
CLOSE_SECONDS = 1.0


class Fetcher:
    """
    Fetches sources in one event loop; an async context manager, meant to live as long as the process.

    It keeps the last value and the latency of each source, and a circuit breaker for each host. With
    *hedging*, late requests are sent a second time, at most *hedged_share_max* of all calls.
    *processes* run transforms (None: one per core), at most *threads_max* threads run blocking
    sources. *now* is the wall clock; *random* returns numbers from 0 to 1 for the jitter of pauses.
    Durations are measured by the clock of the event loop.
    """

    def __init__(
        self,
        *,
        hedging: bool = True,
        hedged_share_max: float = hedging_policy.HEDGED_SHARE_MAX,
        processes: int | None = None,
        threads_max: int = executors.THREADS_MAX,
        now: Callable[[], datetime] = clock.now,
        random: Callable[[], float] = uniform,
    ) -> None:
        self._hedging = hedging
        self._state = FetchState(
            now=now, random=random, hedge_budget=hedging_policy.HedgeBudget(share=hedged_share_max)
        )
        self._http = http_fetcher.HttpFetcher(now=now)
        self._threads = executors.ThreadExecutor(threads_max=threads_max)
        self.processes = executors.ProcessExecutor(processes=processes or os.cpu_count() or 1)
        self._executors = Executors(fetch=self._fetch, transform=self.processes.run)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def fetch_all(
        self,
        sources: Sequence[Source],
        *,
        deadline_seconds: float,
        on_result: OnResult | None = None,
    ) -> dict[str, FetchResult[Any]]:
        """
        Fetch all *sources*. Returns a result for each, by key, after *deadline_seconds* at the latest.

        *on_result* is called with each result as it arrives. If the caller is cancelled, all running
        fetches are cancelled.

        :raises ValueError: if two sources have the same key.
        """
        if len({source.key for source in sources}) < len(sources):
            raise ValueError("two sources have the same key")
        return await FetchBatch(
            sources,
            state=self._state,
            executors=self._executors,
            deadline_seconds=deadline_seconds,
            on_result=on_result,
            hedging=self._hedging,
        ).run()

    @property
    def calls(self) -> tuple[int, int]:
        """The numbers of first attempts and of hedges so far."""
        return self._state.hedge_budget.calls, self._state.hedge_budget.hedges

    def forget(self, key: str) -> None:
        """Drop the state of a source that is no longer fetched."""
        self._state.last_values.pop(key, None)
        self._state.latencies.pop(key, None)
        self._state.hosts.pop(key, None)  # the key stands for the host where the source names none

    async def close(self) -> None:
        """Close connections, kill processes and cancel calls; blocking calls run on in their threads."""
        await self._http.close()
        await self.processes.close()
        self._threads.close()
        if self._state.stragglers:
            await asyncio.wait(self._state.stragglers, timeout=CLOSE_SECONDS)

    async def _fetch(self, source: Source) -> Any:
        if isinstance(source, HttpSource):
            return await self._http.fetch(source)
        if isinstance(source, BlockingSource):
            return await self._threads.run(source.key, source.function)
        return await source.function()
