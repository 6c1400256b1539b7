"""
Access logs of any size read in constant memory, and what they say as a report.

    report = analysis.analyze([Path("access.log")], only=frozenset({"addresses"}))
    report["addresses"]["distinct"]
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import bursar
from bursar.accesslog import partial_aggregates, report, report_builder, workers
from bursar.accesslog.aggregation import sketches
from bursar.accesslog.aggregation.merge import Finished
from bursar.accesslog.aggregation.rows import Rows
from bursar.accesslog.aggregation.sketches import AddressSketch
from bursar.accesslog.aggregator import NUMBERS, SUSPECTS, TEXTS, Aggregator, LineCounts, Plan
from bursar.accesslog.filters import Filters, InvalidOption, Network
from bursar.accesslog.inputs import checkpoints, sources
from bursar.accesslog.inputs.sources import LogSource
from bursar.accesslog.partial_aggregates import Header, PartialMismatch, Writer
from bursar.accesslog.report import AccessLogReport, Signal
from bursar.accesslog.report_builder import Share
from bursar.accesslog.signals import detection
from bursar.accesslog.workers import WorkerResult

MEMORY_BYTES = 128_000_000
#: What Python, NumPy and the command take before anything is counted, which processes share, and what
#: each needs of its own.
_SHARED_BYTES, _PROCESS_BYTES = 32_000_000, 8_000_000
#: What a process has whatever waits: a block and what is made of it; the caches of all tables.
_OWN_BYTES, _FULL_OWN_BYTES = 4_000_000, 20_000_000
#: What a row that waits takes with all that sorting it needs, measured: of addresses alone, of all tables.
_ROW_BYTES, _FULL_ROW_BYTES = 220, 700
#: More rows are hardly faster, and one process is to stay within 64 MB with what it holds in slots.
_ROWS_MIN, _ROWS_MAX = 1 << 13, 200_000
_SKETCHED_ROWS = 1 << 16
#: A process more pays from so many bytes on.
_WORTH_BYTES = 1 << 26

Progress = Callable[[int | None], AbstractContextManager[Callable[[int], None]]]
NO_FILTERS = Filters()
EVERYTHING = frozenset({*report.KEYS, "signals"})


@contextlib.contextmanager
def _untold(_total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _done: None


def analyze(  # noqa: PLR0913  (a question has as many sides as it has)
    paths: Iterable[Path],
    *,
    only: Collection[str] = EVERYTHING,
    top: int = 10,
    log_format: str | None = None,
    filters: Filters = NO_FILTERS,
    trusted_proxies: Sequence[Network] = (),
    memory_bytes: int = MEMORY_BYTES,
    processes: int | None = None,
    approximate: bool = False,
    partial: Path | None = None,
    state: Path | None = None,
    against: Path | None = None,
    progress: Progress = _untold,
) -> AccessLogReport:
    """
    Read logs and answer the questions that *only* names (`report.KEYS` and "signals").

    The answers are exact, in memory that depends on *memory_bytes* (all processes together) and not on
    the logs; what outgrows it lies in a temporary file. *approximate* estimates how many addresses
    there are instead (999.1.1.1 then counts as the client of a request). *partial* is written for
    `merge`. *state* is a file that remembers what was read, so that the next run reads only what is
    new. *against* is a partial result of the period before, to tell of changes.

    :raises LogUnreadable: for a file that is not there or may not be read.
    :raises FormatUnknown: for a log of no known format.
    :raises SpillFailed: if the temporary folder is full.
    :raises PartialDamaged: for a damaged *state* or *against*.
    """
    begun = time.monotonic()
    asked = frozenset(only)
    if approximate:
        _check_approximate(asked, kept=bool(partial or state))
    inputs = sources.found(paths, format_name=log_format)
    before = _previous(state)
    if state is not None:
        checkpoints.resume(inputs, before.positions if before else ())
    plan = _plan(asked, filters, trusted_proxies, approximate=approximate)
    compared = partial_aggregates.header(against) if against else None
    if before is not None and (before.tables, before.filters) != (
        sorted(plan.tables),
        filters.describe(),
    ):
        raise PartialMismatch(
            f"{state} was made with other questions or filters: name another file"
        )
    count = processes or _processes(inputs, memory_bytes)
    plan = plan.with_rows(_rows_max(plan, memory_bytes, count))
    parts = [state] if state is not None and before else []
    run = _Run(plan, asked, top, parts, count)
    with contextlib.ExitStack() as stack:
        tell = stack.enter_context(progress(_total(inputs)))
        writers = [
            stack.enter_context(partial_aggregates.writing(path))
            for path in (partial, state)
            if path
        ]
        told = run.report(inputs, tell, writers, compared, before)
    told["seconds"] = round(time.monotonic() - begun, 3)
    return told


def merge(
    paths: Iterable[Path],
    *,
    only: Collection[str] = EVERYTHING,
    top: int = 10,
    partial: Path | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> AccessLogReport:
    """
    Merge partial results exactly, as if one run had read all their logs.

    :raises PartialDamaged: for a file that is none, or not whole.
    :raises PartialMismatch: if they answer different questions, or none that *only* asks.
    """
    begun = time.monotonic()
    parts = list(paths)
    headers = [partial_aggregates.header(path) for path in parts]
    first = headers[0]
    for path, header in zip(parts, headers, strict=True):
        if (header.tables, header.filters) != (first.tables, first.filters):
            raise PartialMismatch(
                f"{path} was made with other questions or filters than {parts[0]}: give all parts the"
                " same --only and filters"
            )
    asked = frozenset(only)
    plan = replace(_plan(asked, NO_FILTERS, ()), tables=frozenset(first.tables))
    if asked != EVERYTHING and not _tables(asked) <= plan.tables:
        missing = ", ".join(sorted(_tables(asked) - plan.tables))
        raise PartialMismatch(
            f"the parts do not tell of {missing}: make them with --only {missing}"
        )
    asked = frozenset(name for name in asked if _tables({name}) <= plan.tables)
    run = _Run(plan.with_rows(_rows_max(plan, memory_bytes, 1)), asked, top, parts, 1)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(partial_aggregates.writing(partial))] if partial else []
        told = run.report([], lambda _: None, writers, None, _summed(headers))
    told["seconds"] = round(time.monotonic() - begun, 3)
    return told


@dataclass(slots=True)
class _Run:
    """One run: what was counted before is in *parts*."""

    plan: Plan
    asked: frozenset[str]
    top: int
    parts: Sequence[Path]
    processes: int

    def report(
        self,
        inputs: Sequence[LogSource],
        tell: workers.Tell,
        writers: Sequence[Writer],
        compared: Header | None,
        before: Header | None,
    ) -> AccessLogReport:
        """Count, finish, write what is to be written, and tell."""

        def see(table: str, rows: Rows) -> None:
            for writer in writers:
                writer.see(table, rows)

        # A partial result is written by one process, which then sees all shares.
        apart = not writers
        with workers.run_workers(
            self.plan,
            inputs,
            processes=self.processes,
            tell=tell,
            prepare=self._prepare,
            finish=functools.partial(report_builder.finish, self.plan, self.top, see=see),
            apart=apart,
        ) as (counted, shares, spills):
            done = report_builder.tables(self.plan, self.top, shares, spills)
            sketch = _merged([one.sketch for one in counted if one.sketch is not None])
            if sketch is not None:
                done["addresses"] = report_builder.sketched(sketch, self.top)
        header = self._header(inputs, counted, before, done)
        if writers:
            header.positions = checkpoints.reached(
                inputs, _offsets(counted), before.positions if before else []
            )
        for writer in writers:
            writer.end(header)
        return self._told(header, shares, done, compared)

    def _prepare(self, counting: Aggregator) -> None:
        for path in self.parts:
            for table, rows in partial_aggregates.rows(path):
                counting.add_rows(table, rows)

    def _header(
        self,
        inputs: Sequence[LogSource],
        counted: Sequence[WorkerResult],
        before: Header | None,
        done: Mapping[str, Finished],
    ) -> Header:
        lines, offsets = LineCounts(), _offsets(counted)
        for one in counted:
            lines.add(one.lines)
        cuts = {cut.source: cut.offset for one in counted for cut in one.cuts}
        told = [
            _source_told(number, source, offsets, cuts, counted)
            for number, source in enumerate(inputs)
        ]
        if self.plan.requests_only and not self.plan.is_choosy and "addresses" in done:
            addresses_before = before.totals.get("addresses", 0) if before else 0
            lines.counted += _requests(done) - addresses_before - lines.counted
        if before is not None:
            lines.add(LineCounts(**before.lines))  # type: ignore[arg-type]
        return Header(
            tables=sorted(self.plan.tables),
            filters=before.filters if before else self.plan.filters.describe(),
            complete=not cuts and (before is None or before.complete),
            lines=dataclasses.asdict(lines),
            sources=[*(before.sources if before else []), *told],
            totals={**_totals(done), "addresses": _requests(done)},
        )

    def _told(
        self,
        header: Header,
        shares: Sequence[Share],
        done: Mapping[str, Finished],
        compared: Header | None,
    ) -> AccessLogReport:
        """Make the report."""
        lines = LineCounts(**header.lines)  # type: ignore[arg-type]
        told: AccessLogReport = {
            "bursar": bursar.__version__,
            "complete": header.complete,
            "approximate": self.plan.approximate,
            "sources": header.sources,
            "lines": {
                "read": lines.read,
                "counted": lines.counted,
                "too_long": lines.too_long,
                "rejected": lines.read - lines.counted - lines.filtered,
                "filtered": lines.filtered,
            },
            "first_at": None if lines.first is None else report_builder.moment(lines.first),
            "last_at": None if lines.last is None else report_builder.moment(lines.last),
            "filters": header.filters,
        }
        if self.plan.approximate:
            told["error_bound"] = sketches.ERROR_BOUND
        if (totals := report_builder.totals(done)) is not None:
            told["totals"] = totals
        report_builder.fill(told, self.asked, done)
        if "signals" in self.asked:
            told["signals"] = _signals(shares, told, header, compared)
        return told


def _merged(parts: Sequence[AddressSketch]) -> AddressSketch | None:
    for other in parts[1:]:
        parts[0].merge(other)
    return parts[0] if parts else None


def _signals(
    shares: Sequence[Share], told: AccessLogReport, header: Header, compared: Header | None
) -> list[Signal]:
    found = detection.detect(one for share in shares for one in share.suspects)
    if compared is not None:
        return found + detection.against(
            compared.totals, _span(compared), header.totals, _span(header)
        )
    return found + detection.within(told["hours"]["top"]) if "hours" in told else found


def _span(header: Header) -> int:
    first, last = header.lines["first"], header.lines["last"]
    return 0 if first is None or last is None else last - first + 1


def _offsets(counted: Sequence[WorkerResult]) -> dict[int, int]:
    """Return how far each source was read."""
    offsets: dict[int, int] = {}
    for one in counted:
        for number, offset in one.offsets.items():
            offsets[number] = max(offset, offsets.get(number, 0))
    return offsets


def _requests(done: Mapping[str, Finished]) -> int:
    return done["addresses"].totals[0] if "addresses" in done else 0


def _totals(done: Mapping[str, Finished]) -> dict[str, int]:
    row = report_builder.totals(done) or {}
    return {name: value for name, value in row.items() if isinstance(value, int)}


def _source_told(
    number: int,
    source: LogSource,
    offsets: Mapping[int, int],
    cuts: Mapping[int, int],
    counted: Sequence[WorkerResult],
) -> report.ReportSource:
    told: report.ReportSource = {
        "name": source.name,
        "format": source.format.name,
        "bytes": offsets.get(number, source.begin) - source.begin,
        "lines": sum(one.read[number] for one in counted if number in one.read),
    }
    if number in cuts:
        told["cut_at"] = cuts[number]
    return told


def _summed(headers: Sequence[Header]) -> Header:
    """Add up what partial results are of."""
    lines = LineCounts()
    for header in headers:
        lines.add(LineCounts(**header.lines))  # type: ignore[arg-type]
    first = headers[0]
    return Header(
        tables=first.tables,
        filters=first.filters,
        complete=all(one.complete for one in headers),
        lines=dataclasses.asdict(lines),
        sources=[source for one in headers for source in one.sources],
        totals={"addresses": sum(one.totals.get("addresses", 0) for one in headers)},
        positions=[position for one in headers for position in one.positions],
    )


def _check_approximate(asked: Collection[str], *, kept: bool) -> None:
    if set(asked) != {"addresses"}:
        raise InvalidOption(
            "only addresses are estimated: add --only addresses", param="--approximate"
        )
    if kept:
        raise InvalidOption(
            "an estimate does not merge exactly: leave --partial and --continue out",
            param="--approximate",
        )


def _previous(state: Path | None) -> Header | None:
    return partial_aggregates.header(state) if state is not None and state.exists() else None


def _tables(asked: Collection[str]) -> frozenset[str]:
    """Return the tables that questions need."""
    needed = {name for name in asked if name == "addresses" or name in TEXTS or name in NUMBERS}
    if {"routes", "slowest"} & set(asked):
        needed.add("paths")
    if "signals" in asked:
        needed |= {SUSPECTS, "hours"}
    return frozenset(needed)


def _plan(
    asked: frozenset[str],
    filters: Filters,
    trusted: Sequence[Network],
    *,
    approximate: bool = False,
) -> Plan:
    return Plan(
        tables=_tables(asked), filters=filters, trusted=tuple(trusted), approximate=approximate
    )


def _total(inputs: Sequence[LogSource]) -> int | None:
    """Return how many bytes are to be read, if that is known beforehand."""
    if any(source.stream or source.compression for source in inputs):
        return None
    return sum(max(source.size - source.begin, 0) for source in inputs)


def _processes(inputs: Sequence[LogSource], memory_bytes: int) -> int:
    """Return how many processes pay: one for each core, if there is work and memory for it."""
    work = sum(-(-max(source.size - source.begin, 0) // _WORTH_BYTES) for source in inputs)
    if all(source.in_one_piece for source in inputs):
        work = min(work, len(inputs))
    room = (memory_bytes - _SHARED_BYTES) // _PROCESS_BYTES
    return max(1, min(len(os.sched_getaffinity(0)), work, room))


def _rows_max(plan: Plan, memory_bytes: int, processes: int) -> int:
    """Return how many rows may wait in the largest table."""
    if plan.approximate:
        return _SKETCHED_ROWS
    own, row = (
        (_OWN_BYTES, _ROW_BYTES) if plan.requests_only else (_FULL_OWN_BYTES, _FULL_ROW_BYTES)
    )
    rows = ((memory_bytes - _SHARED_BYTES) // processes - own) // row
    return max(_ROWS_MIN, min(rows, _ROWS_MAX))
