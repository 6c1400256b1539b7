"""Merge sorted runs, one range of keys at a time; compute distinct count, totals and top-k."""

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

#: Size of the rows of a range; sorting takes about ten times as much memory.
RANGE_BYTES = 1 << 21

Ranking = Callable[[NDArray[Any]], NDArray[Any]]
"""Returns the rank of each row from its values (rows, measures); the largest comes first."""


SortColumns = Callable[[Rows], Sequence[Words]]
"""Returns the sort columns of rows, the most significant first."""


class TopRow(NamedTuple):
    """A row of a top-k list; rows sort by rank, then by text."""

    negated_rank: int
    """The negated rank, so that ascending order is from the first row on."""

    text: bytes
    """The text of the key; in tables without texts its `SortColumns` as big-endian words."""

    values: list[int]


@dataclass(slots=True)
class TableResult:
    """Distinct keys, totals and first rows of a table; *top_rows* has a sorted list for each ranking."""

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

    *share* (i, n) selects every n-th range from the i-th on, for n processes. The rows of a range take
    at most *range_bytes*, except that a cell of the key space is never divided.
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
    Collects the first *count* rows of each ranking; ties are ordered by text.

    Rows of rank 0 are ignored. *columns* replace the texts in a table without texts of any length.
    """

    def __init__(
        self, rankings: Mapping[str, Ranking], *, count: int, columns: SortColumns | None = None
    ) -> None:
        self._rankings, self._count, self._columns = rankings, count, columns
        self.top_rows: dict[str, list[TopRow]] = {name: [] for name in rankings}

    def add(self, rows: Rows) -> None:
        """Add *rows*, in which every key occurs once."""
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
        """Yield index and text of the rows that may come before *last*."""
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
    """Return the mask of rows of *columns* that sort before *limit*."""
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
    """Return the result of a table in one pass over its *rows*; *on_rows* receives each batch too."""
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
    """Combine the results of disjoint key ranges, or of tables without common keys."""
    result = TableResult(sum(part.distinct for part in parts))
    columns = list(zip(*(part.totals for part in parts), strict=True))
    sums = len(columns) - maxima
    result.totals = [sum(each) if at < sums else max(each) for at, each in enumerate(columns)]
    for name in parts[0].top_rows:
        candidates = [one for part in parts for one in part.top_rows[name]]
        result.top_rows[name] = sorted(candidates)[:count]
    return result
