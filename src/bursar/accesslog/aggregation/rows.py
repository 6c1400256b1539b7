"""
Rows of a table: keys, their counts, and their texts.

Keys are evenly distributed words. Rows with equal keys but different check words are different rows. If
the key encodes the value itself there is no check word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bursar.accesslog.parsing.byte_search import Ints, Mask, U, Words

Texts = NDArray[Any]
"""Texts of a fixed width (`V40`) or of any length (objects, each a `bytes`)."""

TextLookup = Callable[[Ints], Texts]
"""Returns the texts at some positions."""


@dataclass(frozen=True, slots=True)
class FixedWidthTexts:
    """Texts of a fixed width, stored as words of shape (words, texts) and converted on access."""

    words: Words

    def __call__(self, index: Ints) -> Texts:
        """Return the texts at some positions."""
        return pack_texts(self.words.take(index, 1).T)


def pack_texts(words: Words) -> Texts:
    """Convert words of shape (texts, words) to texts."""
    return np.ascontiguousarray(words).view(f"V{8 * words.shape[1]}").reshape(-1)


@dataclass(slots=True, eq=False)
class Rows:
    """Keys with their counts; *values* has shape (rows, measures)."""

    key: Words
    check: Words | None
    values: Words
    texts: Texts | None

    def __len__(self) -> int:
        return len(self.key)

    def take(self, index: Ints | Mask) -> Rows:
        """Return the rows at a mask or at positions."""
        at = np.flatnonzero(index) if index.dtype == np.bool_ else index
        return Rows(  # for texts `take` is four times as fast as indexing
            self.key.take(at),
            None if self.check is None else self.check.take(at),
            self.values.take(at, 0),
            None if self.texts is None else self.texts.take(at),
        )


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Concatenate one or more parts of a table."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    checks = [part.check for part in parts if part.check is not None]
    texts = [part.texts for part in parts if part.texts is not None]
    return Rows(
        np.concatenate([part.key for part in parts]),
        np.concatenate(checks) if first.check is not None else None,
        np.concatenate([part.values for part in parts]),
        np.concatenate(texts) if first.texts is not None else None,
    )


def group_by_key(rows: Rows, *, maxima: int) -> Rows:
    """Return one row per key, sorted by key; the last *maxima* values are maxima, the others sums."""
    order, starts = key_groups(rows.key, rows.check)
    if len(starts) == len(order):
        return rows.take(order)
    values = rows.values.take(order, 0)
    sums = values.shape[1] - maxima
    folded = np.empty((len(starts), values.shape[1]), np.uint64)
    np.add.reduceat(values[:, :sums], starts, axis=0, out=folded[:, :sums])
    if maxima:
        np.maximum.reduceat(values[:, sums:], starts, axis=0, out=folded[:, sums:])
    first = order[starts]
    return Rows(
        rows.key.take(first),
        None if rows.check is None else rows.check.take(first),
        folded,
        None if rows.texts is None else rows.texts.take(first),
    )


def key_groups(key: Words, check: Words | None) -> tuple[Ints, Ints]:
    """Return an order in which equal keys are adjacent, and the start of each key in it."""
    order, sorted_key = sort_order(key)
    begins = np.empty(len(key), np.bool_)
    begins[:1] = True
    np.not_equal(sorted_key[1:], sorted_key[:-1], out=begins[1:])
    if check is not None:
        sorted_check = check[order]
        differs = sorted_check[1:] != sorted_check[:-1]
        if (differs & ~begins[1:]).any():  # two texts with one key: order by both
            order = np.lexsort((check, key))
            sorted_key, sorted_check = key[order], check[order]
            differs = sorted_check[1:] != sorted_check[:-1]
            np.not_equal(sorted_key[1:], sorted_key[:-1], out=begins[1:])
        begins[1:] |= differs
    return order, np.flatnonzero(begins)


def sort_order(key: Words) -> tuple[Ints, Words]:
    """
    Return the sort order of *key*, evenly distributed words, and the sorted words.

    Sorting words is twice as fast as sorting positions, so positions replace the low bits of the words,
    which hardly ever decide the order.
    """
    bits = U(len(key).bit_length())
    order: Ints = np.sort(key >> bits << bits | np.arange(len(key), dtype=U)).view(np.int64)
    order &= (1 << int(bits)) - 1
    sorted_key = key[order]
    if (sorted_key[1:] < sorted_key[:-1]).any():
        order = np.argsort(key)
        sorted_key = key[order]
    return order, sorted_key
