"""
A table of counts that is exact however many keys there are, in memory that is set beforehand.

What is counted often stays in a direct-mapped cache: a slot is chosen by the first bits of a key and
holds one key with its counts. What is not there waits in a list; when the list is long, rows of
one key are made one, those that were counted most get the slots, and the rest, if it is still long, is
written out as a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bursar.accesslog.aggregation import rows as rowsets
from bursar.accesslog.aggregation.rows import Rows, Texts
from bursar.accesslog.aggregation.spill import Spill
from bursar.accesslog.parsing.byte_search import Ints, Mask, U, Words

Measure = Words | np.uint64
"""One value a key, or the same for all."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a table has beside its key."""

    measures: int
    maxima: int = 0
    """So many of the last measures are maxima, the others sums; the first counts requests."""

    checked: bool = False
    text: str = ""
    """The type of its texts: "" for none, "V40" for one width, "O" for any."""


class HashAggregate:
    """
    Counts by key.

    *slot_bits* sets the size of the cache, *rows_max* how many rows wait in memory.
    """

    def __init__(
        self, name: str, shape: Shape, spill: Spill, *, slot_bits: int = 13, rows_max: int = 1 << 16
    ) -> None:
        slots = 1 << slot_bits
        self.name, self.shape = name, shape
        self._spill, self._rows_max = spill, rows_max
        self._shift = U(64 - slot_bits)
        self._key = np.zeros(slots, np.uint64)
        self._check = np.zeros(slots, np.uint64) if shape.checked else None
        self._values = [np.zeros(slots, np.uint64) for _ in range(shape.measures)]
        self._requests_before = np.zeros(
            slots, np.uint64
        )  # requests when the list was last gone through
        self._texts: Texts | None = np.empty(slots, shape.text) if shape.text else None
        self._pending: list[Rows] = []
        self._pending_rows = 0

    def add(
        self,
        key: Words,
        check: Words | None,
        values: Sequence[Measure],
        texts: Callable[[Ints], Texts] | None = None,
    ) -> None:
        """Count *values* for each key; *texts* is asked for the texts of the keys at some positions."""
        slot = (key >> self._shift).astype(np.int64)
        hit = self._is_in_slot(slot, key, check)
        missed = np.flatnonzero(~hit)
        free = missed[self._values[0][slot[missed]] == 0]
        if len(free):
            self._claim_free_slots(slot, key, check, free, texts)
            hit[free] = self._is_in_slot(
                slot[free], key[free], None if check is None else check[free]
            )
            missed = np.flatnonzero(~hit)
        if not len(missed):
            self._count(slot, values)
            return
        if len(missed) < len(key):
            hits = np.flatnonzero(hit)
            self._count(slot[hits], [select(value, hits) for value in values])
        stacked = np.empty((len(missed), self.shape.measures), np.uint64)
        for column, value in enumerate(values):
            stacked[:, column] = select(value, missed)
        missed_texts = texts(missed) if texts else None
        self.add_rows(
            Rows(key[missed], None if check is None else check[missed], stacked, missed_texts)
        )

    def _is_in_slot(self, slot: Ints, key: Words, check: Words | None) -> Mask:
        """Tell which keys have their slots."""
        has: Mask = self._key[slot] == key
        if check is not None and self._check is not None:
            has &= self._check[slot] == check
        return has

    def _claim_free_slots(
        self,
        slot: Ints,
        key: Words,
        check: Words | None,
        free: Ints,
        texts: Callable[[Ints], Texts] | None,
    ) -> None:
        """Give slots that nobody has to the first who want them, of the keys at *free*."""
        _, first = np.unique(slot[free], return_index=True)
        new = free[first]
        self._key[slot[new]] = key[new]
        if self._check is not None and check is not None:
            self._check[slot[new]] = check[new]
        if self._texts is not None and texts is not None:
            self._texts[slot[new]] = texts(new)

    def add_rows(self, rows: Rows) -> None:
        """Count *rows*, which have been counted before."""
        self._add_pending(rows)
        if self._pending_rows >= self._rows_max:
            self._compact()

    def _count(self, slot: Ints, values: Sequence[Measure]) -> None:
        sums = self.shape.measures - self.shape.maxima
        for column, value in enumerate(values):
            if not isinstance(value, np.ndarray) and not value:
                continue
            accumulate: Any = np.add if column < sums else np.maximum
            accumulate.at(self._values[column], slot, value)

    def _promote(self, rows: Rows) -> Rows:
        """
        Give slots to those of *rows* that were counted oftener than who has them was of late.

        Of those that want the same one the most counted gets it; returns the rest. Whoever is driven
        out waits.
        """
        slot = (rows.key >> self._shift).astype(np.int64)
        requests = rows.values[:, 0]
        wins = np.flatnonzero(requests > (self._values[0] - self._requests_before)[slot])
        order = wins[np.lexsort((~requests[wins], slot[wins]))]
        first = np.ones(len(order), np.bool_)
        np.not_equal(slot[order[1:]], slot[order[:-1]], out=first[1:])
        order = order[first]
        new, slot = rows.take(order), slot[order]
        occupied = slot[self._values[0][slot] != 0]
        if len(occupied):
            self._add_pending(self._slot_rows(occupied))
        self._key[slot] = new.key
        if self._check is not None and new.check is not None:
            self._check[slot] = new.check
        for column, value in enumerate(self._values):
            value[slot] = new.values[:, column]
        if self._texts is not None:
            self._texts[slot] = new.texts
        self._requests_before = self._values[0].copy()
        remaining = np.ones(len(rows), np.bool_)
        remaining[order] = False
        return rows.take(remaining)

    def _slot_rows(self, slot: Ints) -> Rows:
        return Rows(
            self._key[slot],
            None if self._check is None else self._check[slot],
            np.stack([value[slot] for value in self._values], axis=1),
            None if self._texts is None else self._texts[slot],
        )

    def _add_pending(self, rows: Rows) -> None:
        self._pending.append(rows)
        self._pending_rows += len(rows)

    def _compact(self, *, write: bool = False) -> None:
        """Make rows of one key one, and let some in; write the rest if they are many, or at the end."""
        if not self._pending:
            return
        rows = rowsets.concatenate(self._pending)
        self._pending, self._pending_rows = [], 0
        rows = rowsets.group_by_key(rows, maxima=self.shape.maxima)
        if not write:
            rows = self._promote(rows)
        if write or len(rows) * 2 > self._rows_max:
            self._spill.write(self.name, rows)
        elif len(rows):
            self._add_pending(rows)

    def flush(self) -> None:
        """Write out all that is held."""
        used = np.flatnonzero(self._values[0])
        if len(used):
            self._add_pending(self._slot_rows(used))
            for value in self._values:
                value[:] = 0
        self._compact(write=True)


def select(value: Measure, index: Ints | Mask) -> Measure:
    """Return the values of some keys."""
    return value[index] if isinstance(value, np.ndarray) else value
