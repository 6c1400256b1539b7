"""Boards that are given up in the middle: what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import random
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import metering
from benchmarks.dashboard_plan import DEADLINE_SECONDS, Board
from bursar import logs
from bursar.dashboard.fetching import fetcher
from bursar.dashboard.fetching.sources import BlockingSource, HttpSource, Source


def _there() -> dict[str, int]:
    gc.collect()
    return {
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


async def main(task: dict[str, Any]) -> dict[str, int]:
    dice = random.Random(task["seed"])
    board = Board("usual", task["seed"], 40)
    # Connections that live through a gathering are kept for the next: so they are closed each time.
    before: dict[str, int] = {}
    for number in range(task["boards"] + 1):
        sources: list[Source] = [
            HttpSource(key=url, url=url)
            for url in board.urls(port=task["port"], run=f"{task['run']}-{number}")
        ]
        sources.append(BlockingSource(key="blocks", function=lambda: time.sleep(0.01)))
        async with fetcher.Fetcher() as gathering:
            gathered = asyncio.create_task(
                gathering.fetch_all(sources, deadline_seconds=DEADLINE_SECONDS)
            )
            await asyncio.sleep(dice.uniform(0, 0.3))
            gathered.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gathered
        if not number:  # after the first: what is loaded once is loaded
            await asyncio.sleep(0.2)
            before = _there()
    await asyncio.sleep(0.2)
    return {name: count - before[name] for name, count in _there().items()}


if __name__ == "__main__":
    logs.configure(stream=io.BytesIO())
    print(json.dumps(asyncio.run(main(metering.task()))))
