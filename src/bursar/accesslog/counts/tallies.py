"""
Counting requests by key and nothing else, which is what most people ask of a log, as fast as can be.

Keys wait in one array. When it is full it is sorted, and each key with its number is written as a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bursar.accesslog.counts import rows as rowsets
from bursar.accesslog.counts.rows import Rows, Texts
from bursar.accesslog.counts.spilling import Sink
from bursar.accesslog.lines.scanning import Ints, U, Words

#: Parts with counts of their own that may wait.
_PARTS_MAX = 1 << 12


class Tally:
    """
    Requests by key, with a check word and a text of *text_bytes* (none by default) for each.

    *room* is how many keys wait: 8 bytes each, 16 more and the text where there are texts.
    """

    def __init__(self, name: str, spill: Sink, *, room: int, text_bytes: int = 0) -> None:
        self.name, self._spill = name, spill
        self._key = np.empty(room, U)
        self._check = np.empty(room, U) if text_bytes else None
        self._texts: Texts | None = np.empty(room, f"V{text_bytes}") if text_bytes else None
        self._waiting = 0
        self._counted: list[Rows] = []
        self._counted_rows = 0

    def add(
        self, key: Words, check: Words | None, values: Sequence[Any],
        texts: Callable[[Any], Texts] | None = None,
    ) -> None:  # fmt: skip
        """Count each key once, which *values* must say too; *texts* gives those of a slice."""
        assert list(values) == [1], "a tally counts requests alone"
        done = 0
        while done < len(key):
            take = min(len(key) - done, len(self._key) - self._waiting)
            here, there = slice(done, done + take), slice(self._waiting, self._waiting + take)
            self._key[there] = key[here]
            if self._check is not None and check is not None:
                self._check[there] = check[here]
            if self._texts is not None and texts is not None:
                self._texts[there] = texts(here)
            done += take
            self._waiting += take
            if self._waiting == len(self._key):
                self._settle()

    def add_rows(self, rows: Rows) -> None:
        """Count *rows*, which have been counted before."""
        self._counted.append(rows)
        self._counted_rows += len(rows)
        if len(self._counted) >= _PARTS_MAX or self._counted_rows >= len(self._key) // 2:
            self._settle()

    def flush(self) -> None:
        """Write out all that is held."""
        self._settle()

    def _settle(self) -> None:
        counted, self._counted, self._counted_rows = self._counted, [], 0
        waiting, self._waiting = self._waiting, 0
        if waiting:
            self._spill.write(self.name, self._tallied(waiting))
        if counted:
            self._spill.write(self.name, rowsets.grouped(rowsets.joined(counted), maxima=0))

    def _tallied(self, waiting: int) -> Rows:
        key = self._key[:waiting]
        if self._check is None or self._texts is None:
            key.sort()
            starts = _begins(key)
            return Rows(key[starts], None, _counts(starts, waiting), None)
        order, starts = rowsets.groups(key, self._check[:waiting])
        first = order[starts]
        return Rows(
            key.take(first),
            self._check.take(first),
            _counts(starts, waiting),
            self._texts.take(first),
        )


def _begins(key: Words) -> Ints:
    begins = np.empty(len(key), np.bool_)
    begins[0] = True
    np.not_equal(key[1:], key[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def _counts(starts: Ints, total: int) -> Words:
    return np.diff(starts, append=total).astype(U).reshape(-1, 1)
