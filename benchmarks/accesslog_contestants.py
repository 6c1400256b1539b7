"""The contestants: their commands, and how their answers are parsed and checked against the truth."""

from __future__ import annotations

import functools
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import contestants
from benchmarks.accesslog_log import TOP, Truth

#: Keeps the most frequent addresses in a separate list: sorting all of them would take gawk longer.
GAWK = """
    { count[$1]++ }
    END {
        for (a in count) if (count[a] > least) {
            top[a] = count[a]
            if (length(top) > TOP) {
                least = 2 ^ 53
                for (t in top) if (top[t] < least) { least = top[t]; lowest = t }
                delete top[lowest]
                least = 2 ^ 53
                for (t in top) if (top[t] < least) least = top[t]
            }
        }
        print length(count)
        for (t in top) print top[t], t
    }
"""
PANELS = (
    "VISITORS",
    "REQUESTS",
    "REQUESTS_STATIC",
    "NOT_FOUND",
    "OS",
    "BROWSERS",
    "VISIT_TIMES",
    "VIRTUAL_HOSTS",
    "REFERRERS",
    "REFERRING_SITES",
    "KEYPHRASES",
    "STATUS_CODES",
    "REMOTE_USER",
    "GEO_LOCATION",
)
#: GoAccess skips requests longer than its buffer, a few in ten thousand.
GOACCESS_MISSES = 0.001


class WrongAnswer(Exception):
    """A contestant's answer differs from the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of a contestant; None for values that it does not report."""

    distinct: int | None = None
    top: Mapping[str, int] | None = None
    lines: int | None = None
    rejected: int | None = None
    error_bound: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """
    One program. *command* reads a log, prints, and may write into a folder; *answer* parses the output.

    *needs* is a program that must be installed, or "" for a Python package of the benchmark's
    environment. *once* limits a slow contestant to one run.
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    answer: Callable[[str], Answer]
    check: Callable[[Answer, Truth], None]
    ours: bool = False
    needs: str = ""
    once: bool = False

    def is_installed(self) -> bool:
        return not self.needs or shutil.which(self.needs) is not None


def ours(
    *,
    processes: int,
    approximate: bool = False,
    full: bool = False,
    memory: str = "128MB",
    name: str = "",
) -> Contestant:
    def command(log: Path, folder: Path) -> list[str]:
        wanted = ["--html", str(folder / "ours.html")] if full else ["--tables", "addresses"]
        return [
            sys.executable,
            "-m",
            "bursar",
            "traffic",
            str(log),
            *wanted,
            "--top",
            str(TOP),
            "--json",
            "-",
            "--processes",
            str(processes),
            "--memory",
            memory,
            "--quiet",
            *(["--approximate"] if approximate else []),
        ]

    return Contestant(
        name=name or f"bursar, {processes} process{'es' if processes > 1 else ''}",
        command=command,
        answer=_report,
        check=_estimate if approximate else _exact,
        ours=True,
    )


def _report(output: str) -> Answer:
    report = json.loads(output)
    addresses = report["addresses"]
    return Answer(
        distinct=addresses["distinct"],
        lines=report["lines"]["read"],
        rejected=report["lines"]["unparsed"],
        error_bound=report.get("error_bound"),
        top={row["address"]: row["requests"] for row in addresses["top"]},
    )


def _exact(answer: Answer, truth: Truth) -> None:
    """Bursar's answer must equal the truth; it may count lines that are malformed after the client."""
    _expect("lines", answer.lines, truth.lines)
    _expect("distinct addresses", answer.distinct, truth.distinct)
    _same_top(answer, truth)
    assert answer.rejected is not None
    if not truth.no_client <= answer.rejected <= truth.no_client + truth.broken:
        _expect("rejected lines", answer.rejected, truth.no_client)


def _estimate(answer: Answer, truth: Truth) -> None:
    _expect("lines", answer.lines, truth.lines)
    if not answer.error_bound:
        raise WrongAnswer("an estimate without a bound")


def _first_fields(answer: Answer, truth: Truth) -> None:
    """Tools that count first fields also count those of lines without a client."""
    if answer.distinct is not None and not 0 <= answer.distinct - truth.distinct <= truth.no_client:
        _expect("distinct first fields", answer.distinct, truth.distinct)
    if answer.top:
        _same_top(answer, truth)


