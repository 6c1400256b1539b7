"""
Orders placed, charged and booked, end to end.

Ours places through group commit while the worker of the same process charges and books; the
sandbox responds at once from a store in memory, so that all disk time is ours. Each order has
two lines. Every contestant is a process tree on a fresh database: SQLite in WAL mode with
synchronous=FULL, or PostgreSQL with fsync and synchronous_commit on.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import contestants, machine
from benchmarks.contestants import Contestant, median
from benchmarks.records import Plan, Record

OURS = Contestant("bursar", "benchmarks.orders_bursar", peer=False)
MISSING = {
    "bursar": "facts, ledger, intent row, durable queue; all in group commits",
    "naive Django": "intent row and ledger rows, a transaction a step; no facts, no queue, no verification",
    "django-payments": "its own API and commits; no intent row, no facts, no ledger, no queue",
}
#: Processes and threads of the peers: one writer on SQLite, where more wait for each other's lock;
#: eight connections on PostgreSQL. Chosen, not searched for.
SHAPES = {"sqlite": {"processes": 1, "threads": 1}, "postgresql": {"processes": 2, "threads": 4}}


def run(plan: Plan, console: Console) -> list[Record]:
    records = []
    orders = plan.orders or (600 if plan.quick else 3_000)
    rounds = plan.rounds or (3 if plan.quick else 5)
    for database in plan.databases:
        with contestants.SERVERS[database]() as server:
            entered = [OURS, *(_peers(database) if plan.peers else [])]
            task = {"orders": orders, "parts": False}
            results = contestants.alternate(entered, server, rounds=rounds, task=task)
            task["parts"] = True
            parts = contestants.alternate([OURS], server, rounds=1, task=task)["bursar"][0]
        records += _records(database, results, parts)
        _show(console, database, results, parts)
    return records


def _peers(database: str) -> list[Contestant]:
    shape = SHAPES[database]
    return [
        Contestant(
            "django-payments", "benchmarks.shop.flows", task={"flow": "django_payments", **shape}
        ),
        Contestant("naive Django", "benchmarks.shop.flows", task={"flow": "naive", **shape}),
    ]


def _figures(rounds: list[Any]) -> dict[tuple[str, str], float]:
    return {
        ("throughput", "orders/s"): 1 / median(rounds, "seconds"),
        ("cpu", "us/order"): 1e6 * median(rounds, "cpu"),
        ("server_cpu", "us/order"): 1e6 * median(rounds, "server_cpu"),
    }


def _records(database: str, results: dict[str, list[Any]], parts: Any) -> list[Record]:
    name = f"orders/{database}"
    own = _figures(results["bursar"])
    peers = [(peer, _figures(rounds)) for peer, rounds in results.items() if peer != "bursar"]
    records = [
        Record(
            benchmark=name,
            measure=measure,
            unit=unit,
            value=value,
            peer=peer,
            peer_value=theirs.get((measure, unit)),
        )
        for (measure, unit), value in own.items()
        for peer, theirs in peers or [("", {})]
    ]
    rounds = results["bursar"]
    records.append(
        Record(benchmark=name, measure="commits", unit="1/order", value=median(rounds, "commits"))
    )
    for part, (wall, cpu) in breakdown(parts).items():
        records += [
            Record(benchmark=name, measure=f"wall_share_{part}", unit="1", value=wall),
            Record(benchmark=name, measure=f"cpu_{part}", unit="us/order", value=cpu),
        ]
    return records


def breakdown(parts: Any) -> dict[str, tuple[float, float]]:
    """
    Where a round's time went: part -> (share of the wall clock, CPU us per order).

    Statements and COMMIT run on the writer's thread beside the provider and the rest of Python,
    so the shares may add up to more than 1; a statement's share includes waits for the
    interpreter's lock. Python is all CPU that is none of the others.
    """
    seconds, cpu, orders = parts["part_seconds"], parts["part_cpu"], parts["orders"]
    figures = {
        part: (seconds.get(part, 0.0) / parts["seconds"], 1e6 * cpu.get(part, 0.0) / orders)
        for part in ("sql", "commit", "provider")
    }
    rest = max(0.0, parts["cpu"] - sum(cpu.values()))
    return {**figures, "python": (rest / parts["seconds"], 1e6 * rest / orders)}


def _show(console: Console, database: str, results: dict[str, list[Any]], parts: Any) -> None:
    hardware = machine.hardware()
    table = Table(
        title=f"orders placed, charged and booked: {database}",
        caption=f"{len(results['bursar'])} rounds, medians; {hardware['cores']} cores, "
        f"load {hardware['load']:.1f}. The sandbox's store is in memory and uses no disk.",
    )
    for heading in ("", "orders/s", "CPU us/order", "server CPU", "ours is", "what it does"):
        table.add_column(heading, justify="left" if heading in {"", "what it does"} else "right")
    own = 1 / median(results["bursar"], "seconds")
    for name, rounds in results.items():
        speed, cpu, server = _figures(rounds).values()
        times = "" if name == "bursar" else f"{own / speed:.1f}x"
        table.add_row(name, f"{speed:,.0f}", f"{cpu:,.0f}", f"{server:,.0f}", times, MISSING[name])
    console.print(table)
    shares = Table(title="where bursar's time goes (one more round, timed inside)")
    for heading in ("part", "share of the wall clock", "CPU us/order"):
        shares.add_column(heading, justify="left" if heading == "part" else "right")
    for part, (wall, cpu) in breakdown(parts).items():
        shares.add_row(part, f"{wall:.0%}", f"{cpu:,.0f}")
    console.print(shares)
    rounds = results["bursar"]
    commits, members = median(rounds, "commits"), median(rounds, "members")
    console.print(
        f"{commits:.3f} commits an order ({members / commits:.0f} members in each), "
        f"where one by one it would be {members:.1f}.\n"
    )
