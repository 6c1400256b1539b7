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


Columns = Callable[[Rows], Sequence[Words]]
"""From rows to numbers that sort as what they stand for, the first counting most."""


class TopRow(NamedTuple):
    """A row that leads. They sort as they are shown: by rank, then by text."""

    behind: int
    """The rank, negative, so that the first is the least."""

    text: bytes
    """The text; of a table without, its `Columns` as big-endian words."""

    values: list[int]


@dataclass(slots=True)
class Finished:
    """A table as it is told. *leaders* holds one list for each ranking, each from the first on."""

    distinct: int = 0
    totals: list[int] = field(default_factory=list)
    leaders: dict[str, list[TopRow]] = field(default_factory=dict)


def merged(
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
    for number, (first, end) in enumerate(spill.ranges(runs, spills, rows_max=rows_max)):
        if number % share[1] != share[0]:
            continue
        parts = [spills[run.file].read(run, first, end) for run in runs]
        if any(map(len, parts)):
            yield rowsets.grouped(rowsets.joined(parts), maxima=maxima)


class TopK:
    """
    Keeps the first *count* rows by each ranking; of equal ones those whose text comes first.

    Rows of rank 0 do not compete. *columns* stand for the texts in a table that has none of any length.
    """

    def __init__(
        self, rankings: Mapping[str, Ranking], *, count: int, columns: Columns | None = None
    ) -> None:
        self._rankings, self._count, self._columns = rankings, count, columns
        self.leaders: dict[str, list[TopRow]] = {name: [] for name in rankings}

    def see(self, rows: Rows) -> None:
        """Let *rows*, each key once, compete."""
        for name, ranking in self._rankings.items():
            rank, kept = ranking(rows.values).astype(np.int64), self.leaders[name]
            last = kept[-1] if len(kept) == self._count else TopRow(0, b"", [])
            index = np.flatnonzero(rank >= max(1, -last.behind))
            if len(index) > self._count:
                bar = np.partition(rank[index], -self._count)[-self._count]
                index = index[rank[index] >= bar]
            texts = self._texts(rows, rank, index, last)
            told = [
                TopRow(-int(rank[at]), text, rows.values[at].tolist())
                for at, text in texts
                if not last.behind or (-int(rank[at]), text) < last[:2]
            ]
            self.leaders[name] = heapq.nsmallest(self._count, [*kept, *told])

    def _texts(
        self, rows: Rows, rank: Ints, index: Ints, last: TopRow
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the rows that may come before *last*, with their texts."""
        if self._columns is None:
            assert rows.texts is not None
            yield from zip(index.tolist(), rows.texts[index].tolist(), strict=True)
            return
        columns = np.stack([*self._columns(rows.take(index))], axis=1)
        if last.behind:
            ahead = (rank[index] > -last.behind) | _before(columns, np.frombuffer(last.text, ">u8"))
            index, columns = index[ahead], columns[ahead]
        if len(index) > self._count:
            order = np.lexsort((*reversed(columns.T), ~rank[index]))[: self._count]
            index, columns = index[order], columns[order]
        for at, row in zip(index.tolist(), columns.byteswap(), strict=True):
            yield at, row.tobytes()


def _before(columns: Words, limit: NDArray[Any]) -> Mask:
    """Tell which rows of *columns* come before *limit*."""
    before = np.zeros(len(columns), np.bool_)
    equal = np.ones(len(columns), np.bool_)
    for column, bound in zip(columns.T, limit.tolist(), strict=True):
        before |= equal & (column < U(bound))
        equal &= column == U(bound)
    return before


def finish(
    rows: Iterator[Rows],
    podium: TopK,
    *,
    measures: int,
    maxima: int,
    beside: Callable[[Rows], None] = lambda _: None,
) -> Finished:
    """Go through all *rows* of a table once; *beside* sees them too."""
    sums = measures - maxima
    done = Finished(totals=[0] * measures)
    for part in rows:
        done.distinct += len(part)
        for column in range(measures):
            told = part.values[:, column]
            if column < sums:
                done.totals[column] += int(told.sum())
            else:
                done.totals[column] = max(done.totals[column], int(told.max()))
        podium.see(part)
        beside(part)
    done.leaders = podium.leaders
    return done


def combined(parts: Sequence[Finished], *, count: int, maxima: int) -> Finished:
    """Combine what several processes found in ranges of their own, or tables that share no key."""
    done = Finished(sum(part.distinct for part in parts))
    columns = list(zip(*(part.totals for part in parts), strict=True))
    sums = len(columns) - maxima
    done.totals = [sum(each) if at < sums else max(each) for at, each in enumerate(columns)]
    for name in parts[0].leaders:
        everyone = [one for part in parts for one in part.leaders[name]]
        done.leaders[name] = sorted(everyone)[:count]
    return done
