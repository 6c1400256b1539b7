"""Bringing the runs of a table together: how many keys, sums, and who leads, a range of keys at a time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bursar.accesslog.aggregation import rows as rowsets
from bursar.accesslog.aggregation import spill
from bursar.accesslog.aggregation.rows import Rows
from bursar.accesslog.aggregation.spill import Run, Spill
from bursar.accesslog.parsing.byte_search import Ints, Mask, U, Words

#: What the rows of a range take; with what sorting needs some ten times that is in memory.
RANGE_BYTES = 1 << 21

Ranking = Callable[[NDArray[Any]], NDArray[Any]]
"""From values (rows, measures) to what rows are ranked by, the largest first."""


SortColumns = Callable[[Rows], Sequence[Words]]
"""From rows to numbers that sort as what they stand for, the first counting most."""


class TopRow(NamedTuple):
    """A row that leads. They sort as they are shown: by rank, then by text."""

    negated_rank: int
    """The rank, negative, so that the first is the least."""

    text: bytes
    """The text; of a table without, its `SortColumns` as big-endian words."""

    values: list[int]


@dataclass(slots=True)
class TableResult:
    """A table as it is told. *leaders* holds one list for each ranking, each from the first on."""

    distinct: int = 0
    totals: list[int] = field(default_factory=list)
    top_rows: dict[str, list[TopRow]] = field(default_factory=dict)


def merge_runs(
    runs: Sequence[Run],
    spills: Mapping[int, Spill],
    *,
    maxima: int,
    share: tuple[int, int] = (0, 1),
    range_bytes: int = RANGE_BYTES,
) -> Iterator[Rows]:
    """
    Yield the rows of a table, each key once, a range of keys at a time.

    *share* (i, n) takes each n-th range from the i-th on, for n processes. The rows of a range take
    at most *range_bytes*, but one cell of the key space is not divided.
    """
    rows_max = range_bytes // runs[0].row_bytes if runs else 0
    for number, (first, end) in enumerate(spill.split_ranges(runs, spills, rows_max=rows_max)):
        if number % share[1] != share[0]:
            continue
        parts = [spills[run.file].read(run, first, end) for run in runs]
        if any(map(len, parts)):
            yield rowsets.group_by_key(rowsets.concatenate(parts), maxima=maxima)


class TopK:
    """
    Keeps the first *count* rows by each ranking; of equal ones those whose text comes first.

    Rows of rank 0 do not compete. *columns* stand for the texts in a table that has none of any length.
    """

    def __init__(
        self, rankings: Mapping[str, Ranking], *, count: int, columns: SortColumns | None = None
    ) -> None:
        self._rankings, self._count, self._columns = rankings, count, columns
        self.top_rows: dict[str, list[TopRow]] = {name: [] for name in rankings}

    def add(self, rows: Rows) -> None:
        """Let *rows*, each key once, compete."""
        for name, ranking in self._rankings.items():
            rank, top = ranking(rows.values).astype(np.int64), self.top_rows[name]
            last = top[-1] if len(top) == self._count else TopRow(0, b"", [])
            index = np.flatnonzero(rank >= max(1, -last.negated_rank))
            if len(index) > self._count:
                bar = np.partition(rank[index], -self._count)[-self._count]
                index = index[rank[index] >= bar]
            texts = self._texts(rows, rank, index, last)
            candidates = [
                TopRow(-int(rank[at]), text, rows.values[at].tolist())
                for at, text in texts
                if not last.negated_rank or (-int(rank[at]), text) < last[:2]
            ]
            self.top_rows[name] = heapq.nsmallest(self._count, [*top, *candidates])

    def _texts(
        self, rows: Rows, rank: Ints, index: Ints, last: TopRow
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the rows that may come before *last*, with their texts."""
        if self._columns is None:
            assert rows.texts is not None
            yield from zip(index.tolist(), rows.texts[index].tolist(), strict=True)
            return
        columns = np.stack([*self._columns(rows.take(index))], axis=1)
        if last.negated_rank:
            ahead = (rank[index] > -last.negated_rank) | _sorts_before(
                columns, np.frombuffer(last.text, ">u8")
            )
            index, columns = index[ahead], columns[ahead]
        if len(index) > self._count:
            order = np.lexsort((*reversed(columns.T), ~rank[index]))[: self._count]
            index, columns = index[order], columns[order]
        for at, row in zip(index.tolist(), columns.byteswap(), strict=True):
            yield at, row.tobytes()


def _sorts_before(columns: Words, limit: NDArray[Any]) -> Mask:
    """Tell which rows of *columns* come before *limit*."""
    before = np.zeros(len(columns), np.bool_)
    equal = np.ones(len(columns), np.bool_)
    for column, bound in zip(columns.T, limit.tolist(), strict=True):
        before |= equal & (column < U(bound))
        equal &= column == U(bound)
    return before


def summarize(
    rows: Iterator[Rows],
    top_k: TopK,
    *,
    measures: int,
    maxima: int,
    on_rows: Callable[[Rows], None] = lambda _: None,
) -> TableResult:
    """Go through all *rows* of a table once; *beside* sees them too."""
    sums = measures - maxima
    result = TableResult(totals=[0] * measures)
    for part in rows:
        result.distinct += len(part)
        for column in range(measures):
            column_values = part.values[:, column]
            if column < sums:
                result.totals[column] += int(column_values.sum())
            else:
                result.totals[column] = max(result.totals[column], int(column_values.max()))
        top_k.add(part)
        on_rows(part)
    result.top_rows = top_k.top_rows
    return result


def combine(parts: Sequence[TableResult], *, count: int, maxima: int) -> TableResult:
    """Combine what several processes found in ranges of their own, or tables that share no key."""
    result = TableResult(sum(part.distinct for part in parts))
    columns = list(zip(*(part.totals for part in parts), strict=True))
    sums = len(columns) - maxima
    result.totals = [sum(each) if at < sums else max(each) for at, each in enumerate(columns)]
    for name in parts[0].top_rows:
        candidates = [one for part in parts for one in part.top_rows[name]]
        result.top_rows[name] = sorted(candidates)[:count]
    return result
