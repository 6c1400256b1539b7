"""
Access logs: unique addresses and the full report, compared with other tools.

Each log is generated, so that the true answers are known, and is in the page cache. First every contestant
runs once with its memory sampled, then all run in turn without sampling for time; those that take
minutes run only once, sampled at long intervals. Every answer is checked against the truth, Bursar's
exactly; peers may count malformed lines as clients. Speed is in bytes of the plain log. Peers may use all
memory of the machine. A peer that is not installed is skipped with a message.

Logs have 4 GB unless `--size` or `--quick` is given; all sizes scale with it, and fewer lines have fewer
addresses. `--only` selects rows by name or prefix. `--long` adds the row `long`: 12 GB under an address
space of 2 GB, in which a list of all lines does not fit.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import accesslog_contestants, accesslog_log, watching
from benchmarks.accesslog_contestants import (
    AWK,
    CHDB,
    DUCKDB,
    DUCKDB_ESTIMATE,
    EVERY_LINE,
    GENERATOR,
    POLARS,
    POLARS_ESTIMATE,
    SORT,
    WC,
    Answer,
    Contestant,
    WrongAnswer,
    goaccess,
    ours,
)
from benchmarks.accesslog_log import Truth
from benchmarks.records import Plan, Record
from benchmarks.watching import Watched

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MEGABYTES, QUICK_MEGABYTES = 4_000, 100
ADDRESS_SPACE = 2_000_000_000
DISTINCT_MIN = 50
BOTH = (ours(processes=2), ours(processes=1))
EXACT = dataclasses.replace(ours(processes=1), name="bursar, exact, 1 process", ours=False)
EVERYBODY = (
    *BOTH,
    POLARS,
    CHDB,
    DUCKDB,
    WC,
    SORT,
    AWK,
    GENERATOR,
    goaccess(full=False),
    EVERY_LINE,
)
ESTIMATING = (
    ours(processes=1, approximate=True, name="bursar, approximate, 1 process"),
    EXACT,
    POLARS_ESTIMATE,
    DUCKDB_ESTIMATE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison on a log. *timed* rows run in rounds; the others once, for their memory."""

    contestants: tuple[Contestant, ...]
    packed: str = ""
    timed: bool = True
    estimated: bool = False
    address_space: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One log and the rows that read it."""

    megabytes: float
    distinct: int
    rows: Mapping[str, Row]


LOGS = (
    Log(
        megabytes=MEGABYTES,
        distinct=200_000,
        rows={
            "unique-200k": Row(contestants=EVERYBODY),
            "approximate-200k": Row(contestants=ESTIMATING, estimated=True),
            "full": Row(
                contestants=(
                    ours(processes=2, full=True),
                    ours(processes=1, full=True),
                    goaccess(full=True),
                )
            ),
            "gzip": Row(contestants=(*BOTH, DUCKDB), packed="gz"),
            "zstd": Row(contestants=(*BOTH, DUCKDB), packed="zst"),
        },
    ),
    Log(
        megabytes=MEGABYTES,
        distinct=5_000_000,
        rows={
            "unique-5m": Row(contestants=EVERYBODY),
            "approximate-5m": Row(contestants=ESTIMATING, estimated=True),
        },
    ),
    Log(
        megabytes=2_000,
        distinct=200_000,
        rows={"memory-2gb": Row(contestants=(ours(processes=1, memory="50MB"),), timed=False)},
    ),
    Log(
        megabytes=9_600,
        distinct=50_000_000,
        rows={"memory-50m": Row(contestants=BOTH, timed=False)},
    ),
    Log(
        megabytes=12_000,
        distinct=5_000_000,
        rows={
            "long": Row(
                contestants=(*BOTH, GENERATOR, EVERY_LINE), timed=False, address_space=ADDRESS_SPACE
            ),
        },
    ),
)
LONG = "long"


@dataclass(slots=True)
class Entry:
    """A contestant in a row: its answer, its memory-sampled run, and its timed runs."""

    contestant: Contestant
    answer: Answer
    watched: Watched
    timed: list[Watched] = field(default_factory=list)
    #: It ran out of memory before the end of the log.
    ended: bool = False

    def seconds(self) -> float:
        return statistics.median(run.seconds for run in self.timed or [self.watched])

    def cpu_seconds(self) -> float:
        return statistics.median(run.cpu_seconds for run in self.timed or [self.watched])


def run(plan: Plan, console: Console) -> list[Record]:
    wanted = _wanted(plan)
    scale = (plan.size_mb or (QUICK_MEGABYTES if plan.quick else MEGABYTES)) / MEGABYTES
    records: list[Record] = []
    for log in LOGS:
        rows = {name: row for name, row in log.rows.items() if name in wanted}
        if rows:
            with tempfile.TemporaryDirectory(prefix="bursar-accesslog-", dir=plan.folder) as folder:
                generated = GeneratedLog(log, scale=scale, folder=Path(folder), console=console)
                for name, row in rows.items():
                    records += _row(name, row, generated, plan, console)
    return records


def _wanted(plan: Plan) -> set[str]:
    names = [name for log in LOGS for name in log.rows]
    if not plan.only:
        return {name for name in names if name != LONG or plan.long}
    for begin in plan.only:
        if not any(name.startswith(begin) for name in names):
            raise SystemExit(f"no row starts with {begin!r}; rows: {', '.join(names)}")
    return {name for name in names if name.startswith(plan.only) or (plan.long and name == LONG)}


class GeneratedLog:
    """A generated log in a folder, plain and compressed, and its true answers."""

    def __init__(self, log: Log, *, scale: float, folder: Path, console: Console) -> None:
        size = round(log.megabytes * scale * 1e6)
        distinct = max(DISTINCT_MIN, round(log.distinct * min(1, scale)))
        if shutil.disk_usage(folder).free < 1.3 * size:
            raise SystemExit(
                f"{folder} has no space for {size / 1e9:.1f} GB; set another folder with --folder"
            )
        self.folder = folder
        self._plain = folder / "access.log"
        console.print(f"generating a log of {size / 1e9:,.3g} GB and {distinct:,} addresses ...")
        self.truth: Truth = accesslog_log.write(self._plain, size=size, distinct=distinct)
        _settle(self._plain)

    def path(self, packed: str) -> Path:
        """Return the log's file in the page cache, plain or compressed with the default level."""
        path = self.folder / f"access.log.{packed}" if packed else self._plain
        if not path.exists():
            with self._plain.open("rb") as plain, path.open("wb") as file:
                if packed == "gz":
                    subprocess.run(["gzip", "-c"], stdin=plain, stdout=file, check=True)
                else:
                    with zstd.ZstdFile(file, "wb") as packed_file:
                        shutil.copyfileobj(plain, packed_file, 1 << 20)
            _settle(path)
        return path