def _nearly(answer: Answer, truth: Truth) -> None:
    """GoAccess must report the same clients, and nearly all of their requests."""
    assert answer.top is not None
    for address, count in truth.top:
        if not (1 - GOACCESS_MISSES) * count - 10 <= answer.top.get(address, 0) <= count:
            _expect(f"requests of {address}", answer.top.get(address, 0), count)


def _same_top(answer: Answer, truth: Truth) -> None:
    """Addresses with as many requests as the 21st may be in the top or not."""
    assert answer.top is not None
    _expect("rows", len(answer.top), min(TOP, truth.distinct))
    _expect("top", {a: answer.top.get(a) for a, _ in truth.top}, dict(truth.top))


def _expect(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise WrongAnswer(f"{what}: {actual} instead of {expected}")


def _any(_: Answer, __: Truth) -> None:
    """Estimates are not checked: their error is a measure of its own."""


def way(name: str, title: str, *, once: bool = False, estimates: bool = False) -> Contestant:
    """A contestant from `accesslog_peers`, run in the peers' environment."""

    def command(log: Path, _: Path) -> list[str]:
        return [str(_python()), "-m", "benchmarks.accesslog_peers", name, str(log)]

    return Contestant(
        name=title,
        command=command,
        answer=_printed,
        check=_any if estimates else _first_fields,
        once=once,
    )


@functools.cache
def _python() -> Path:
    return contestants.peers_python()


def lines_before_memory_error(errors: str) -> int | None:
    """Return the number of lines in the list at its MemoryError, None for other errors."""
    match = re.search(r"^MemoryError after (\d+) lines$", errors, re.MULTILINE)
    return int(match[1]) if match else None


def _printed(output: str) -> Answer:
    printed = json.loads(output)
    return Answer(distinct=printed["distinct"], top=dict(printed["top"]))


def _wc(output: str) -> Answer:
    return Answer(lines=int(output.split(maxsplit=1)[0]))


def _all_lines(answer: Answer, truth: Truth) -> None:
    _expect("lines", answer.lines, truth.lines)


def _gawk(output: str) -> Answer:
    distinct, *rows = output.splitlines()
    pairs = [row.split(" ", 1) for row in rows]
    return Answer(distinct=int(distinct), top={address: int(count) for count, address in pairs})


def goaccess(*, full: bool) -> Contestant:
    """GoAccess with all panels and its HTML page, or with the hosts panel only."""

    def command(log: Path, folder: Path) -> list[str]:
        outputs = [f"--output={folder}/goaccess.html"] if full else []
        return [
            "sh",
            "-c",
            '"$@" && cat "$0"',
            f"{folder}/goaccess.json",
            "goaccess",
            str(log),
            "--log-format=COMBINED",
            "--no-global-config",
            "--no-progress",
            f"--output={folder}/goaccess.json",
            *outputs,
            *([] if full else [f"--ignore-panel={panel}" for panel in PANELS]),
        ]

    def answer(output: str) -> Answer:
        hosts: dict[str, Any] = json.loads(output)["hosts"]
        return Answer(top={row["data"]: row["hits"]["count"] for row in hosts["data"]})

    return Contestant(
        name="GoAccess", command=command, answer=answer, check=_nearly, needs="goaccess", once=True
    )


POLARS = way("polars", "Polars")
DUCKDB = way("duckdb", "DuckDB")
CHDB = way("chdb", "chDB")
GENERATOR = way("generator", "generator and set")
EVERY_LINE = way("list", "list of all lines", once=True)
POLARS_ESTIMATE = way("polars-approximate", "Polars, approximate", estimates=True)
DUCKDB_ESTIMATE = way("duckdb-approximate", "DuckDB, approximate", estimates=True)
WC = Contestant(
    name="wc -l", command=lambda log, _: ["wc", "-l", str(log)], answer=_wc, check=_all_lines
)
SORT = Contestant(
    name="cut | sort -u",
    command=lambda log, _: ["sh", "-c", 'cut -d" " -f1 "$0" | sort -u | wc -l', str(log)],
    answer=lambda output: Answer(distinct=int(output)),
    check=_first_fields,
)
AWK = Contestant(
    name="gawk",
    command=lambda log, _: ["gawk", "-b", "-v", f"TOP={TOP}", GAWK, str(log)],
    answer=_gawk,
    check=_first_fields,
    needs="gawk",
)
