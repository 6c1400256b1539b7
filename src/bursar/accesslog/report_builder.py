"""Merge the runs of each share of the keys, combine the shares, and add the tables to the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bursar.accesslog import aggregator, path_templates, report
from bursar.accesslog.aggregation import client_counts, merge
from bursar.accesslog.aggregation import rows as rowsets
from bursar.accesslog.aggregation.hash_aggregate import HashAggregate, Shape
from bursar.accesslog.aggregation.merge import SortColumns, TableResult, TopK, TopRow
from bursar.accesslog.aggregation.rows import Rows
from bursar.accesslog.aggregation.sketches import AddressSketch
from bursar.accesslog.aggregation.spill import Run, Spill
from bursar.accesslog.aggregator import NUMBER_TABLES, SUSPECTS, Plan
from bursar.accesslog.parsing import byte_search, ip_addresses, records
from bursar.accesslog.parsing.byte_search import U, Words
from bursar.accesslog.parsing.records import MAXIMA, MEASURES
from bursar.accesslog.report import AccessLogReport, ReportRow
from bursar.accesslog.signals import classification, detection
from bursar.accesslog.signals.detection import Suspect

ROUTES = "routes"
#: Maximum number of hours in a report: one year.
HOURS_MAX = 24 * 366
#: HTTP statuses have three digits.
STATUSES_MAX = 1000
_ROUTE_ROWS_MAX = _MOVED_ROWS_MAX = 1 << 14
_MOVED_SLOT_BITS = 8
#: Names of the rankings.
_BY_REQUESTS, _BY_TIME = "requests", "micros"

RowObserver = Callable[[str, Rows], None]
"""Receives all rows of a table in batches; the rows of one key may be in several batches."""


def _ignore_rows(_table: str, _rows: Rows) -> None:
    pass


@dataclass(slots=True)
class Share:
    """
    The result of one share of the keys.

    *runs* are runs of routes. *moved* are runs of addresses that were not written in canonical form:
    their counts are included only after a second pass over all runs including these.
    """

    tables: dict[str, TableResult] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    moved: list[Run] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)


def finish_share(
    plan: Plan,
    top: int,
    runs: Sequence[Run],
    spills: Mapping[int, Spill],
    share: tuple[int, int],
    *,
    is_second_pass: bool = False,
    observe: RowObserver = _ignore_rows,
) -> Share:
    """
    Merge *share* (i of n) of the keys of all tables; *observe* receives every row.

    Pass *is_second_pass* if *runs* contain the runs that the first pass moved.
    """
    result, canonicalizer = Share(), _Canonicalizer(plan, spills[share[0]])
    if is_second_pass:
        observe = _ignore_rows  # it received all rows in the first pass
    for name in sorted({run.table for run in runs}):
        maxima = _maxima(plan, name)
        table_runs = [run for run in runs if run.table == name]
        rows = merge.merge_runs(table_runs, spills, maxima=maxima, share=share)
        if name in (client_counts.V4, client_counts.V6):
            rows = canonicalizer.canonical_rows(rows, name, observe)
        rows = _observed(rows, name, observe)
        if name == SUSPECTS:
            result.suspects = detection.most_active(
                one for part in rows for one in detection.find_suspects(part)
            )
        elif name == "paths":
            route_counter = _RouteCounter(spills[share[0]])
            result.tables[name] = _summarize(plan, name, rows, top, on_rows=route_counter.add_paths)
            result.runs = route_counter.runs()
        else:
            result.tables[name] = _summarize(plan, name, rows, top)
    if not is_second_pass:
        result.moved = canonicalizer.runs()
    return result


def _observed(parts: Iterator[Rows], name: str, observe: RowObserver) -> Iterator[Rows]:
    for rows in parts:
        observe(name, rows)
        yield rows


def _summarize(
    plan: Plan,
    name: str,
    rows: Iterator[Rows],
    top: int,
    on_rows: Callable[[Rows], None] = lambda _: None,
) -> TableResult:
    measures = _measures(plan, name)
    rankings: dict[str, Any] = {_BY_REQUESTS: lambda values: values[:, 0]}
    if name == ROUTES:
        rankings[_BY_TIME] = lambda values: values[:, _MICROS] // np.maximum(values[:, 0], U(1))
    top_k = TopK(rankings, count=_rows_max(name, top), columns=_COLUMNS.get(name))
    return merge.summarize(
        rows, top_k, measures=measures, maxima=_maxima(plan, name), on_rows=on_rows
    )


def _rows_max(name: str, top: int) -> int:
    """Return the number of rows of a table in the report; tables drawn as a chart have all rows."""
    return {"hours": HOURS_MAX, "statuses": STATUSES_MAX}.get(name, top)


_MICROS = MEASURES.index("micros")


def _measures(plan: Plan, name: str) -> int:
    return (
        1 if plan.requests_only and name in (client_counts.V4, client_counts.V6) else len(MEASURES)
    )


def _maxima(plan: Plan, name: str) -> int:
    if name == SUSPECTS:
        return classification.MAXIMA
    return 0 if _measures(plan, name) == 1 else MAXIMA


def _numbers(rows: Rows) -> Sequence[Words]:
    return [aggregator.numbers_from_keys(rows.key)]


_COLUMNS: Mapping[str, SortColumns] = {
    **client_counts.SORT_COLUMNS,
    **dict.fromkeys(NUMBER_TABLES, _numbers),
}


class _RouteCounter:
    """Counts routes from the rows of the paths table."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        shape = Shape(len(MEASURES), MAXIMA, checked=True, text="O")
        self._table = HashAggregate(ROUTES, shape, spill, slot_bits=8, rows_max=_ROUTE_ROWS_MAX)

    def add_paths(self, rows: Rows) -> None:
        """Add the routes of *rows* of paths."""
        assert rows.texts is not None
        folded = path_templates.to_routes(rows.texts.tolist())
        key, check = byte_search.hash_texts(*records.to_buffer(folded))
        self._table.add_rows(
            rowsets.group_by_key(
                Rows(key, check, rows.values, records.object_array(folded)), maxima=MAXIMA
            )
        )

    def runs(self) -> list[Run]:
        """Write all out."""
        before = len(self._spill.runs)
        self._table.flush()
        return self._spill.runs[before:]


