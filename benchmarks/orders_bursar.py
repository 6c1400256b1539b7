"""Contestant: Bursar places, charges and books, all at the same time, in one process."""

# The environment is set before Bursar is imported:
# ruff: noqa: E402

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import metering

TASK = metering.task()
os.environ["BURSAR_HOME"] = tempfile.mkdtemp(prefix="home-", dir=TASK["folder"])
os.environ["DJANGO_SETTINGS_MODULE"] = "bursar.settings"
if TASK["url"]:
    os.environ["BURSAR_DATABASE_URL"] = TASK["url"]

import django

django.setup()

from django.core.management import call_command

from bursar import clock, group_commit, ids, job_handlers, logs, sql, triggers
from bursar.ledger.models import Transfer
from bursar.orders import operations
from bursar.payments import provider_accounts
from bursar.pricing.baskets import Line
from bursar.queue import worker

PLACERS = 128
ACCOUNT = "bench"


class Stopwatch:
    """Seconds and CPU seconds spent in each part, added up; each part is on one thread."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.cpu: defaultdict[str, float] = defaultdict(float)

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            began, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*args)
            finally:
                self.seconds[part] += time.perf_counter() - began
                self.cpu[part] += time.thread_time() - cpu

        return timed


class Transactions:
    """Counts commits and their members; adds what COMMIT takes to *stopwatch*."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self.commits = self.members = 0
        self._stopwatch = stopwatch
        self._sent = (0.0, 0.0)

    def watch(self, what: str, members: Sequence[Callable[[], Any]]) -> None:
        if what == "commit":
            self._sent = time.perf_counter(), time.thread_time()
        elif what == "committed":
            self._stopwatch.seconds["commit"] += time.perf_counter() - self._sent[0]
            self._stopwatch.cpu["commit"] += time.thread_time() - self._sent[1]
            self.commits += 1
            self.members += len(members)


def _order(number: int) -> operations.NewOrder:
    line = Line(sku="a", description="thing", quantity=2, unit_price="10.50", tax_rate="19")
    return operations.NewOrder(
        reference=f"o{number}",
        currency="EUR",
        lines=[line] * 2,
        idempotency_key=f"key/{number}",
        placed_at=clock.now(),
        provider_account=ACCOUNT,
        method="tok_visa",
    )


async def _place_all(numbers: range) -> None:
    remaining = iter(numbers)

    async def place() -> None:
        for number in remaining:
            place_one = functools.partial(
                operations.place_order,
                _order(number),
                order_id=ids.new("ord"),
                payment_id=ids.new("pay"),
            )
            await group_commit.commits.run(functools.partial(_at_once, place_one))

    async with asyncio.TaskGroup() as group:
        for _ in range(PLACERS):
            group.create_task(place())


def _at_once(place_one: Callable[..., str]) -> str:
    return place_one(now=clock.now())


async def _flow(working: worker.Worker, numbers: range) -> None:
    """Place and charge all of *numbers*; returns when the last one is booked."""
    done = working.outcomes["charge", "done"] + len(numbers)
    running = asyncio.create_task(working.run())
    await _place_all(numbers)
    while working.outcomes["charge", "done"] < done:
        if running.done():
            running.result()
            raise RuntimeError("the worker ended before its work")
        await asyncio.sleep(0.005)
    working.stop()
    await running


def _time_parts(stopwatch: Stopwatch) -> None:
    """Put the stopwatch around statements and the sandbox's simulator; it costs about 2 us a call."""
    for name in ("run", "run_many", "row", "rows"):
        setattr(sql, name, stopwatch.around("sql", getattr(sql, name)))
    simulator = provider_accounts.get(ACCOUNT).simulator  # type: ignore[attr-defined]
    kind = type(simulator)
    kind.charge = stopwatch.around("provider", kind.charge)


def main() -> None:
    logs.configure(level="WARNING", stream=sys.stderr.buffer)
    call_command("migrate", verbosity=0)
    triggers.check_triggers()
    triggers.check_durability()
    stopwatch = Stopwatch()
    transactions = Transactions(stopwatch)
    group_commit.commits = group_commit.GroupCommit(watch=transactions.watch)
    config = {"durable": False, "fee_basis_points": 150, "fee_fixed_minor": 20}
    group_commit.commits.run_blocking(
        lambda: provider_accounts.create_account(
            name=ACCOUNT, provider="sandbox", config=config, now=clock.now()
        )
    )
    warm, orders = min(50, TASK["orders"]), TASK["orders"]
    asyncio.run(_flow(worker.Worker(job_handlers.HANDLERS), range(-warm, 0)))
    if TASK["parts"]:
        _time_parts(stopwatch)
    stopwatch.seconds.clear()
    stopwatch.cpu.clear()
    transactions.commits = transactions.members = 0
    meter = metering.Meter(TASK["server_pid"])
    asyncio.run(_flow(worker.Worker(job_handlers.HANDLERS), range(orders)))
    totals: dict[str, Any] = meter.read()
    booked = Transfer.objects.values("subject").distinct().count()
    assert booked == warm + orders, f"{booked} of {warm + orders} payments are booked"
    totals |= {
        "orders": orders,
        "commits": transactions.commits,
        "members": transactions.members,
        "part_seconds": dict(stopwatch.seconds),
        "part_cpu": dict(stopwatch.cpu),
        "threads": threading.active_count(),
    }
    group_commit.commits.close()
    print(json.dumps(totals))


if __name__ == "__main__":
    main()
