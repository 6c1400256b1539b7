"""
Estimate the number of addresses and the most frequent ones in a few megabytes.

The number is estimated by HyperLogLog (P. Flajolet et al. 2007) with the estimator of O. Ertl, "New
cardinality estimation algorithms for HyperLogLog sketches" (2017, algorithm 6), which has no bias for
small numbers; the requests per address by the summary of J. Misra and D. Gries (1982), which is mergeable
(P. Agarwal et al., "Mergeable summaries", 2012).
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bursar.accesslog.aggregation import client_counts
from bursar.accesslog.aggregation import rows as rowsets
from bursar.accesslog.aggregation.client_counts import ClientCounter
from bursar.accesslog.aggregation.request_counter import RequestCounter
from bursar.accesslog.aggregation.rows import Rows, TextLookup
from bursar.accesslog.parsing import byte_search, ip_addresses
from bursar.accesslog.parsing.byte_search import SECRETS, Ints, U, Words

_BITS = 16
_REGISTERS = 1 << _BITS
_REST_BITS = 64 - _BITS
#: Three standard errors: one estimate in 370 has a larger error.
ERROR_BOUND = 3 * 1.04 / math.sqrt(_REGISTERS)
#: Addresses of one table whose requests are stored; one with more than this fraction of all is among them.
_FREQUENT_MAX = 1 << 12
#: Number of pending sets of rows that are merged into one.
_PARTS_MAX = 4
#: The first bits of a key choose a slot, which stores the next 32 bits of its last key: one address in
#: four billion is mistaken for another.
_RECENT_BITS = 18


class _FrequentRows:
    """The most frequent rows of one table; each has at most *undercount* more requests than stored."""

    def __init__(self) -> None:
        self._parts: list[Rows] = []
        self.undercount = 0

    def add(self, rows: Rows, undercount: int) -> None:
        """Add *rows* with distinct keys, each of which has at most *undercount* more requests."""
        self._parts.append(rows)
        self.undercount += undercount
        if len(self._parts) == _PARTS_MAX:
            self.rows()

    def rows(self) -> Rows:
        """Return the stored rows with distinct keys; at least one set must have been added."""
        if len(self._parts) > 1:
            rows = rowsets.group_by_key(rowsets.concatenate(self._parts), maxima=0)
            index, less = _most_frequent(rows.values[:, 0])
            rows = rows.take(index)
            rows.values -= U(less)
            self._parts = [rows]
            self.undercount += less
        return self._parts[0]

    def __bool__(self) -> bool:
        return bool(self._parts)


def _most_frequent(requests: Words) -> tuple[Ints, int]:
    """Return the positions of at most `_FREQUENT_MAX` largest counts, and the number to subtract from each."""
    if len(requests) <= _FREQUENT_MAX:
        return np.arange(len(requests)), 0
    least = requests.min()
    if np.count_nonzero(requests > least) > _FREQUENT_MAX:  # rare: most keys occur once in a batch
        least = np.partition(requests, -_FREQUENT_MAX - 1)[-_FREQUENT_MAX - 1]
    return np.flatnonzero(requests > least), int(least)


class AddressSketch:
    """Estimates the number of distinct addresses and the most frequent ones."""

    def __init__(self) -> None:
        self._registers = np.zeros(_REGISTERS, np.uint8)
        self._frequent = {table: _FrequentRows() for table in client_counts.SORT_COLUMNS}
        self._recent = {
            table: np.zeros(1 << _RECENT_BITS, np.uint32) for table in client_counts.SORT_COLUMNS
        }
        self.requests = 0

    def add_rows(self, table: str, rows: Rows) -> None:
        """Add *rows* as `add` does."""
        texts = rows.texts
        self.add(table, rows.key, rows.values[:, 0], None if texts is None else texts.take)

    def add(self, table: str, key: Words, requests: Words, texts: TextLookup | None) -> None:
        """
        Add distinct keys, addresses or not; *texts* returns the texts at some positions.

        Keys that look like IPv4 are validated only where they would change the estimate; their requests
        count in any case.
        """
        self._update_registers(table, key, requests, texts)
        index, less = _most_frequent(requests)
        values = (requests[index] - U(less)).reshape(-1, 1)
        self._frequent[table].add(Rows(key[index], None, values, texts and texts(index)), less)

    def _update_registers(
        self, table: str, key: Words, requests: Words, texts: TextLookup | None
    ) -> None:
        """Update the registers with the addresses that are not among the recent keys."""
        place = key >> U(32 - _RECENT_BITS)
        slot, tag = (place >> U(32)).view(np.int64), place.astype(np.uint32)
        is_recent = self._recent[table][slot] == tag
        new = np.flatnonzero(~is_recent)
        if texts is not None and len(new):  # another spelling of an address would count twice
            rows = Rows(key[new], None, requests[new].reshape(-1, 1), texts(new))
            new = new[client_counts.split_canonical(table, rows, self.add_rows)]
            is_recent[new] = True
            requests = requests[is_recent]
        self.requests += int(requests.sum())
        self._recent[table][slot[new]] = tag[new]
        key = key[new]
        word = byte_search.mix_bits(key ^ SECRETS[2])
        register, rank = (word >> U(_REST_BITS)).view(np.int64), _ranks(word)
        higher = np.flatnonzero(rank > self._registers[register])  # few, after the first
        if table == client_counts.V4:
            higher = higher[ip_addresses.v4_is_valid(key[higher])]
        np.maximum.at(self._registers, register[higher], rank[higher])

    def merge(self, other: AddressSketch) -> None:
        """Merge the sketch of a process with the same secrets."""
        np.maximum(self._registers, other._registers, out=self._registers)
        self.requests += other.requests
        for table, frequent in other._frequent.items():
            if frequent:
                self._frequent[table].add(frequent.rows(), frequent.undercount)

    def distinct(self) -> int:
        """Estimate how many addresses there are, within `ERROR_BOUND`."""
        counts = np.bincount(self._registers, minlength=_REST_BITS + 2).tolist()
        total = _REGISTERS * _tau(1 - counts[_REST_BITS + 1] / _REGISTERS)
        for count in reversed(counts[1 : _REST_BITS + 1]):
            total = 0.5 * (total + count)
        total += _REGISTERS * _sigma(counts[0] / _REGISTERS)
        return round(_REGISTERS * _REGISTERS / (2 * math.log(2) * total))

    def top(self, count: int) -> list[tuple[bytes, int]]:
        """Return sort columns and maximum requests of the *count* most frequent addresses."""
        candidates: list[tuple[bytes, int]] = []
        for table, frequent in self._frequent.items():
            if frequent:
                rows = frequent.rows()
                rows = rows.take(
                    client_counts.split_canonical(table, rows, lambda *_: None)
                )  # moved before
                columns = np.stack(client_counts.SORT_COLUMNS[table](rows), axis=1).byteswap()
                requests = (rows.values[:, 0] + U(frequent.undercount)).tolist()
                candidates += zip((row.tobytes() for row in columns), requests, strict=True)
        return heapq.nsmallest(count, candidates, key=lambda one: (-one[1], one[0]))


@dataclass(frozen=True, slots=True)
class _SketchSink:
    """Sink of a `RequestCounter` for one table of a sketch."""

    sketch: AddressSketch
    table: str

    def add_counts(
        self, key: Words, _: Words | None, requests: Words, texts: TextLookup | None
    ) -> None:
        self.sketch.add(self.table, key, requests, texts)

    def add_rows(self, rows: Rows) -> None:
        self.sketch.add_rows(self.table, rows)

    def flush(self) -> None:
        pass


def sketch_counter(sketch: AddressSketch, *, rows_max: int) -> ClientCounter:
    """Return a counter that feeds *sketch*; *rows_max* keys are collected in memory for each table."""
    v4, v6 = _SketchSink(sketch, client_counts.V4), _SketchSink(sketch, client_counts.V6)
    # No check words: key collisions are negligible compared with the error of the estimate.
    return ClientCounter(
        RequestCounter(v4, room=rows_max),
        RequestCounter(v6, room=rows_max // 2, text_bytes=client_counts.TEXT_BYTES),
        checked=False,
    )


def _ranks(word: Words) -> NDArray[np.uint8]:
    """Return the position, from 1 on, of the first bit that is set among the last `_REST_BITS` of each word."""
    # The exponent of a float is the position of the highest bit of an integer; exact below 2^53.
    rest = (word & U((1 << _REST_BITS) - 1)) << U(1) | U(1)
    exponent = (rest.astype(np.float64).view(U) >> U(52)) - U(1023)
    return (U(_REST_BITS + 1) - exponent).astype(np.uint8)


def _sigma(share: float) -> float:
    if share == 1:
        return math.inf
    power, total, before = 1.0, share, -1.0
    while total != before:
        share, before = share * share, total
        total += share * power
        power += power
    return total


def _tau(share: float) -> float:
    if share in (0, 1):
        return 0.0
    power, total, before = 1.0, 1 - share, -1.0
    while total != before:
        share, before = math.sqrt(share), total
        power *= 0.5
        total -= (1 - share) ** 2 * power
    return total / 3
