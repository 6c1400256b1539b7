"""
Charges at Stripe over HTTP, some at once: our provider beside Stripe's own library.

Both ask the same stand-in in a process of its own, which keeps nothing on a disk. What counts is the
CPU of the asking process: the stand-in shares the machine, and its share is the same for all.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from benchmarks import contestants
from benchmarks.contestants import Contestant
from benchmarks.machine import ROOT
from benchmarks.records import Plan, Record

OURS = Contestant("bursar", "benchmarks.providers_bursar", peer=False)
PEERS = (
    Contestant("stripe, httpx", "benchmarks.providers_stripe", task={"client": "httpx"}),
    Contestant("stripe, aiohttp", "benchmarks.providers_stripe", task={"client": "aiohttp"}),
    Contestant("stripe, threads", "benchmarks.providers_stripe", task={"client": "threads"}),
)
AT_ONCE = 64


def run(plan: Plan, console: Console) -> list[Record]:
    charges = plan.orders or (300 if plan.quick else 2_000)
    rounds = plan.rounds or (1 if plan.quick else 5)
    who = [OURS, *(PEERS if plan.peers else ())]
    with _stand_in() as url, contestants.sqlite() as server:
        task = {"orders": charges, "at_once": AT_ONCE, "provider_url": url}
        results = contestants.alternate(who, server, rounds=rounds, task=task)
    results_table = Table(
        title=f"{charges:,} charges, {AT_ONCE} at once, medians of {rounds}", title_justify="left"
    )
    for column in ("client", "CPU a charge, us", "a second", "peak memory, MB"):
        results_table.add_column(column)
    figures = {}
    for name, measured in results.items():
        cpu, wall = (contestants.median(measured, measure) for measure in ("cpu", "wall"))
        memory = max(one["peak_mb"] for one in measured)
        figures[name] = (cpu * 1e6, 1 / wall, memory)
        results_table.add_row(name, f"{cpu * 1e6:,.0f}", f"{1 / wall:,.0f}", f"{memory:.0f}")
    console.print(results_table)
    ours = figures["bursar"]
    peers = [name for name in figures if name != "bursar"] or [""]
    return [
        Record(
            benchmark="providers",
            measure=measure,
            unit=unit,
            value=ours[place],
            peer=peer,
            peer_value=figures[peer][place] if peer else None,
        )
        for place, (measure, unit) in enumerate(
            (("CPU a charge", "us"), ("charges", "1/s"), ("peak memory", "MB"))
        )
        for peer in peers
    ]


@contextlib.contextmanager
def _stand_in() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.stripe.server"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline().removeprefix('port='))}"
    finally:
        process.terminate()
        process.wait(10)
