"""
Exact counts for any number of keys in fixed memory.

Frequent keys stay in a direct-mapped cache: the first bits of a key choose a slot, which holds one key
with its counts. Rows of other keys are collected in a pending list. When it is full, rows of the same key
are merged, the most frequent keys replace less frequent ones in the slots, and if many rows remain, they
are written as a sorted run.
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
"""One value per key, or one for all keys."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of a table other than its key."""

    measures: int
    maxima: int = 0
    """The number of last measures that are maxima; the others are sums, and the first counts requests."""

    checked: bool = False
    text: str = ""
    """NumPy type of the texts: "" for none, "V40" for a fixed width, "O" for any length."""


class HashAggregate:
    """
    Counts by key.

    The cache has 2 to the power of *slot_bits* slots; at most *rows_max* rows are pending in memory.
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
        self._requests_before = np.zeros(slots, np.uint64)  # requests at the last compaction
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
        """Count *values* for each key; *texts* returns the texts of the keys at some positions."""
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
        """Return the mask of keys that are in their slot."""
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
        """Store the keys at *free* in their empty slots; of several keys for one slot the first."""
        _, first = np.unique(slot[free], return_index=True)
        new = free[first]
        self._key[slot[new]] = key[new]
        if self._check is not None and check is not None:
            self._check[slot[new]] = check[new]
        if self._texts is not None and texts is not None:
            self._texts[slot[new]] = texts(new)

    def add_rows(self, rows: Rows) -> None:
        """Add *rows* of earlier counts."""
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
        Move those of *rows* into slots that are more frequent than the key there since the last compaction.

        Of several rows for one slot the most frequent wins. Return the other rows; replaced keys become
        pending.
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
        """Merge pending rows by key and promote frequent ones; write the rest if many, or if *write*."""
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
        """Write all counts to the spill file."""
        used = np.flatnonzero(self._values[0])
        if len(used):
            self._add_pending(self._slot_rows(used))
            for value in self._values:
                value[:] = 0
        self._compact(write=True)


def select(value: Measure, index: Ints | Mask) -> Measure:
    """Return the values of the keys at *index*."""
    return value[index] if isinstance(value, np.ndarray) else value