def _settle(path: Path) -> None:
    """Sync a file to disk, so that no write-back disturbs a run, and load it into the page cache."""
    block = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        while file.readinto(block):
            pass


def _row(name: str, row: Row, log: GeneratedLog, plan: Plan, console: Console) -> list[Record]:
    contestants = [each for each in row.contestants if each.ours or plan.peers]
    for each in contestants:
        if not each.is_installed():
            console.print(f"{name}: {each.name} is not installed and is skipped")
    path = log.path(row.packed)
    entered = [
        one
        for each in contestants
        if each.is_installed()
        if (one := _enter(each, row, path, log, console)) is not None
    ]
    rounds = (plan.rounds or (1 if plan.quick else 5)) if row.timed else 0
    for _ in range(rounds):
        for one in entered:
            if not one.contestant.once:
                one.timed.append(_once(one.contestant, path, log, memory=False))
    console.print(_table(f"accesslog: {name}", entered, log.truth))
    return [*_log_records(name, log.truth), *_records(name, row, entered, log.truth)]


def _enter(
    contestant: Contestant, row: Row, path: Path, log: GeneratedLog, console: Console
) -> Entry | None:
    """Run a contestant for its memory; a failing peer is skipped, a failure of Bursar is an error."""
    gently = contestant.once or row.address_space is not None
    watched = _watch(contestant, row, path, log, gently=gently)
    if watched.status == 0:
        return Entry(contestant, _checked(contestant, watched, log.truth), watched)
    if contestant.ours:
        raise RuntimeError(f"{contestant.name} failed:\n{watched.errors[-4_000:]}")
    console.print(f"{contestant.name} failed: {watched.errors.strip()[-300:]}")
    lines = accesslog_contestants.lines_before_memory_error(watched.errors)
    if lines is None:
        return None
    return Entry(contestant, Answer(lines=lines), watched, ended=True)


