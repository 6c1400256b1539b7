"""
The dashboard's fetcher compared with sequential calls, threads and httpx, on simulated APIs.

All clients call the same server in a separate process; every batch follows a seeded plan
(`dashboard_plan`), with the same timeouts and retries. Measured are the time until all results are
there, relative to that of the slowest source alone, and the CPU time of the client process.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import contestants, dashboard_server, dashboard_simulated
from benchmarks.contestants import Contestant
from benchmarks.dashboard_plan import Board
from benchmarks.records import Plan, Record

OURS = Contestant("bursar", "benchmarks.dashboard_ours", peer=False, task={"hedging": True})
UNHEDGED = Contestant(
    "bursar, not hedging", "benchmarks.dashboard_ours", peer=False, task={"hedging": False}
)
SEQUENTIAL, THREADS, HTTPX, UNHURRIED = (
    Contestant(name, "benchmarks.dashboard_peers", task={"client": client})
    for name, client in (
        ("one after the other", "sequential"),
        ("20 threads, requests", "threads"),
        ("httpx", "httpx"),
        ("httpx, unhurried", "httpx, unhurried"),
    )
)


@dataclass(slots=True)
class _Bench:
    """What the rows share: the server, fresh seeds, and how much is asked for."""

    plan: Plan
    console: Console
    port: int
    server: contestants.Server
    theirs: Path
    records: list[Record] = field(default_factory=list)
    _runs: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def rounds(self, usual: int) -> int:
        return self.plan.rounds or (1 if self.plan.quick else usual)

    def boards(self, who: Contestant, boards: Sequence[Board]) -> list[dict[str, float]]:
        """Gather *boards* one after the other, in a process of its own."""
        first = boards[0]
        task = {
            "profile": first.profile,
            "count": first.count,
            "seeds": [b.seed for b in boards],
            "port": self.port,
            "run": str(next(self._runs)),
        }
        told: list[dict[str, float]] = self.once(who, task)["boards"]
        return told

    def once(self, who: Contestant, task: dict[str, Any]) -> Any:
        python = self.theirs if who.peer else Path(sys.executable)
        return contestants.once(who, self.server, python, task)

    def tell(
        self, measure: str, unit: str, value: float, peer: str = "", peer_value: float | None = None
    ) -> None:
        self.records.append(
            Record(
                benchmark="dashboard",
                measure=measure,
                unit=unit,
                value=value,
                peer=peer,
                peer_value=peer_value,
            )
        )

    def table(self, title: str, *columns: str) -> Table:
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column)
        return table


def run(plan: Plan, console: Console) -> list[Record]:
    rows = [name for name in ROWS if not plan.only or name.startswith(plan.only)]
    if not rows:
        sys.exit(f"no row begins with {plan.only[0]!r}; there are: {', '.join(ROWS)}")
    theirs = contestants.peers_python() if plan.peers else Path(sys.executable)
    with dashboard_server.running() as port, contestants.sqlite() as server:
        bench = _Bench(plan, console, port, server, theirs)
        for name in rows:
            ROWS[name](bench)
    return bench.records


def _guide(bench: _Bench) -> None:
    """The guide's profile: 20 and 40 APIs beside one call after the other and 20 threads."""
    table = bench.table("the guide's profile, seconds (medians)", "", "20 APIs", "40 APIs")
    profile = "quick" if bench.plan.quick else "guide"
    who = [OURS, *((SEQUENTIAL, THREADS) if bench.plan.peers else ())]
    seconds: dict[str, list[float]] = {c.name: [] for c in who}
    for count in (20, 40):
        board = Board(profile, 0, count)
        for contestant in who:
            gathered = [bench.boards(contestant, [board])[0] for _ in range(bench.rounds(3))]
            assert all(one["ok"] == count for one in gathered)
            seconds[contestant.name].append(statistics.median(one["seconds"] for one in gathered))
    for place, count in enumerate((20, 40)):
        ours, *others = (seconds[c.name][place] for c in who)
        for contestant, theirs in zip(who[1:], others, strict=True):
            bench.tell(f"the guide's {count} APIs", "s", ours, contestant.name, theirs)
        if not others:
            bench.tell(f"the guide's {count} APIs", "s", ours)
    for name, times in seconds.items():
        beside = zip(times, seconds[OURS.name], strict=True)
        table.add_row(name, *[f"{theirs:.3f} ({theirs / ours:.1f}x)" for theirs, ours in beside])
    bench.console.print(table)


def _slowest(bench: _Bench) -> None:
    """Without hedging: the board's time beside its slowest source's own."""
    table = bench.table(
        "time / the slowest source's own time, not hedging", "APIs", "boards", "median", "worst"
    )
    for count in (20, 40, 100, 500):
        ratios: list[float] = []
        for number in range(bench.rounds(5)):
            boards = [Board("usual", 1_000 + 10 * number + n, count) for n in range(3)]
            told = bench.boards(UNHEDGED, boards)
            ratios += [
                one["seconds"] / b.limit_seconds() for one, b in zip(told, boards, strict=True)
            ]
        median = statistics.median(ratios)
        bench.tell(f"time beside the slowest of {count}", "x", median)
        bench.tell(f"time beside the slowest of {count}, worst board", "x", max(ratios))
        table.add_row(str(count), str(len(ratios)), f"{median:.3f}", f"{max(ratios):.3f}")
    bench.console.print(table)


