"""Peers: the same boards one call at a time, in a pool of threads, and with httpx."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from benchmarks import metering
from benchmarks.dashboard_plan import (
    ATTEMPT_SECONDS,
    ATTEMPTS_MAX,
    DEADLINE_SECONDS,
    PAUSES,
    Board,
)

Boards = Callable[[list[str], dict[str, str]], int]


def _asking(count: int) -> Callable[[str, dict[str, str]], bool]:
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    # As many connections are kept as there are hosts: its default of ten would make it slower.
    session.mount("http://", HTTPAdapter(pool_connections=count, pool_maxsize=count))

    def ask(url: str, header: dict[str, str]) -> bool:
        for number in range(ATTEMPTS_MAX):
            try:
                response = session.get(url, headers=header, timeout=ATTEMPT_SECONDS)
                if response.status_code == 200:
                    return bool(response.json())
            except requests.RequestException:
                pass
            if number < len(PAUSES):
                time.sleep(PAUSES[number])
        return False

    return ask


def sequential(count: int) -> Boards:
    ask = _asking(count)
    return lambda urls, header: sum(ask(url, header) for url in urls)


def threads(count: int) -> Boards:
    ask = _asking(count)
    pool = ThreadPoolExecutor(20)

    def board(urls: list[str], header: dict[str, str]) -> int:
        futures = [pool.submit(ask, url, header) for url in urls]
        return sum(done.result() for done in as_completed(futures))

    return board


def httpx(count: int, *, hurried: bool = True) -> Boards:
    """Ask all at once; unhurried, with so much time that its own slowness makes it miss none."""
    import httpx as library
    import uvloop

    attempt_seconds, deadline_seconds = (
        (ATTEMPT_SECONDS, DEADLINE_SECONDS) if hurried else (15.0, 60.0)
    )

    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    limits = library.Limits(max_connections=None, max_keepalive_connections=count)
    client = library.AsyncClient(limits=limits, timeout=None)

    async def ask(url: str, header: dict[str, str]) -> bool:
        for number in range(ATTEMPTS_MAX):
            try:
                async with asyncio.timeout(attempt_seconds):
                    response = await client.get(url, headers=header)
                if response.status_code == 200:
                    return bool(response.json())
            except (TimeoutError, library.HTTPError):
                pass
            if number < len(PAUSES):
                await asyncio.sleep(PAUSES[number])
        return False

    async def gather(urls: list[str], header: dict[str, str]) -> int:
        tasks = [asyncio.create_task(ask(url, header)) for url in urls]
        done, late = await asyncio.wait(tasks, timeout=deadline_seconds)
        for task in late:
            task.cancel()
        return sum(task.result() for task in done)

    return lambda urls, header: runner.run(gather(urls, header))


CLIENTS: dict[str, Callable[[int], Boards]] = {
    "sequential": sequential,
    "threads": threads,
    "httpx": httpx,
    "httpx, unhurried": functools.partial(httpx, hurried=False),
}


def main(task: dict[str, Any]) -> list[dict[str, float]]:
    ask_all = CLIENTS[task["client"]](task["count"])
    told = []
    for number, seed in enumerate(task["seeds"]):
        board = Board(task["profile"], seed, task["count"])
        urls, header = board.urls(port=task["port"]), board.header(f"{task['run']}-{number}")
        began, cpu = time.perf_counter(), time.process_time()
        ok = ask_all(urls, header)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        told.append({"seconds": seconds, "cpu": cpu, "ok": ok})
    return told


if __name__ == "__main__":
    gc.freeze()  # as ours does
    boards = main(metering.task())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"boards": boards, "peak_mb": peak}), flush=True)
