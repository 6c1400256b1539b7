"""Heavy transforms: in the event loop, in threads, and in the engine's processes."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import metering
from bursar.dashboard.fetching import fetcher
from bursar.dashboard.fetching.results import FetchStatus
from bursar.dashboard.fetching.sources import CoroutineSource


def calculate(rounds: int) -> int:
    """Some tens of milliseconds of plain Python, which holds the interpreter's lock."""
    total = 0
    for number in range(rounds):
        total = (total * 31 + number) % 1_000_003
    return total


async def _gathered(task: dict[str, Any]) -> dict[str, float]:
    async def ask() -> int:
        return int(task["rounds"])

    sources = [
        CoroutineSource(key=str(number), function=ask, transform=calculate, timeout_seconds=300)
        for number in range(task["count"])
    ]
    async with fetcher.Fetcher(processes=task["workers"]) as gathering:
        await gathering.fetch_all(
            sources[: task["workers"]], deadline_seconds=60
        )  # processes started
        began = time.perf_counter()
        tiles = await gathering.fetch_all(sources, deadline_seconds=300)
        seconds = time.perf_counter() - began
    assert {tile.state for tile in tiles.values()} == {FetchStatus.OK}
    return {"seconds": seconds}


def _here(task: dict[str, Any]) -> dict[str, float]:
    began = time.perf_counter()
    for _ in range(task["count"]):
        calculate(task["rounds"])
    return {"seconds": time.perf_counter() - began}


def _threads(task: dict[str, Any]) -> dict[str, float]:
    with ThreadPoolExecutor(task["workers"]) as pool:
        began = time.perf_counter()
        list(pool.map(calculate, [task["rounds"]] * task["count"]))
        return {"seconds": time.perf_counter() - began}


_BLOCKING = {"here": _here, "threads": _threads}


if __name__ == "__main__":
    given = metering.task()
    way = given["way"]
    told = asyncio.run(_gathered(given)) if way == "processes" else _BLOCKING[way](given)
    print(json.dumps(told))