def _hedging(bench: _Bench) -> None:
    """Hedged beside not hedged: in virtual time on many seeds, over sockets on some."""
    table = bench.table(
        "hedged / not hedged",
        "where",
        "APIs",
        "boards",
        "P10",
        "median",
        "P90",
        "extra calls",
        "most",
    )
    for count in (100, 500):
        found = {"virtual time": _simulated(bench, count), **_over_sockets(bench, count)}
        for where, (ratios, extra) in found.items():
            p10, *_, p90 = statistics.quantiles(ratios, n=10)
            median, mean = statistics.median(ratios), statistics.fmean(extra)
            what = f"hedged beside not hedged, {count} APIs, {where}"
            bench.tell(what, "x", median)
            bench.tell(f"{what}: extra calls", "%", 100 * mean)
            table.add_row(
                where,
                str(count),
                str(len(ratios)),
                f"{p10:.2f}",
                f"{median:.3f}",
                f"{p90:.2f}",
                f"{100 * mean:+.1f} %",
                f"{100 * max(extra):+.1f} %",
            )
    bench.console.print(table)


_Ratios = tuple[list[float], list[float]]


def _simulated(bench: _Bench, count: int) -> _Ratios:
    ratios, extra = [], []
    for seed in range(5_000, 5_004 if bench.plan.quick else 5_100):
        board = Board("usual", seed, count)
        plain, hedged = (dashboard_simulated.gather(board, hedging=on) for on in (False, True))
        ratios.append(hedged.seconds / plain.seconds)
        extra.append(hedged.calls / plain.calls - 1)
    return ratios, extra


def _over_sockets(bench: _Bench, count: int) -> dict[str, _Ratios]:
    """The first board of a process makes its connections; all others find them."""
    found: dict[str, _Ratios] = {"sockets, first board": ([], []), "sockets": ([], [])}
    for number in range(2 if bench.plan.quick else bench.plan.rounds or 18):
        boards = [Board("usual", 7_000 + 10 * number + n, count) for n in range(4)]
        both = [bench.boards(who, boards) for who in (UNHEDGED, OURS)]
        for place, (plain, hedged) in enumerate(zip(*both, strict=True)):
            ratios, extra = found["sockets" if place else "sockets, first board"]
            ratios.append(hedged["seconds"] / plain["seconds"])
            extra.append(hedged["attempts"] / plain["attempts"] - 1)
    return found


def _peers(bench: _Bench) -> None:
    """500 APIs: time, CPU and what was missed, beside threads and httpx."""
    count = 500
    who = [OURS, UNHEDGED, *((THREADS, HTTPX, UNHURRIED) if bench.plan.peers else ())]
    told: dict[str, list[dict[str, float]]] = {c.name: [] for c in who}
    for number in range(bench.rounds(5)):
        boards = [Board("usual", 3_000 + 10 * number + n, count) for n in range(2)]
        for contestant in who:
            told[contestant.name] += bench.boards(contestant, boards)
    table = bench.table(f"{count} APIs (medians)", "client", "seconds", "CPU, ms", "missed of all")
    for name, gathered in told.items():
        wall, cpu = (statistics.median(one[w] for one in gathered) for w in ("seconds", "cpu"))
        missed = sum(count - one["ok"] for one in gathered)
        table.add_row(name, f"{wall:.3f}", f"{1e3 * cpu:,.0f}", f"{missed:,.0f}")
        bench.tell(f"{count} APIs, missed: {name}", "tiles", missed)
    for name in (OURS.name, UNHEDGED.name):
        for peer in list(told)[2:] or [""]:
            for what, unit in (("seconds", "s"), ("cpu", "s")):
                ours = statistics.median(one[what] for one in told[name])
                theirs = statistics.median(one[what] for one in told[peer]) if peer else None
                bench.tell(f"{count} APIs, {what}: {name}", unit, ours, peer, theirs)
    bench.console.print(table)


def _processes(bench: _Bench) -> None:
    """Calculations: in the loop, in threads, in one process and in two."""
    rounds, count = (100_000, 6) if bench.plan.quick else (1_000_000, 40)
    ways = {
        "in the loop": {"way": "here", "workers": 1},
        "2 threads": {"way": "threads", "workers": 2},
        "1 process": {"way": "processes", "workers": 1},
        "2 processes": {"way": "processes", "workers": 2},
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(bench.rounds(5)):
        for name, way in ways.items():
            who = Contestant(name, "benchmarks.dashboard_calculations", peer=False)
            told = bench.once(who, {**way, "rounds": rounds, "count": count})
            seconds[name].append(told["seconds"])
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    table = bench.table(f"{count} calculations in plain Python (medians)", "", "seconds", "speed")
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}", f"{medians['1 process'] / median:.2f}x")
        if name != "2 processes":
            bench.tell("calculations in 2 processes", "s", medians["2 processes"], name, median)
    bench.console.print(table)


def _aborted(bench: _Bench) -> None:
    """Boards that are given up in the middle leave nothing."""
    boards = 20 if bench.plan.quick else 1_000
    who = Contestant("aborted", "benchmarks.dashboard_aborted", peer=False)
    left = bench.once(who, {"boards": boards, "seed": 1, "port": bench.port, "run": "aborted"})
    for name, count in left.items():
        bench.tell(f"{name} left by {boards:,} aborted boards", name, count)
    bench.console.print(f"{boards:,} aborted boards left {left}")


ROWS: dict[str, Callable[[_Bench], None]] = {
    "guide": _guide,
    "slowest": _slowest,
    "hedging": _hedging,
    "peers": _peers,
    "processes": _processes,
    "aborted": _aborted,
}
