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

import numpy as np
from numpy.typing import NDArray

from bursar.accesslog.counts import addresses, clients
from bursar.accesslog.counts import rows as rowsets
from bursar.accesslog.counts.rows import Rows
from bursar.accesslog.lines import scanning
from bursar.accesslog.lines.scanning import SECRETS, Mask, U, Words

_BITS = 16
_REGISTERS = 1 << _BITS
_REST_BITS = 64 - _BITS
#: Three standard errors: one estimate in 370 is further off.
ERROR_BOUND = 3 * 1.04 / math.sqrt(_REGISTERS)
#: Addresses of one kind whose requests are kept: one that has this share of all is among them.
_KEPT = 1 << 12
#: So many sets of rows wait until they are made one.
_PARTS_MAX = 8
#: IPv6 addresses that were found to be written canonically, by the first bits of their keys.
_SURE_BITS = 16


class _Frequent:
    """The rows of one table that have most requests: each has at most *missed* more than it says."""

    def __init__(self) -> None:
        self._parts: list[Rows] = []
        self.missed = 0

    def add(self, rows: Rows) -> None:
        """Take *rows* in, each key once."""
        self._parts.append(self._fewer(rows))
        if len(self._parts) == _PARTS_MAX:
            self._parts = [self.rows()]

    def rows(self) -> Rows:
        """Return what is kept, each key once; there must have been something."""
        if len(self._parts) > 1:
            self._parts = [self._fewer(rowsets.grouped(rowsets.joined(self._parts), maxima=0))]
        return self._parts[0]

    def __bool__(self) -> bool:
        return bool(self._parts)

    def _fewer(self, rows: Rows) -> Rows:
        if len(rows) <= _KEPT:
            return rows
        requests = rows.values[:, 0]
        least = requests.min()
        if np.count_nonzero(requests > least) > _KEPT:  # seldom: most come once in a batch
            least = np.partition(requests, -_KEPT - 1)[-_KEPT - 1]
        self.missed += int(least)
        kept = rows.take(requests > least)
        kept.values -= least
        return kept


class Sketch:
    """Takes rows in the place of a `Spill`, and keeps their estimate alone."""

    def __init__(self) -> None:
        self._registers = np.zeros(_REGISTERS, np.uint8)
        self._frequent = {table: _Frequent() for table in clients.COLUMNS}
        self._sure = np.zeros(1 << _SURE_BITS, U)
        self.requests = 0

    def write(self, table: str, rows: Rows) -> None:
        """
        Take *rows*, each once, addresses or not.

        What looks like an IPv4 address is asked whether it is one only where it would tell, and its
        requests count.
        """
        requests, sure = rows.values[:, 0], None
        if table == clients.V6:  # another way to write an address would tell of it twice
            sure = self._canonical(rows)
            requests = requests[sure]
        word = scanning.mixed(rows.key ^ SECRETS[2])
        register, rank = (word >> U(_REST_BITS)).view(np.int64), _ranks(word)
        higher = np.flatnonzero(rank > self._registers[register])  # few, after the first
        higher = higher[addresses.v4_is_valid(rows.key[higher]) if sure is None else sure[higher]]
        np.maximum.at(self._registers, register[higher], rank[higher])
        self.requests += int(requests.sum())
        self._frequent[table].add(rows)

    def _canonical(self, rows: Rows) -> Mask:
        """Tell which of *rows* are canonical IPv6 addresses, looking only at what was not seen of late."""
        slot = (rows.key >> U(64 - _SURE_BITS)).view(np.int64)
        sure: Mask = self._sure[slot] == rows.key
        unknown = np.flatnonzero(~sure)
        if len(unknown):
            found = unknown[clients.canonical(clients.V6, rows.take(unknown), self.write)]
            sure[found] = True
            self._sure[slot[found]] = rows.key[found]
        return sure

    def merge(self, other: Sketch) -> None:
        """Take in what a sketch of a process of the same secrets has seen."""
        np.maximum(self._registers, other._registers, out=self._registers)
        self.requests += other.requests
        for table, frequent in other._frequent.items():
            if frequent:
                self._frequent[table].add(frequent.rows())
                self._frequent[table].missed += frequent.missed

    def distinct(self) -> int:
        """Estimate how many addresses there are, within `ERROR_BOUND`."""
        counts = np.bincount(self._registers, minlength=_REST_BITS + 2).tolist()
        total = _REGISTERS * _tau(1 - counts[_REST_BITS + 1] / _REGISTERS)
        for count in reversed(counts[1 : _REST_BITS + 1]):
            total = 0.5 * (total + count)
        total += _REGISTERS * _sigma(counts[0] / _REGISTERS)
        return round(_REGISTERS * _REGISTERS / (2 * math.log(2) * total))

    def leaders(self, count: int) -> list[tuple[bytes, int]]:
        """Return the first by requests, as `clients.COLUMNS`, and at most how many they have."""
        found: list[tuple[bytes, int]] = []
        for table, frequent in self._frequent.items():
            if frequent:
                rows = frequent.rows()
                rows = rows.take(clients.canonical(table, rows, lambda *_: None))  # moved before
                columns = np.stack(clients.COLUMNS[table](rows), axis=1).byteswap()
                requests = (rows.values[:, 0] + U(frequent.missed)).tolist()
                found += zip((row.tobytes() for row in columns), requests, strict=True)
        return heapq.nsmallest(count, found, key=lambda one: (-one[1], one[0]))


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
