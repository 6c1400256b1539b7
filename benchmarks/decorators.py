"""
The four decorators beside the libraries people take instead: what a call costs that goes well.

Ours and the peers run in turn, each round in processes of their own. A call of a bare function is
shown beside; nothing is subtracted. Peers mask nothing in their log lines; ours does.
"""

from __future__ import annotations

import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import contestants, machine
from benchmarks.contestants import Contestant
from benchmarks.records import Plan, Record
from benchmarks.stories import runner

OURS = Contestant("bursar", "benchmarks.decorators_ours", peer=False)
PEERS = Contestant("peers", "benchmarks.decorators_peers")
COUNTED = ("stampede of 50 threads", "stampede of 50 coroutines")


def run(plan: Plan, console: Console) -> list[Record]:
    calls, rounds = (20_000, 3) if plan.quick else (200_000, 5)
    task = {"calls": plan.calls or calls, "plan": plan.calls or 100_000}
    entered = [OURS, *([PEERS] if plan.peers else [])]
    with contestants.sqlite() as server:
        measured = contestants.alternate(entered, server, rounds=plan.rounds or rounds, task=task)
    ours = {name: _median(measured["bursar"], name) for name in measured["bursar"][0]}
    theirs = _peers(measured.get("peers", []))
    records = []
    for name, value in ours.items():
        unit = "calls" if name in COUNTED else "%" if "flaky" in name else "ns"
        beside: dict[str, float | None] = {**theirs.get(name, {})} or {"": None}
        for peer, peer_value in beside.items():
            records.append(
                Record(
                    benchmark="decorators",
                    measure=name,
                    unit=unit,
                    value=value,
                    peer=peer,
                    peer_value=peer_value,
                )
            )
    _show(console, records)
    return records + _aggregation(console, plan)


def _median(rounds: list[Any], name: str) -> float:
    return float(statistics.median(one[name] for one in rounds))


def _peers(rounds: list[Any]) -> dict[str, dict[str, float]]:
    if not rounds:
        return {}
    return {
        name: {
            peer: float(statistics.median(one[name][peer] for one in rounds)) for peer in by_peer
        }
        for name, by_peer in rounds[0].items()
    }


def _show(console: Console, records: list[Record]) -> None:
    table = Table(title="decorators: a call that goes well", title_justify="left")
    for name in ("what", "ours", "", "peer", "theirs", "theirs / ours"):
        table.add_column(name, justify="left" if name in {"what", "peer", ""} else "right")
    for record in records:
        theirs = record.peer_value
        table.add_row(
            record.measure,
            f"{record.value:,.3g}" if record.unit == "%" else f"{record.value:,.0f}",
            record.unit,
            record.peer,
            "" if theirs is None else f"{theirs:,.0f}",
            "" if theirs is None else f"{theirs / record.value:,.1f}",
        )
    console.print(table)


def _aggregation(console: Console, plan: Plan) -> list[Record]:
    """The aggregation of story 2 under a load that keeps its server half busy."""
    calls, seconds = (100, 0.04) if plan.quick else (500, 0.04)
    task = {
        "calls": plan.calls or calls,
        "service_seconds": seconds,
        "load": 0.5,
        "misses": 0.15,
        "seed": machine.SEED,
    }
    columns = [runner.play("story_02_cache", name, task) for name in ("before", "ours")]
    runner.check("story_02_cache", "benchmark", columns)
    before, ours = (column.figures for column in columns)
    console.print(
        f"aggregation, {1_000 * seconds:.0f} ms each at one server, Poisson arrivals, half busy "
        f"before; {ours['hit rate, %']:.1f} % hits"
    )
    misses = 1 - ours["hit rate, %"] / 100
    service = 1_000 * seconds
    console.print(
        f"  by arithmetic (M/M/1): mean {service / 0.5:.1f} ms before; the misses alone keep it "
        f"{50 * misses:.1f} % busy and take {service / (1 - 0.5 * misses):.1f} ms, so the mean is "
        f"{misses * service / (1 - 0.5 * misses):.1f} ms: "
        f"{100 * (misses * 0.5 / (1 - 0.5 * misses) - 1):+.1f} %"
    )
    records = []
    for name in ("mean, ms", "P50, ms", "P99, ms"):
        change = 100 * (ours[name] / before[name] - 1)
        console.print(f"  {name}: {before[name]:.2f} -> {ours[name]:.2f} ({change:+.1f} %)")
        records.append(
            Record(
                benchmark="decorators",
                measure=f"aggregation {name}",
                unit="ms",
                value=ours[name],
                peer="without cache",
                peer_value=before[name],
            )
        )
    return records
