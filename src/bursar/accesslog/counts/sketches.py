"""
How many addresses there are, and which come most often, estimated in a few megabytes.

The number by HyperLogLog (P. Flajolet et al. 2007) with the estimator of O. Ertl, "New cardinality
estimation algorithms for HyperLogLog sketches" (2017, algorithm 6), which has no bias for small
numbers; the requests of an address by a count-min sketch (G. Cormode, S. Muthukrishnan 2005),
which never tells too few.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
from numpy.typing import NDArray

from bursar.accesslog.counts import clients
from bursar.accesslog.counts.rows import Rows
from bursar.accesslog.lines import scanning
from bursar.accesslog.lines.scanning import SECRETS, Ints, U, Words

_BITS = 16
_REGISTERS = 1 << _BITS
_REST_BITS = 64 - _BITS
_ROWS, _COLUMN_BITS = 2, 17
#: Three standard errors: one estimate in 370 is further off.
ERROR_BOUND = 3 * 1.04 / math.sqrt(_REGISTERS)
#: Addresses that may be among the first; of each batch as many compete.
_CANDIDATES = 512


class Sketch:
    """Takes rows in the place of a `Spill`, and keeps their estimate alone."""

    def __init__(self) -> None:
        self._registers = np.zeros(_REGISTERS, np.uint8)
        self._counts = np.zeros((_ROWS, 1 << _COLUMN_BITS), U)
        self._candidates: dict[bytes, int] = {}
        self.requests = 0

    def write(self, table: str, rows: Rows) -> None:
        """Take *rows* of addresses, each once."""
        word = scanning.mixed(rows.key ^ SECRETS[2])
        register, rank = (word >> U(_REST_BITS)).view(np.int64), _ranks(word)
        higher = np.flatnonzero(rank > self._registers[register])  # few, after the first
        np.maximum.at(self._registers, register[higher], rank[higher])
        counts = np.ascontiguousarray(rows.values[:, 0])
        self.requests += int(counts.sum())
        told = np.full(len(rows), np.iinfo(np.uint64).max, U)
        for number, column in enumerate(self._cells(word)):
            np.add.at(self._counts[number], column, counts)
            np.minimum(told, self._counts[number][column], out=told)
        first = (
            np.argpartition(told, -_CANDIDATES)[-_CANDIDATES:]
            if len(rows) > _CANDIDATES
            else slice(None)
        )
        columns = np.stack([*clients.COLUMNS[table](rows.take(first))], axis=1).byteswap()
        for row, count in zip(columns, told[first].tolist(), strict=True):
            self._candidates[row.tobytes()] = count
        self._prune()

    @staticmethod
    def _cells(word: Words) -> list[Ints]:
        other = scanning.mixed(word ^ SECRETS[3])
        mask = U((1 << _COLUMN_BITS) - 1)
        return [
            ((other >> U(_COLUMN_BITS * number)) & mask).view(np.int64) for number in range(_ROWS)
        ]

    def _prune(self) -> None:
        if len(self._candidates) > 8 * _CANDIDATES:
            kept = heapq.nlargest(2 * _CANDIDATES, self._candidates.items(), key=lambda one: one[1])
            self._candidates = dict(kept)

    def merge(self, other: Sketch) -> None:
        """Take in what a sketch of a process of the same secrets has seen."""
        np.maximum(self._registers, other._registers, out=self._registers)
        self._counts += other._counts
        self.requests += other.requests
        for text, count in other._candidates.items():
            self._candidates[text] = self._candidates.get(text, 0) + count

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
        return heapq.nsmallest(count, self._candidates.items(), key=lambda one: (-one[1], one[0]))


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
