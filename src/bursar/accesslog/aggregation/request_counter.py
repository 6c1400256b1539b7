"""
Counting requests by key and nothing else, which is what most people ask of a log, as fast as can be.

Keys wait in arrays. When these are full they are sorted, and each key is handed on with its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from bursar.accesslog.aggregation import rows as rowsets
from bursar.accesslog.aggregation.rows import Asked, Rows, Spellings, Texts
from bursar.accesslog.aggregation.spill import Spill
from bursar.accesslog.parsing.byte_search import Ints, U, Words

#: Where less than one key in so many came before, there is no use in holding them.
_KNOWN_MIN = 4
#: So many times nothing is held then; twice as many the next time.
_RESTS = 64
#: Sets of rows counted before that may wait.
_PARTS_MAX = 1 << 12


class Taker(Protocol):
    """Where counted keys go."""

    def take(
        self, key: Words, check: Words | None, requests: Words, texts: Asked | None, /
    ) -> None:
        """Take keys, sorted and each once; *texts* gives those of some, until this returns."""

    def take_rows(self, rows: Rows, /) -> None:
        """Take rows that were counted before."""

    def flush(self) -> None:
        """Write out all that is held."""


class RequestCounter:
    """
    Requests by key, with a text of *text_bytes* (none by default), and a check word if *checked*.

    *room* is how many keys wait: 8 bytes each, and what belongs to them.
    """

    def __init__(
        self, taker: Taker, *, room: int, text_bytes: int = 0, checked: bool = False
    ) -> None:
        self._taker = taker
        self._key = np.empty(room, U)
        self._check = np.empty(room, U) if checked else None
        self._texts: Texts | None = np.empty(room, f"V{text_bytes}") if text_bytes else None
        self._waiting = 0

    def add(
        self, key: Words, check: Words | None, values: Sequence[Any], texts: Spellings | None = None
    ) -> None:
        """Count each key once, which *values* must say too."""
        assert list(values) == [1], "a tally counts requests alone"
        done = 0
        while done < len(key):
            take = min(len(key) - done, len(self._key) - self._waiting)
            here, there = slice(done, done + take), slice(self._waiting, self._waiting + take)
            self._key[there] = key[here]
            if self._check is not None and check is not None:
                self._check[there] = check[here]
            if self._texts is not None and texts is not None:
                self._texts[there].view(U).reshape(take, -1)[:] = texts.words.T[here]
            done += take
            self._waiting += take
            if self._waiting == len(self._key):
                self._settle()

    def add_rows(self, rows: Rows) -> None:
        """Count *rows*, which have been counted before."""
        self._taker.take_rows(rows)

    def flush(self) -> None:
        """Write out all that is held."""
        self._settle()
        self._taker.flush()

    def _settle(self) -> None:
        waiting, self._waiting = self._waiting, 0
        if not waiting:
            return
        key = self._key[:waiting]
        if self._texts is None:
            key.sort()
            starts = _begins(key)
            self._taker.take(key[starts], None, _counts(starts, waiting), None)
            return
        check = None if self._check is None else self._check[:waiting]
        order, starts = rowsets.groups(key, check)
        first, texts = order[starts], self._texts
        self._taker.take(
            key.take(first),
            None if check is None else check.take(first),
            _counts(starts, waiting),
            lambda index: texts.take(first[index]),
        )


class SlotCounter:
    """
    Takes what a `Tally` has counted, exactly: adds up what there is room for, and writes the rest as runs.

    A slot is chosen by the first bits of a key, and holds the first key that wants it.
    2 to the power of *slot_bits* keys are held: 16 bytes each; with a text of *text_bytes* 8 more,
    and the text. Of rows counted before *rows_max* wait until they are written.
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
        self._holds, self._resting, self._rests = False, 0, _RESTS
        self._rows: list[Rows] = []
        self._rows_count, self._rows_max = 0, rows_max

    def take(self, key: Words, check: Words | None, requests: Words, texts: Asked | None) -> None:
        """Add up what is held; write the rest."""
        if self._resting:
            self._resting -= 1
            left = np.arange(len(key))
        else:
            is_first = not self._holds
            left, known = self._hold(key, check, requests, texts)
            if not is_first and known * _KNOWN_MIN < len(key):
                self._give_up()
                self._resting, self._rests = self._rests, 2 * self._rests
        if len(left) < len(key):
            key, requests = key.take(left), requests.take(left)
            check = None if check is None else check.take(left)
        self._write(Rows(key, check, requests.reshape(-1, 1), texts and texts(left)))

    def _hold(
        self, key: Words, check: Words | None, requests: Words, texts: Asked | None
    ) -> tuple[Ints, int]:
        """Add up what is held, and hold what finds a free slot; where is the rest, how many were held."""
        self._holds = True
        slot = (key >> self._shift).view(np.int64)
        is_free = self._requests[slot] == 0
        held = (self._key[slot] == key) & ~is_free
        if self._check is not None:
            held &= self._check[slot] == check
        at = np.flatnonzero(held)
        self._requests[slot[at]] += requests[at]
        left = np.flatnonzero(~held)
        free = left[is_free[left]]
        if not len(free):
            return left, len(at)
        new = free[np.concatenate(([0], np.flatnonzero(np.diff(slot[free])) + 1))]
        to = slot[new]
        self._key[to], self._requests[to] = key[new], requests[new]
        if self._check is not None and check is not None:
            self._check[to] = check[new]
        if self._texts is not None and texts is not None:
            self._texts[to] = texts(new)
        held[new] = True
        return np.flatnonzero(~held), len(at)

    def take_rows(self, rows: Rows) -> None:
        """Take *rows*, which have been counted before."""
        self._rows.append(rows)
        self._rows_count += len(rows)
        if len(self._rows) >= _PARTS_MAX or self._rows_count >= self._rows_max:
            self._settle()

    def flush(self) -> None:
        """Write out all that is held."""
        self._settle()
        self._give_up()

    def _settle(self) -> None:
        rows, self._rows, self._rows_count = self._rows, [], 0
        if rows:
            self._write(rowsets.grouped(rowsets.joined(rows), maxima=0))

    def _give_up(self) -> None:
        slot = np.flatnonzero(self._requests)
        held = Rows(
            self._key[slot],
            None if self._check is None else self._check[slot],
            self._requests[slot].reshape(-1, 1),
            None if self._texts is None else self._texts.take(slot),
        )
        self._write(held)
        self._requests[:] = 0
        self._holds = False

    def _write(self, rows: Rows) -> None:
        if len(rows):
            self._spill.write(self.name, rows)


def _begins(key: Words) -> Ints:
    begins = np.empty(len(key), np.bool_)
    begins[0] = True
    np.not_equal(key[1:], key[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def _counts(starts: Ints, total: int) -> Words:
    return np.diff(starts, append=total).astype(U)
