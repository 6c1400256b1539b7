"""
Fast path that counts only requests by key.

Keys are collected in arrays. When these are full they are sorted, and each key is passed on with its count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from bursar.accesslog.aggregation import rows as rowsets
from bursar.accesslog.aggregation.rows import FixedWidthTexts, Rows, TextLookup, Texts
from bursar.accesslog.aggregation.spill import Spill
from bursar.accesslog.parsing.byte_search import Ints, U, Words

#: If fewer than one in this many keys is in a slot, the slots are bypassed.
_KEYS_PER_HIT_MAX = 4
#: Number of batches that then bypass the slots; it doubles each time.
_BYPASS_BATCHES = 64
#: Maximum number of pending sets of rows of earlier counts.
_PARTS_MAX = 1 << 12


class CountSink(Protocol):
    """Receives counted keys."""

    def add_counts(
        self, key: Words, check: Words | None, requests: Words, texts: TextLookup | None, /
    ) -> None:
        """Add sorted, distinct keys; *texts* returns the texts at some positions until this call returns."""

    def add_rows(self, rows: Rows, /) -> None:
        """Add rows of earlier counts."""

    def flush(self) -> None:
        """Write all counts."""


class RequestCounter:
    """
    Counts requests by key, with a text of *text_bytes* (none by default), and a check word if *checked*.

    *room* is the number of keys that are collected: 8 bytes each, and their texts and check words.
    """

    def __init__(
        self, sink: CountSink, *, room: int, text_bytes: int = 0, checked: bool = False
    ) -> None:
        self._sink = sink
        self._key = np.empty(room, U)
        self._check = np.empty(room, U) if checked else None
        self._texts: Texts | None = np.empty(room, f"V{text_bytes}") if text_bytes else None
        self._pending = 0

    def add(
        self,
        key: Words,
        check: Words | None,
        values: Sequence[Any],
        texts: FixedWidthTexts | None = None,
    ) -> None:
        """Count one request for each key; *values* must be `[1]`."""
        assert list(values) == [1], "RequestCounter counts requests only"
        done = 0
        while done < len(key):
            take = min(len(key) - done, len(self._key) - self._pending)
            here, there = slice(done, done + take), slice(self._pending, self._pending + take)
            self._key[there] = key[here]
            if self._check is not None and check is not None:
                self._check[there] = check[here]
            if self._texts is not None and texts is not None:
                self._texts[there].view(U).reshape(take, -1)[:] = texts.words.T[here]
            done += take
            self._pending += take
            if self._pending == len(self._key):
                self._flush_pending()

    def add_rows(self, rows: Rows) -> None:
        """Add *rows* of earlier counts."""
        self._sink.add_rows(rows)

    def flush(self) -> None:
        """Pass on all collected keys, and flush the sink."""
        self._flush_pending()
        self._sink.flush()

    def _flush_pending(self) -> None:
        pending, self._pending = self._pending, 0
        if not pending:
            return
        key = self._key[:pending]
        if self._texts is None:
            key.sort()
            starts = _group_starts(key)
            self._sink.add_counts(key[starts], None, _counts(starts, pending), None)
            return
        check = None if self._check is None else self._check[:pending]
        order, starts = rowsets.key_groups(key, check)
        first, texts = order[starts], self._texts
        self._sink.add_counts(
            key.take(first),
            None if check is None else check.take(first),
            _counts(starts, pending),
            lambda index: texts.take(first[index]),
        )


class SlotCounter:
    """
    Exact sink of a `RequestCounter`: adds up keys in slots, and writes keys without a slot as runs.

    The first bits of a key choose its slot, which holds the first key that needs it.
    There are 2 to the power of *slot_bits* slots of 16 bytes; with a text of *text_bytes* 8 more and
    the text. At most *rows_max* rows of earlier counts are pending until they are written.
    """

    def __init__(
        self, name: str, spill: Spill, *, slot_bits: int, rows_max: int, text_bytes: int = 0
    ) -> None:
        slots = 1 << slot_bits
        self.name, self._spill = name, spill
        self._shift = U(64 - slot_bits)
        self._key, self._requests = np.zeros(slots, U), np.zeros(slots, U)
        self._check = np.zeros(slots, U) if text_bytes else None
        self._texts: Texts | None = np.empty(slots, f"V{text_bytes}") if text_bytes else None
        self._slots_in_use, self._bypass_remaining, self._bypass_batches = False, 0, _BYPASS_BATCHES
        self._rows: list[Rows] = []
        self._rows_count, self._rows_max = 0, rows_max

    def add_counts(
        self, key: Words, check: Words | None, requests: Words, texts: TextLookup | None
    ) -> None:
        """Add the counts of keys in slots; write the rest as a run."""
        if self._bypass_remaining:
            self._bypass_remaining -= 1
            remaining = np.arange(len(key))
        else:
            is_first = not self._slots_in_use
            remaining, hits = self._add_to_slots(key, check, requests, texts)
            if not is_first and hits * _KEYS_PER_HIT_MAX < len(key):
                self._evict_all()
                self._bypass_remaining, self._bypass_batches = (
                    self._bypass_batches,
                    2 * self._bypass_batches,
                )
        if len(remaining) < len(key):
            key, requests = key.take(remaining), requests.take(remaining)
            check = None if check is None else check.take(remaining)
        self._write(Rows(key, check, requests.reshape(-1, 1), texts and texts(remaining)))

    def _add_to_slots(
        self, key: Words, check: Words | None, requests: Words, texts: TextLookup | None
    ) -> tuple[Ints, int]:
        """Add counts to slots, and store keys in free slots; return the other positions and the hits."""
        self._slots_in_use = True
        slot = (key >> self._shift).view(np.int64)
        is_free = self._requests[slot] == 0
        held = (self._key[slot] == key) & ~is_free
        if self._check is not None:
            held &= self._check[slot] == check
        at = np.flatnonzero(held)
        self._requests[slot[at]] += requests[at]
        remaining = np.flatnonzero(~held)
        free = remaining[is_free[remaining]]
        if not len(free):
            return remaining, len(at)
        new = free[np.concatenate(([0], np.flatnonzero(np.diff(slot[free])) + 1))]
        to = slot[new]
        self._key[to], self._requests[to] = key[new], requests[new]
        if self._check is not None and check is not None:
            self._check[to] = check[new]
        if self._texts is not None and texts is not None:
            self._texts[to] = texts(new)
        held[new] = True
        return np.flatnonzero(~held), len(at)

    def add_rows(self, rows: Rows) -> None:
        """Add *rows* of earlier counts."""
        self._rows.append(rows)
        self._rows_count += len(rows)
        if len(self._rows) >= _PARTS_MAX or self._rows_count >= self._rows_max:
            self._write_pending()

    def flush(self) -> None:
        """Write all counts to the spill file."""
        self._write_pending()
        self._evict_all()

    def _write_pending(self) -> None:
        rows, self._rows, self._rows_count = self._rows, [], 0
        if rows:
            self._write(rowsets.group_by_key(rowsets.concatenate(rows), maxima=0))

    def _evict_all(self) -> None:
        slot = np.flatnonzero(self._requests)
        held = Rows(
            self._key[slot],
            None if self._check is None else self._check[slot],
            self._requests[slot].reshape(-1, 1),
            None if self._texts is None else self._texts.take(slot),
        )
        self._write(held)
        self._requests[:] = 0
        self._slots_in_use = False

    def _write(self, rows: Rows) -> None:
        if len(rows):
            self._spill.write(self.name, rows)


def _group_starts(key: Words) -> Ints:
    begins = np.empty(len(key), np.bool_)
    begins[0] = True
    np.not_equal(key[1:], key[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def _counts(starts: Ints, total: int) -> Words:
    return np.diff(starts, append=total).astype(U)
