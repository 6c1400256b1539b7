"""Output of a campaign: a line per scenario, tables at the end, JSON on request."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table

from campaigns.charge import Scenario
from campaigns.loop import Outcome

FINDINGS_SHOWN = 6

# Where nobody looks (CI), a width at which the tables are whole.
console = Console(highlight=False, width=shutil.get_terminal_size((110, 24)).columns)


def print_start(planned: Sequence[Scenario], *, seed: int, size: str) -> None:
    """Print the heading."""
    console.print(f"[bold]Campaign[/] ({size}, seed {seed}, commit {commit()})")
    console.print(f"{len(planned)} scenarios; every kill is a real SIGKILL.\n")


def print_outcome(outcome: Outcome) -> None:
    """Print the result of a scenario in one line."""
    kills = outcome.kills.total()
    if outcome.mutant:
        words = "caught" if outcome.findings else "NOT CAUGHT"
        console.print(f"  mutant {outcome.name}: {words} after {kills} kills, {outcome.seconds} s")
    else:
        words = "proven" if outcome.passed else "FAILED"
        console.print(f"  {outcome.label}: {words} after {kills} kills, {outcome.seconds} s")


def summary(outcomes: Sequence[Outcome], *, seed: int, size: str, seconds: float) -> dict[str, Any]:
    """Return the totals of the campaign for the JSON file."""
    real = [one for one in outcomes if not one.mutant]
    planted = [one for one in outcomes if one.mutant]
    counts = sum((one.counts for one in real), Counter[str]())
    return {
        "campaign": "charge",
        "size": size,
        "seed": seed,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "seconds": round(seconds, 1),
        "passed": all(one.passed for one in outcomes),
        "kills": sum(one.kills.total() for one in real),
        "kills_with_mutants": sum(one.kills.total() for one in outcomes),
        "mutants_caught": sum(one.passed for one in planted),
        "mutants": len(planted),
        "counts": dict(counts),
    }


def print_summary(outcomes: Sequence[Outcome], summed: dict[str, Any]) -> None:
    """Print the tables and the result."""
    real = [one for one in outcomes if not one.mutant]
    planted = [one for one in outcomes if one.mutant]
    console.print()
    if real:
        console.print(_kills(real))
        console.print(_books(real))
    if planted:
        console.print(_mutants(planted))
    for one in outcomes:
        if not one.passed:
            _explain(one)
    verdict = "[green]PROVEN[/]" if summed["passed"] else "[red]FAILED[/]"
    console.print(
        f"{verdict}: {summed['kills']} kills of the real code, {summed['mutants_caught']} of "
        f"{summed['mutants']} mutants caught, {summed['seconds']} s, seed {summed['seed']}"
    )


def write(path: Path, outcomes: Sequence[Outcome], summed: dict[str, Any]) -> None:
    """Write everything as JSON."""
    document = {**summed, "scenarios": [one.as_json() for one in outcomes]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _kills(outcomes: Sequence[Outcome]) -> Table:
    """Kills by point: one row per member or call, one column per event."""
    columns = ["begin", "commit", "committed", "before", "after"]
    table = Table(
        "killed at", *columns, title="Kills of the real code by point", box=box.SIMPLE_HEAD
    )
    cells: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        for point, count in outcome.kills.items():
            event, _, where = point.partition(" ")
            cells[(where, event) if event in columns else (point, "begin")] += count
    for where in sorted({where for where, _ in cells} - {"at random"}):
        table.add_row(where, *(str(cells[where, column] or "") for column in columns))
    table.add_row("at random moments", str(cells["at random", "begin"]))
    return table


def _books(outcomes: Sequence[Outcome]) -> Table:
    table = Table(
        Column("provider has", no_wrap=True),
        "kills",
        "orders",
        "charges",
        "refunds",
        "unknown,\nresolved",
        "webhooks",
        "reviews\nclosed, open",
        "seconds",
        "both books",
        title="The books afterwards",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for one in outcomes:
        counts = one.counts
        table.add_row(
            one.label,
            str(one.kills.total()),
            str(counts["orders"]),
            str(counts["charges"]),
            str(counts["refunds"]),
            f"{counts['unknown']}, {counts['unknown resolved']}",
            str(counts["webhooks"]),
            f"{counts['reviews closed']}, {counts['reviews open']}",
            str(one.seconds),
            _verdict(one),
        )
    return table


def _verdict(outcome: Outcome) -> str:
    if outcome.passed:
        return "[green]agree[/]"
    if outcome.findings:
        return f"[red]{len(outcome.findings)} findings[/]"
    return f"[red]{len(outcome.missed)} points missed[/]"


def _mutants(outcomes: Sequence[Outcome]) -> Table:
    table = Table(
        "planted bug", "caught after", "seconds", "by", title="Mutants", box=box.SIMPLE_HEAD
    )
    for one in outcomes:
        caught = f"{one.kills_until_caught} kills" if one.findings else "[red]NOT CAUGHT[/]"
        codes = Counter(finding.partition(":")[0] for finding in one.findings)
        by = ", ".join(f"{code} x{count}" for code, count in codes.most_common(3))
        table.add_row(one.name, caught, str(one.seconds), by)
    return table


def _explain(outcome: Outcome) -> None:
    console.print(
        f"[red]{outcome.label}[/] (seed {outcome.seed}); its state is in {outcome.folder}"
    )
    for point in outcome.missed:
        console.print(f"  never reached: {point}")
    if not outcome.mutant:
        for finding in outcome.findings[:FINDINGS_SHOWN]:
            console.print(f"  {finding}", markup=False, soft_wrap=True)
        if len(outcome.findings) > FINDINGS_SHOWN:
            console.print(f"  and {len(outcome.findings) - FINDINGS_SHOWN} more")


def commit() -> str:
    """Return the commit under test, with "+" if the checkout has changes."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()