class _Canonicalizer:
    """Separates addresses that are not in canonical form, and counts them under it."""

    def __init__(self, plan: Plan, spill: Spill) -> None:
        self._spill = spill
        self._clients = client_counts.exact_counter(
            spill,
            measures=_measures(plan, client_counts.V6),
            maxima=MAXIMA,
            slot_bits=_MOVED_SLOT_BITS,
            rows_max=_MOVED_ROWS_MAX,
        )

    def canonical_rows(
        self, parts: Iterator[Rows], name: str, observe: RowObserver
    ) -> Iterator[Rows]:
        """Yield the rows whose address is canonical; *observe* receives the others under their canonical key."""

        def move(table: str, rows: Rows) -> None:
            observe(table, rows)
            self._clients.add_rows(table, rows)

        for part in parts:
            is_canonical = client_counts.split_canonical(name, part, move)
            if is_canonical.any():
                yield part if is_canonical.all() else part.take(is_canonical)

    def runs(self) -> list[Run]:
        """Write the counts of moved addresses; return their runs."""
        before = len(self._spill.runs)
        self._clients.flush()
        return self._spill.runs[before:]


# --- Tables of the report -------------------------------------------------------------------------


def combine_shares(
    plan: Plan, top: int, shares: Sequence[Share], spills: Mapping[int, Spill]
) -> dict[str, TableResult]:
    """Combine the shares of all processes, and summarize the routes."""
    combined: dict[str, TableResult] = {}
    for name in sorted({name for share in shares for name in share.tables}):
        parts = [share.tables[name] for share in shares if name in share.tables]
        combined[name] = merge.combine(
            parts, count=_rows_max(name, top), maxima=_maxima(plan, name)
        )
    runs = [run for share in shares for run in share.runs]
    if runs:
        rows = merge.merge_runs(runs, spills, maxima=MAXIMA)
        combined[ROUTES] = _summarize(plan, ROUTES, rows, top)
    v4, v6 = combined.pop(client_counts.V4, None), combined.pop(client_counts.V6, None)
    both = [one for one in (v4, v6) if one is not None]
    if both:
        combined["addresses"] = merge.combine(
            both, count=top, maxima=_maxima(plan, client_counts.V4)
        )
    return combined


def sketch_result(sketch: AddressSketch, top: int) -> TableResult:
    """Return the addresses table estimated by a sketch."""
    top_rows = [TopRow(-count, text, [count]) for text, count in sketch.top(top)]
    return TableResult(sketch.distinct(), [sketch.requests], {_BY_REQUESTS: top_rows})


def add_tables(
    report_data: AccessLogReport, requested: frozenset[str], results: Mapping[str, TableResult]
) -> None:
    """Add the requested tables to a report."""
    timed = any(one.totals[_MICROS] for one in results.values() if len(one.totals) > 1)
    for name, key in report.KEYS.items():
        if name not in requested:
            continue
        slowest = name == "slowest"
        result = results.get(ROUTES if slowest else name) or TableResult()
        top_rows = result.top_rows.get(_BY_TIME if slowest else _BY_REQUESTS, [])
        rows = [_row(key, _key_text(name, one.text), one, timed=timed) for one in top_rows]
        if name == "hours":
            rows.sort(key=lambda row: row["hour"])
        distinct = 0 if slowest and not timed else result.distinct
        report_data[name] = {"distinct": distinct, "top": rows}  # type: ignore[literal-required]


def totals(results: Mapping[str, TableResult]) -> ReportRow | None:
    """Return the totals of all requests, from a table that contains every request."""
    complete = results.get("methods") or results.get("paths") or results.get("statuses")
    if complete is None or len(complete.totals) < len(MEASURES):
        return None
    return _add_measures({}, complete.totals, timed=bool(complete.totals[_MICROS]))


def _row(key: str, text: str | int, leader: TopRow, *, timed: bool) -> ReportRow:
    row: Any = {key: text}
    return _add_measures(row, leader.values, timed=timed)


def _add_measures(row: Any, values: Sequence[int], *, timed: bool) -> ReportRow:
    row.update(zip(MEASURES[:4], values, strict=False))
    if timed and len(values) > _MICROS:
        row["mean_ms"] = round(values[_MICROS] / max(values[0], 1) / 1000, 3)
        row["max_ms"] = values[_MICROS + 1] / 1000
    measured: ReportRow = row
    return measured


def _key_text(name: str, text: bytes) -> str | int:
    if name == "addresses":
        return ip_addresses.address_text(text)
    if name in NUMBER_TABLES:
        number = int.from_bytes(text, "big")
        return number if name == "statuses" else iso_time(number * 3600)
    return text.decode("utf-8", "backslashreplace")


def iso_time(epoch: int) -> str:
    """Return epoch seconds as ISO 8601 in UTC; years after 9999 as the last hour of 9999."""
    latest = int(datetime(9999, 12, 31, 23, tzinfo=UTC).timestamp())
    return datetime.fromtimestamp(min(epoch, latest), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
