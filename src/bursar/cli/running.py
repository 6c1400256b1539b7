"""Running the worker from a terminal: signals, drain, what is left."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

from bursar import jobs
from bursar.payments import accounts
from bursar.queue import leasing
from bursar.queue.worker import Worker


def work(
    *, until_empty: bool, concurrency: int
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """
    Run a worker until it is empty or told to stop (SIGINT, SIGTERM).

    Returns what became of the jobs it ran, and what is left in the queue.
    """
    worker = Worker(jobs.HANDLERS, concurrency=concurrency)
    asyncio.run(_run(worker, until_empty))
    return worker.outcomes, leasing.depth()


async def _run(worker: Worker, until_empty: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, worker.stop)
    try:
        await worker.run(until_empty=until_empty)
    finally:
        await accounts.close()
