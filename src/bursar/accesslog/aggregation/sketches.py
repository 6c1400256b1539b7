"""
How many addresses there are, and which come most often, estimated in a few megabytes.

The number by HyperLogLog (P. Flajolet et al. 2007) with the estimator of O. Ertl, "New cardinality
estimation algorithms for HyperLogLog sketches" (2017, algorithm 6), which has no bias for small
numbers; the requests of an address by the summary of J. Misra and D. Gries (1982), which merges (P.
Agarwal et al., "Mergeable summaries", 2012).
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
#: Three standard errors: one estimate in 370 is further off.
ERROR_BOUND = 3 * 1.04 / math.sqrt(_REGISTERS)
#: Addresses of one kind whose requests are kept: one that has this share of all is among them.
_FREQUENT_MAX = 1 << 12
#: So many sets of rows wait until they are made one.
_PARTS_MAX = 4
#: So many first bits of a key choose a slot, which remembers by the next 32 who was seen there last: one
#: address in four billion is taken for another.
_RECENT_BITS = 18


class _FrequentRows:
    """The rows of one table that have most requests: each has at most *missed* more than it says."""

    def __init__(self) -> None:
        self._parts: list[Rows] = []
        self.undercount = 0

    def add(self, rows: Rows, undercount: int) -> None:
        """Take in what *rows*, each key once, leave of others: each has at most *missed* more."""
        self._parts.append(rows)
        self.undercount += undercount
        if len(self._parts) == _PARTS_MAX:
            self.rows()

    def rows(self) -> Rows:
        """Return what is kept, each key once; there must have been something."""
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
    """Return where the most are, at most `_KEPT`, and how many less each has to be."""
    if len(requests) <= _FREQUENT_MAX:
        return np.arange(len(requests)), 0
    least = requests.min()
    if np.count_nonzero(requests > least) > _FREQUENT_MAX:  # seldom: most come once in a batch
        least = np.partition(requests, -_FREQUENT_MAX - 1)[-_FREQUENT_MAX - 1]
    return np.flatnonzero(requests > least), int(least)


class AddressSketch:
    """Keeps the estimate alone of the rows that it is given."""

    def __init__(self) -> None:
        self._registers = np.zeros(_REGISTERS, np.uint8)
        self._frequent = {table: _FrequentRows() for table in client_counts.SORT_COLUMNS}
        self._recent = {
            table: np.zeros(1 << _RECENT_BITS, np.uint32) for table in client_counts.SORT_COLUMNS
        }
        self.requests = 0

    def add_rows(self, table: str, rows: Rows) -> None:
        """Take *rows* in, as `add`."""
        texts = rows.texts
        self.add(table, rows.key, rows.values[:, 0], None if texts is None else texts.take)

    def add(self, table: str, key: Words, requests: Words, texts: TextLookup | None) -> None:
        """
        Take keys in, each once, addresses or not; *texts* is asked for those of a few.

        What looks like an IPv4 address is asked whether it is one only where it would tell, and its
        requests count.
        """
        self._update_registers(table, key, requests, texts)
        index, less = _most_frequent(requests)
        values = (requests[index] - U(less)).reshape(-1, 1)
        self._frequent[table].add(Rows(key[index], None, values, texts and texts(index)), less)

    def _update_registers(
        self, table: str, key: Words, requests: Words, texts: TextLookup | None
    ) -> None:
        """Have the registers know of what was not seen of late, if it is an address."""
        place = key >> U(32 - _RECENT_BITS)
        slot, tag = (place >> U(32)).view(np.int64), place.astype(np.uint32)
        is_recent = self._recent[table][slot] == tag
        new = np.flatnonzero(~is_recent)
        if texts is not None and len(new):  # another way to write an address would tell of it twice
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
        """Take in what a sketch of a process of the same secrets has seen."""
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
        """Return the first by requests, as `client_counts.SORT_COLUMNS`, and at most how many they have."""
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
    """Takes what a `Tally` has counted for one table of a sketch."""

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
    """Return what counts for *sketch*; *rows_max* is how many keys wait in memory for each table."""
    v4, v6 = _SketchSink(sketch, client_counts.V4), _SketchSink(sketch, client_counts.V6)
    # No check words: that two texts have one key is nothing beside the error of the estimate.
    return ClientCounter(
        RequestCounter(v4, room=rows_max),
        RequestCounter(v6, room=rows_max // 2, text_bytes=client_counts.TEXT_BYTES),
        checked=False,
    )


def _ranks(word: Words) -> NDArray[np.uint8]:
    """Return for each word which of its last `_REST_BITS` bits is the first that is set, from 1 on."""
    # A float tells in its exponent where the first bit of a whole number is; below 2^53 it is exact.
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
