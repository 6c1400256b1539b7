"""The engine itself in virtual time: its own decisions, without sockets or a machine's noise."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from benchmarks.dashboard_plan import ATTEMPT_SECONDS, ATTEMPTS_MAX, DEADLINE_SECONDS, Board
from bursar.dashboard.fetching import fetcher
from bursar.dashboard.fetching.results import FetchStatus
from bursar.dashboard.fetching.sources import CoroutineSource, SourceUnavailable
from tests import event_loop_clock


class Simulated(NamedTuple):
    """One board: seconds, calls that reached sources, and tiles that were not ok."""

    seconds: float
    calls: int
    missed: int


def gather(board: Board, *, hedging: bool) -> Simulated:
    """Gather the plan of *board* by an engine that knows nothing of its sources yet."""
    return event_loop_clock.run(
        _gather(board, fetcher.Fetcher(hedging=hedging, random=lambda: 1.0))
    )


async def _gather(board: Board, gathering: fetcher.Fetcher) -> Simulated:
    calls = 0

    def source(number: int) -> CoroutineSource[int]:
        attempts = iter(board.plan()[number])

        async def ask() -> int:
            nonlocal calls
            calls += 1
            attempt = next(attempts)
            await asyncio.sleep(3_600 if attempt.hangs else attempt.seconds)
            if attempt.status != 200:
                raise SourceUnavailable("it answered 503", is_retryable=True)
            return number

        return CoroutineSource(
            key=str(number),
            function=ask,
            is_repeatable=True,
            attempt_seconds=ATTEMPT_SECONDS,
            attempts_max=ATTEMPTS_MAX,
        )

    loop = asyncio.get_running_loop()
    began = loop.time()
    sources = [source(number) for number in range(board.count)]
    async with gathering:
        tiles = await gathering.fetch_all(sources, deadline_seconds=DEADLINE_SECONDS)
    missed = sum(tile.state is not FetchStatus.OK for tile in tiles.values())
    return Simulated(loop.time() - began, calls, missed)
