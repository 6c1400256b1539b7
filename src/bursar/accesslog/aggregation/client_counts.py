"""
Counts by client address: exact for any number of them, each counted under its canonical text.

Keys are counted as they are written. Which of them are addresses, and canonical ones, is looked at when
each is left once (`canonical`): that is several times cheaper than to look at every batch.
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

#: The two tables: IPv4 by key, IPv6 by text.
V4, V6 = "address4", "address6"
#: More slots than that hold hardly more of what comes again, and are slower.
_SLOT_BITS_MAX = 17
#: How IPv6 texts are kept.
TEXT_BYTES = 8 * ip_addresses.V6_WORDS


class KeyCounter(Protocol):
    """What counts by key."""

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
        """Count *rows*, which have been counted before."""

    def flush(self) -> None:
        """Write out all that is held."""


class ClientCounter:
    """Counts in two tables by what may be an address; *checked* texts of one key are told apart."""

    def __init__(self, v4: KeyCounter, v6: KeyCounter, *, checked: bool = True) -> None:
        self._v4, self._v6, self._checked = v4, v6, checked

    def add(self, tokens: Tokens, values: Sequence[Measure]) -> None:
        """Count *values*, in the order of the tokens."""
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
        """Count *rows* of `V4` or `V6` that were counted before."""
        (self._v4 if table == V4 else self._v6).add_rows(rows)

    def flush(self) -> None:
        """Write out all that is held."""
        self._v4.flush()
        self._v6.flush()


def exact_counter(
    spill: Spill, *, measures: int = 1, maxima: int = 0, slot_bits: int = 16, rows_max: int
) -> ClientCounter:
    """
    Return what counts exactly: with one measure requests alone, far faster.

    *rows_max* is how many rows wait in memory for each table.
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
    Tell which of *rows* are addresses in their canonical texts.

    *move* is given, under its canonical text and with its table, what is another way to write one.
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
    """Return the table and the row of a canonical text."""
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


#: How the rows of each table sort: IPv4 by number, IPv6, behind them, by text.
SORT_COLUMNS = {V4: _v4_columns, V6: _v6_columns}
