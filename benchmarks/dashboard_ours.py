"""Ours: boards of the plan's APIs, one after the other by one engine."""

from __future__ import annotations

import gc
import io
import json
import resource
import time
from typing import Any

import orjson
import uvloop

from benchmarks import metering
from benchmarks.dashboard_plan import ATTEMPT_SECONDS, ATTEMPTS_MAX, DEADLINE_SECONDS, Board
from bursar import logs
from bursar.dashboard.fetching import fetcher
from bursar.dashboard.fetching.results import FetchStatus
from bursar.dashboard.fetching.sources import HttpSource


async def main(task: dict[str, Any]) -> list[dict[str, float]]:
    told = []
    async with fetcher.Fetcher(hedging=task["hedging"], random=lambda: 1.0) as gathering:
        for number, seed in enumerate(task["seeds"]):
            board = Board(task["profile"], seed, task["count"])
            sources = [
                HttpSource(
                    key=str(place),
                    url=url,
                    read=orjson.loads,
                    attempt_seconds=ATTEMPT_SECONDS,
                    attempts_max=ATTEMPTS_MAX,
                )
                for place, url in enumerate(
                    board.urls(port=task["port"], run=f"{task['run']}-{number}")
                )
            ]
            began, cpu = time.perf_counter(), time.process_time()
            tiles = await gathering.fetch_all(sources, deadline_seconds=DEADLINE_SECONDS)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            ok = sum(tile.state is FetchStatus.OK for tile in tiles.values())
            attempts = sum(tile.attempts for tile in tiles.values())
            told.append({"seconds": seconds, "cpu": cpu, "ok": ok, "attempts": attempts})
    return told


if __name__ == "__main__":
    task = metering.task()
    logs.configure(stream=io.BytesIO())
    gc.freeze()  # as `bursar serve` does
    boards = uvloop.run(main(task))  # as `bursar serve` does, too
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"boards": boards, "peak_mb": peak}))
