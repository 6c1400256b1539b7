"""Locate the fields of all lines of a block at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bursar.accesslog.parsing import byte_search
from bursar.accesslog.parsing.blocks import Block
from bursar.accesslog.parsing.byte_search import Bytes, Ints, Mask
from bursar.accesslog.parsing.formats import LogFormat

_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_INDEXED_BYTES = frozenset(b'"?')
#: After this many more steps of 16 bytes, the remaining lines are searched one by one, or, if they are more
#: than one in `_FAR_SHARE`, with an index of the complete block.
_STEPS, _FAR_SHARE = 5, 16

Span = tuple[Ints, Ints]
"""Starts and ends of texts in the block's buffer."""


class FieldColumns(NamedTuple):
    """
    The fields of a block's lines; they are undefined for lines that are not *good*.

    *has_client* marks lines that match the format up to the text after the client.
    """

    good: Mask
    has_client: Mask
    spans: Mapping[str, Span]


class Finder:
    """
    Finds bytes in a block.

    Rare bytes, and quotes, which may be escaped, are indexed once for the complete block. Other bytes
    are mostly near the start of the search, and there are so many spaces that indexing them would take
    longer than everything else.
    """

    def __init__(self, block: Block) -> None:
        begin, end = block.extent
        self._origin = begin - begin % 8
        self._stop = self._origin - (self._origin - end) // 8 * 8
        self._raw, self._bytes = block.raw, block.bytes[self._origin : self._stop]
        self._nowhere = len(block.bytes)
        self._indexes: dict[int, Ints] = {}

    def find_first(self, at: Ints, byte: int) -> Ints:
        """
        Return for each position the first *byte* at or after it; escaped quotes are ignored.

        If there is none, the result is after the end of every line.
        """
        at = np.minimum(at, self._stop)  # it may come from an earlier search without a match
        if byte in _INDEXED_BYTES:
            return self._find_in_index(at, byte)
        matches, is_there = self._find_near(at, byte)
        away = np.flatnonzero(~is_there)
        for _ in range(_STEPS):
            if not len(away):
                return matches
            matches[away], is_there = self._find_near(np.minimum(matches[away], self._stop), byte)
            away = away[~is_there]
        if len(away) * _FAR_SHARE > len(at):
            matches[away] = self._find_in_index(at[away], byte)
        else:
            far = [self._raw.find(byte, one, self._stop) for one in at[away].tolist()]
            matches[away] = [one if one >= 0 else self._nowhere for one in far]
        return matches

    def _find_near(self, at: Ints, byte: int) -> tuple[Ints, Mask]:
        """Search 16 bytes: return the position of *byte*, or that after them, and whether it was found."""
        words = byte_search.words_at(self._raw, at, 2)
        equal = byte_search.zero_bytes(words ^ byte_search.repeat_byte(byte))
        low = equal[:, 0]
        in_low = low != 0
        lowest = np.where(in_low, low, equal[:, 1])
        offset = np.where(in_low, 0, 8) + byte_search.lowest_byte(lowest)
        return at + offset, lowest != 0

    def _find_in_index(self, at: Ints, byte: int) -> Ints:
        positions = self._positions(byte)
        return positions[np.searchsorted(positions, at)]

    def _positions(self, byte: int) -> Ints:
        if byte not in self._indexes:
            positions = byte_search.positions(self._bytes, byte)
            if byte == _QUOTE:
                positions = _unescaped(self._bytes, positions)
            self._indexes[byte] = np.append(positions + self._origin, self._nowhere)
        return self._indexes[byte]


def _unescaped(data: Bytes, quotes: Ints) -> Ints:
    """Remove quotes that follow an odd number of backslashes."""
    behind = np.flatnonzero(data[np.maximum(quotes - 1, 0)] == _BACKSLASH)
    escaped = []
    for number in behind.tolist():
        at = first = int(quotes[number])
        while at and data[at - 1] == _BACKSLASH:
            at -= 1
        if (first - at) % 2:
            escaped.append(number)
    return np.delete(quotes, escaped) if escaped else quotes


def find_columns(block: Block, log_format: LogFormat, finder: Finder) -> FieldColumns:
    """Return the fields of *log_format* in the lines of *block*."""
    cursor, ends = block.starts, block.ends
    good = _matches(block.bytes, cursor, log_format.prefix) & (
        cursor + len(log_format.prefix) <= ends
    )
    cursor = cursor + len(log_format.prefix)
    has_client, spans, begin = good, {}, cursor
    for field, literal in log_format.steps:
        at = finder.find_first(cursor, literal[0]) if literal else ends
        after = at + len(literal)
        good = good & (after <= ends) & (cursor <= at)
        at = np.where(good, at, cursor)
        good &= _matches(block.bytes, at, literal)
        if field:
            spans[field] = cursor, at
        if field == "client":
            has_client = good
        begin, cursor = cursor, np.where(good, after, cursor)
    good = good & (cursor == ends)
    if (blank := log_format.forbidden_in_last) is not None:
        good &= finder.find_first(begin, blank) >= ends
    return FieldColumns(good, has_client, spans)


def _matches(data: Bytes, at: Ints, literal: bytes) -> Mask:
    same = np.ones(len(at), np.bool_)
    for offset, byte in enumerate(literal):
        same &= data[at + offset] == byte
    return same