def _watch(
    contestant: Contestant, row: Row, path: Path, log: GeneratedLog, *, gently: bool
) -> Watched:
    return watching.run(
        contestant.command(path, log.folder),
        memory=True,
        gently=gently,
        address_space=row.address_space,
    )


def _once(contestant: Contestant, path: Path, log: GeneratedLog, *, memory: bool) -> Watched:
    run = watching.run(contestant.command(path, log.folder), memory=memory)
    if run.status:
        raise RuntimeError(f"{contestant.name} failed:\n{run.errors[-4_000:]}")
    _checked(contestant, run, log.truth)
    return run


def _checked(contestant: Contestant, run: Watched, truth: Truth) -> Answer:
    """
    Return the answer of a run.

    :raises WrongAnswer: if it differs from the truth.
    """
    answer = contestant.answer(run.output)
    try:
        contestant.check(answer, truth)
    except WrongAnswer as error:
        raise WrongAnswer(f"{contestant.name}: {error}") from None
    return answer


def _log_records(name: str, truth: Truth) -> list[Record]:
    record = functools.partial(Record, benchmark=f"accesslog/{name}")
    return [
        record(measure="log", unit="MB", value=truth.bytes / 1e6),
        record(measure="lines", unit="lines", value=truth.lines),
        record(measure="distinct addresses", unit="addresses", value=truth.distinct),
    ]


def _records(name: str, row: Row, entered: list[Entry], truth: Truth) -> Iterable[Record]:
    peers = [one for one in entered if not one.contestant.ours]
    for one in entered:
        if one.contestant.ours:
            beside = {peer.contestant.name: _figures(peer, row, truth) for peer in peers}
            for (measure, unit), value in _figures(one, row, truth).items():
                for peer, theirs in (beside or {"": {}}).items():
                    yield Record(
                        benchmark=f"accesslog/{name}",
                        unit=unit,
                        value=value,
                        peer=peer,
                        measure=f"{one.contestant.name}: {measure}",
                        peer_value=theirs.get((measure, unit)),
                    )


def _figures(one: Entry, row: Row, truth: Truth) -> dict[tuple[str, str], float]:
    """Return the values measured for a contestant, by measure and unit."""
    figures = {
        ("peak memory", "MB"): one.watched.peak_mb,
        ("peak memory without pages of files", "MB"): one.watched.anonymous_mb,
    }
    if row.address_space:
        figures["lines read", "lines"] = one.answer.lines if one.ended else truth.lines  # type: ignore[assignment]
        figures["time", "s"] = one.seconds()
    if one.ended:
        return figures
    if row.timed or row.address_space:
        figures["speed", "MB/s"] = truth.bytes / 1e6 / one.seconds()
        figures["CPU", "s/GB"] = one.cpu_seconds() / (truth.bytes / 1e9)
    if one.answer.error_bound is not None:
        figures["error bound", "%"] = 100 * one.answer.error_bound
    if row.estimated and one.answer.distinct is not None:
        figures["error", "%"] = 100 * (one.answer.distinct / truth.distinct - 1)
    return figures


def _table(title: str, entered: list[Entry], truth: Truth) -> Table:
    table = Table(
        title=f"{title}: {truth.bytes / 1e9:,.3g} GB, {truth.distinct:,} addresses",
        title_justify="left",
    )
    table.add_column("who", no_wrap=True)
    for column in ("s", "/ first", "MB/s", "peak MB", "distinct"):
        table.add_column(column, justify="right")
    for one in entered:
        seconds, distinct = one.seconds(), one.answer.distinct
        table.add_row(
            one.contestant.name,
            f"{seconds:,.2f}",
            f"{seconds / entered[0].seconds():.2f}",
            "ended" if one.ended else f"{truth.bytes / 1e6 / seconds:,.0f}",
            f"{one.watched.peak_mb:,.0f}",
            "" if distinct is None else f"{distinct:,}",
        )
    return table
