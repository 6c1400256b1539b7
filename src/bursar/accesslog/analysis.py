"""
Analyze access logs of any size in constant memory, or merge partial results, into a report.

    report = analysis.analyze([Path("access.log")], tables=frozenset({"addresses"}))
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
from bursar.accesslog.aggregation.merge import TableResult
from bursar.accesslog.aggregation.rows import Rows
from bursar.accesslog.aggregation.sketches import AddressSketch
from bursar.accesslog.aggregator import (
    NUMBER_TABLES,
    SUSPECTS,
    TEXT_TABLES,
    Aggregator,
    LineCounts,
    Plan,
)
from bursar.accesslog.filters import Filters, InvalidOption, Network
from bursar.accesslog.inputs import checkpoints, sources
from bursar.accesslog.inputs.sources import LogSource
from bursar.accesslog.partial_aggregates import Header, PartialAggregateMismatch, Writer
from bursar.accesslog.report import AccessLogReport, Signal
from bursar.accesslog.report_builder import Share
from bursar.accesslog.signals import detection
from bursar.accesslog.workers import WorkerResult

MEMORY_BYTES = 128_000_000
#: Memory of Python, NumPy and the command before counting: shared by all processes, and per process.
_SHARED_BYTES, _PROCESS_BYTES = 32_000_000, 8_000_000
#: Fixed memory of a process: its block with derived arrays, and the slots of all tables.
_OWN_BYTES, _FULL_OWN_BYTES = 4_000_000, 20_000_000
#: Measured memory of a pending row including sorting: addresses only, all tables.
_ROW_BYTES, _FULL_ROW_BYTES = 220, 700
#: More rows are hardly faster, and one process must stay within 64 MB including its slots.
_ROWS_MIN, _ROWS_MAX = 1 << 13, 200_000
_SKETCHED_ROWS = 1 << 16
#: Bytes of input that justify another process.
_WORTH_BYTES = 1 << 26

Progress = Callable[[int | None], AbstractContextManager[Callable[[int], None]]]
NO_FILTERS = Filters()
ALL_TABLES = frozenset({*report.KEYS, "signals"})


@contextlib.contextmanager
def _no_progress(_total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _done: None


def analyze(  # noqa: PLR0913  (one parameter per option of the command)
    paths: Iterable[Path],
    *,
    tables: Collection[str] = ALL_TABLES,
    top: int = 10,
    log_format: str | None = None,
    filters: Filters = NO_FILTERS,
    trusted_proxies: Sequence[Network] = (),
    memory_bytes: int = MEMORY_BYTES,
    processes: int | None = None,
    approximate: bool = False,
    partial: Path | None = None,
    state: Path | None = None,
    compare_to: Path | None = None,
    progress: Progress = _no_progress,
) -> AccessLogReport:
    """
    Analyze logs and return a report with *tables* (`report.KEYS` and "signals").

    Counts are exact. Memory is limited by *memory_bytes* (all processes together), independent of the
    size of the logs; larger tables spill to a temporary file. *approximate* estimates the number of
    addresses instead (and counts requests of 999.1.1.1). *partial* is a file to write for `merge`.
    *state* is a file that stores totals and positions, so that the next run reads only new lines.
    *compare_to* is a partial result of an earlier period, for signals about changes.

    :raises LogUnreadable: if a file does not exist or cannot be read.
    :raises UnknownLogFormat: if the format of a log is not recognized.
    :raises TemporaryStorageFull: if the temporary folder is full.
    :raises PartialAggregateCorrupt: if *state* or *compare_to* is damaged.
    :raises PartialAggregateMismatch: if *state* was written with other tables or filters.
    """
    started_at = time.monotonic()
    requested = frozenset(tables)
    if approximate:
        _check_approximate(requested, writes_partial=bool(partial or state))
    inputs = sources.open_sources(paths, format_name=log_format)
    before = _previous(state)
    if state is not None:
        checkpoints.resume(inputs, before.positions if before else ())
    plan = _plan(requested, filters, trusted_proxies, approximate=approximate)
    compared = partial_aggregates.read_header(compare_to) if compare_to else None
    if before is not None and (before.tables, before.filters) != (
        sorted(plan.tables),
        filters.describe(),
    ):
        raise PartialAggregateMismatch(
            f"{state} was written with other tables or filters: use another file"
        )
    count = processes or _processes(inputs, memory_bytes)
    plan = plan.with_rows_max(_rows_max(plan, memory_bytes, count))
    parts = [state] if state is not None and before else []
    run = _Run(plan, requested, top, parts, count)
    with contextlib.ExitStack() as stack:
        report_progress = stack.enter_context(progress(_total_bytes(inputs)))
        writers = [
            stack.enter_context(partial_aggregates.open_writer(path))
            for path in (partial, state)
            if path
        ]
        report_data = run.run(inputs, report_progress, writers, compared, before)
    report_data["duration_seconds"] = round(time.monotonic() - started_at, 3)
    return report_data


def merge(
    paths: Iterable[Path],
    *,
    tables: Collection[str] = ALL_TABLES,
    top: int = 10,
    partial: Path | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> AccessLogReport:
    """
    Merge partial results exactly, as if one run had read all their logs.

    :raises PartialAggregateCorrupt: if a file is not a complete partial result.
    :raises PartialAggregateMismatch: if the parts have different tables or filters, or lack one of *tables*.
    """
    started_at = time.monotonic()
    parts = list(paths)
    headers = [partial_aggregates.read_header(path) for path in parts]
    first = headers[0]
    for path, header in zip(parts, headers, strict=True):
        if (header.tables, header.filters) != (first.tables, first.filters):
            raise PartialAggregateMismatch(
                f"{path} was written with other tables or filters than {parts[0]}: use the same"
                " --tables and filters for all parts"
            )
    requested = frozenset(tables)
    plan = replace(_plan(requested, NO_FILTERS, ()), tables=frozenset(first.tables))
    if requested != ALL_TABLES and not _needed_tables(requested) <= plan.tables:
        missing = ", ".join(sorted(_needed_tables(requested) - plan.tables))
        raise PartialAggregateMismatch(
            f"the parts do not contain {missing}: write them with --tables {missing}"
        )
    requested = frozenset(name for name in requested if _needed_tables({name}) <= plan.tables)
    run = _Run(plan.with_rows_max(_rows_max(plan, memory_bytes, 1)), requested, top, parts, 1)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(partial_aggregates.open_writer(partial))] if partial else []
        report_data = run.run([], lambda _: None, writers, None, _sum_headers(headers))
    report_data["duration_seconds"] = round(time.monotonic() - started_at, 3)
    return report_data


@dataclass(slots=True)
class _Run:
    """One run; *parts* are the partial results with earlier counts."""

    plan: Plan
    tables: frozenset[str]
    top: int
    parts: Sequence[Path]
    processes: int

    def run(
        self,
        inputs: Sequence[LogSource],
        report_progress: workers.ReportProgress,
        writers: Sequence[Writer],
        compared: Header | None,
        before: Header | None,
    ) -> AccessLogReport:
        """Count all lines, write partial results, and return the report."""

        def observe(table: str, rows: Rows) -> None:
            for writer in writers:
                writer.write_rows(table, rows)

        # A partial result is written by one process, which then has to see all rows.
        in_workers = not writers
        with workers.run_workers(
            self.plan,
            inputs,
            processes=self.processes,
            report_progress=report_progress,
            prepare=self._prepare,
            finish=functools.partial(
                report_builder.finish_share, self.plan, self.top, observe=observe
            ),
            in_workers=in_workers,
        ) as (counted, shares, spills):
            results = report_builder.combine_shares(self.plan, self.top, shares, spills)
            sketch = _merge_sketches([one.sketch for one in counted if one.sketch is not None])
            if sketch is not None:
                results["addresses"] = report_builder.sketch_result(sketch, self.top)
        header = self._header(inputs, counted, before, results)
        if writers:
            header.positions = checkpoints.updated_positions(
                inputs, _offsets(counted), before.positions if before else []
            )
        for writer in writers:
            writer.finish(header)
        return self._build_report(header, shares, results, compared)

    def _prepare(self, aggregator: Aggregator) -> None:
        for path in self.parts:
            for table, rows in partial_aggregates.read_rows(path):
                aggregator.add_rows(table, rows)

    def _header(
        self,
        inputs: Sequence[LogSource],
        counted: Sequence[WorkerResult],
        before: Header | None,
        results: Mapping[str, TableResult],
    ) -> Header:
        lines, offsets = LineCounts(), _offsets(counted)
        for one in counted:
            lines.add(one.lines)
        cuts = {cut.source: cut.offset for one in counted for cut in one.truncated}
        source_reports = [
            _source_report(number, source, offsets, cuts, counted)
            for number, source in enumerate(inputs)
        ]
        if self.plan.requests_only and not self.plan.selects_lines and "addresses" in results:
            addresses_before = before.totals.get("addresses", 0) if before else 0
            lines.counted += _requests(results) - addresses_before - lines.counted
        if before is not None:
            lines.add(LineCounts(**before.lines))  # type: ignore[arg-type]
        return Header(
            tables=sorted(self.plan.tables),
            filters=before.filters if before else self.plan.filters.describe(),
            complete=not cuts and (before is None or before.complete),
            lines=dataclasses.asdict(lines),
            sources=[*(before.sources if before else []), *source_reports],
            totals={**_totals(results), "addresses": _requests(results)},
        )

    def _build_report(
        self,
        header: Header,
        shares: Sequence[Share],
        results: Mapping[str, TableResult],
        compared: Header | None,
    ) -> AccessLogReport:
        """Build the report from the totals and tables."""
        lines = LineCounts(**header.lines)  # type: ignore[arg-type]
        report_data: AccessLogReport = {
            "bursar_version": bursar.__version__,
            "complete": header.complete,
            "approximate": self.plan.approximate,
            "sources": header.sources,
            "lines": {
                "read": lines.read,
                "counted": lines.counted,
                "too_long": lines.too_long,
                "unparsed": lines.read - lines.counted - lines.filtered,
                "filtered": lines.filtered,
            },
            "first_at": None if lines.first is None else report_builder.iso_time(lines.first),
            "last_at": None if lines.last is None else report_builder.iso_time(lines.last),
            "filters": header.filters,
        }
        if self.plan.approximate:
            report_data["error_bound"] = sketches.ERROR_BOUND
        if (totals := report_builder.totals(results)) is not None:
            report_data["totals"] = totals
        report_builder.add_tables(report_data, self.tables, results)
        if "signals" in self.tables:
            report_data["signals"] = _signals(shares, report_data, header, compared)
        return report_data


def _merge_sketches(parts: Sequence[AddressSketch]) -> AddressSketch | None:
    for other in parts[1:]:
        parts[0].merge(other)
    return parts[0] if parts else None


def _signals(
    shares: Sequence[Share], report_data: AccessLogReport, header: Header, compared: Header | None
) -> list[Signal]:
    signals = detection.detect(one for share in shares for one in share.suspects)
    if compared is not None:
        return signals + detection.compare_periods(
            compared.totals, _seconds_covered(compared), header.totals, _seconds_covered(header)
        )
    return (
        signals + detection.compare_last_hour(report_data["hours"]["top"])
        if "hours" in report_data
        else signals
    )


def _seconds_covered(header: Header) -> int:
    first, last = header.lines["first"], header.lines["last"]
    return 0 if first is None or last is None else last - first + 1


def _offsets(counted: Sequence[WorkerResult]) -> dict[int, int]:
    """Return the offset up to which each source was read."""
    offsets: dict[int, int] = {}
    for one in counted:
        for number, offset in one.offsets.items():
            offsets[number] = max(offset, offsets.get(number, 0))
    return offsets


def _requests(results: Mapping[str, TableResult]) -> int:
    return results["addresses"].totals[0] if "addresses" in results else 0


def _totals(results: Mapping[str, TableResult]) -> dict[str, int]:
    row = report_builder.totals(results) or {}
    return {name: value for name, value in row.items() if isinstance(value, int)}


def _source_report(
    number: int,
    source: LogSource,
    offsets: Mapping[int, int],
    cuts: Mapping[int, int],
    counted: Sequence[WorkerResult],
) -> report.ReportSource:
    source_report: report.ReportSource = {
        "name": source.name,
        "format": source.format.name,
        "bytes": offsets.get(number, source.begin) - source.begin,
        "lines": sum(one.read[number] for one in counted if number in one.read),
    }
    if number in cuts:
        source_report["truncated_at"] = cuts[number]
    return source_report


def _sum_headers(headers: Sequence[Header]) -> Header:
    """Return the sum of the headers of partial results."""
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


def _check_approximate(requested: Collection[str], *, writes_partial: bool) -> None:
    if set(requested) != {"addresses"}:
        raise InvalidOption(
            "only addresses can be estimated: add --tables addresses", param="--approximate"
        )
    if writes_partial:
        raise InvalidOption(
            "estimates do not merge exactly: remove --partial and --continue",
            param="--approximate",
        )


def _previous(state: Path | None) -> Header | None:
    return partial_aggregates.read_header(state) if state is not None and state.exists() else None


def _needed_tables(requested: Collection[str]) -> frozenset[str]:
    """Return the tables to count for the requested tables of the report."""
    needed = {
        name
        for name in requested
        if name == "addresses" or name in TEXT_TABLES or name in NUMBER_TABLES
    }
    if {"routes", "slowest"} & set(requested):
        needed.add("paths")
    if "signals" in requested:
        needed |= {SUSPECTS, "hours"}
    return frozenset(needed)


def _plan(
    requested: frozenset[str],
    filters: Filters,
    trusted: Sequence[Network],
    *,
    approximate: bool = False,
) -> Plan:
    return Plan(
        tables=_needed_tables(requested),
        filters=filters,
        trusted=tuple(trusted),
        approximate=approximate,
    )


def _total_bytes(inputs: Sequence[LogSource]) -> int | None:
    """Return the number of bytes to read, None for streams and compressed files."""
    if any(source.stream or source.compression for source in inputs):
        return None
    return sum(max(source.size - source.begin, 0) for source in inputs)


def _processes(inputs: Sequence[LogSource], memory_bytes: int) -> int:
    """Return the number of processes: one per core, if there is enough input and memory."""
    work = sum(-(-max(source.size - source.begin, 0) // _WORTH_BYTES) for source in inputs)
    if all(source.in_one_piece for source in inputs):
        work = min(work, len(inputs))
    room = (memory_bytes - _SHARED_BYTES) // _PROCESS_BYTES
    return max(1, min(len(os.sched_getaffinity(0)), work, room))


def _rows_max(plan: Plan, memory_bytes: int, processes: int) -> int:
    """Return the number of rows that may be pending in the largest table."""
    if plan.approximate:
        return _SKETCHED_ROWS
    own, row = (
        (_OWN_BYTES, _ROW_BYTES) if plan.requests_only else (_FULL_OWN_BYTES, _FULL_ROW_BYTES)
    )
    rows = ((memory_bytes - _SHARED_BYTES) // processes - own) // row
    return max(_ROWS_MIN, min(rows, _ROWS_MAX))
