"""
Exact counts by client address, each under its canonical text.

Keys are counted as written in the log. Whether a key is an address in canonical form is checked once per
distinct key at the end (`split_canonical`), which is several times faster than checking every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from bursar.accesslog.aggregation import hash_aggregate
from bursar.accesslog.aggregation import rows as rowsets
from bursar.accesslog.aggregation.hash_aggregate import HashAggregate, Measure, Shape
from bursar.accesslog.aggregation.request_counter import RequestCounter, SlotCounter
from bursar.accesslog.aggregation.rows import FixedWidthTexts, Rows
from bursar.accesslog.aggregation.spill import Spill
from bursar.accesslog.parsing import byte_search, ip_addresses
from bursar.accesslog.parsing.byte_search import Mask, Words
from bursar.accesslog.parsing.ip_addresses import Tokens

#: The two tables: IPv4 by number, IPv6 by text.
V4, V6 = "address4", "address6"
#: More slots catch hardly more recurring keys, and are slower.
_SLOT_BITS_MAX = 17
#: Width of an IPv6 text in bytes.
TEXT_BYTES = 8 * ip_addresses.V6_WORDS


class KeyCounter(Protocol):
    """A table that counts by key."""

    def add(
        self,
        key: Words,
        check: Words | None,
        values: Sequence[Measure],
        texts: FixedWidthTexts | None = None,
        /,
    ) -> None:
        """Count *values* for each key."""

    def add_rows(self, rows: Rows, /) -> None:
        """Add *rows* of earlier counts."""

    def flush(self) -> None:
        """Write all counts to the spill file."""


class ClientCounter:
    """Counts possible addresses in an IPv4 and an IPv6 table; *checked* distinguishes texts of equal keys."""

    def __init__(self, v4: KeyCounter, v6: KeyCounter, *, checked: bool = True) -> None:
        self._v4, self._v6, self._checked = v4, v6, checked

    def add(self, tokens: Tokens, values: Sequence[Measure]) -> None:
        """Count *values*, which are in the order of the tokens."""
        if len(tokens.v4):
            self._v4.add(
                tokens.v4, None, [hash_aggregate.select(value, tokens.is_v4) for value in values]
            )
        words = tokens.v6
        if not words.shape[1]:
            return
        key, check = byte_search.hash_words(words, checked=self._checked)
        chosen = [hash_aggregate.select(value, ~tokens.is_v4) for value in values]
        self._v6.add(key, check, chosen, FixedWidthTexts(words))

    def add_rows(self, table: str, rows: Rows) -> None:
        """Add *rows* of earlier counts to the table `V4` or `V6`."""
        (self._v4 if table == V4 else self._v6).add_rows(rows)

    def flush(self) -> None:
        """Write all counts to the spill file."""
        self._v4.flush()
        self._v6.flush()


def exact_counter(
    spill: Spill, *, measures: int = 1, maxima: int = 0, slot_bits: int = 16, rows_max: int
) -> ClientCounter:
    """
    Return an exact counter; with one measure it counts requests only, which is much faster.

    *rows_max* is the number of rows that may be pending in memory for each table.
    """
    if measures == 1:
        bits = min(rows_max.bit_length() - 1, _SLOT_BITS_MAX)
        v4 = SlotCounter(V4, spill, slot_bits=bits, rows_max=rows_max // 2)
        v6 = SlotCounter(
            V6, spill, slot_bits=bits - 1, rows_max=rows_max // 4, text_bytes=TEXT_BYTES
        )
        return ClientCounter(
            RequestCounter(v4, room=rows_max),
            RequestCounter(v6, room=rows_max // 2, text_bytes=TEXT_BYTES, checked=True),
        )
    plain = Shape(measures, maxima)
    texts = Shape(measures, maxima, checked=True, text=f"V{TEXT_BYTES}")
    return ClientCounter(
        HashAggregate(V4, plain, spill, slot_bits=slot_bits, rows_max=rows_max),
        HashAggregate(V6, texts, spill, slot_bits=slot_bits - 1, rows_max=rows_max // 2),
    )


def split_canonical(table: str, rows: Rows, move: Callable[[str, Rows], None]) -> Mask:
    """
    Return the mask of *rows* whose key is an address in canonical form.

    *move* is called with the table and the row, under its canonical text, of every other address.
    """
    if table == V4:
        return ip_addresses.v4_is_valid(rows.key)
    assert rows.texts is not None
    words = (
        np.ascontiguousarray(rows.texts).view(np.uint64).reshape(len(rows), ip_addresses.V6_WORDS)
    )
    sure = ip_addresses.is_surely_canonical(words)
    for index in np.flatnonzero(~sure).tolist():
        text = ip_addresses.v6_text(words[index])
        canonical_text = ip_addresses.canonical_address(text)
        if canonical_text == text:
            sure[index] = True
        elif canonical_text is not None:
            move(*_row(canonical_text, rows.values[index : index + 1].copy()))
    return sure


def _row(canonical_text: str, values: Words) -> tuple[str, Rows]:
    """Return the table and the row for a canonical text."""
    if ":" not in canonical_text:
        key = np.array([ip_addresses.v4_key(canonical_text)], np.uint64)
        return V4, Rows(key, None, values, None)
    words = ip_addresses.v6_words(canonical_text)
    key, check = byte_search.hash_words(words)
    return V6, Rows(key, check, values, rowsets.pack_texts(words.T))


def _v4_columns(rows: Rows) -> Sequence[Words]:
    return [ip_addresses.v4_numbers(rows.key)]


def _v6_columns(rows: Rows) -> Sequence[Words]:
    assert rows.texts is not None
    words = (
        np.ascontiguousarray(rows.texts).view(np.uint64).reshape(len(rows), ip_addresses.V6_WORDS)
    )
    return list(words.byteswap().T)


#: Sort order of each table: IPv4 by number, then IPv6 by text.
SORT_COLUMNS = {V4: _v4_columns, V6: _v6_columns}
