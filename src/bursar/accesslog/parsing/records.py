"""The parsed fields of a block's lines, computed on first access."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bursar.accesslog.parsing import byte_search, field_parsers
from bursar.accesslog.parsing.blocks import Block
from bursar.accesslog.parsing.byte_search import Ints, Mask, U, Words
from bursar.accesslog.parsing.columns import FieldColumns, Finder, Span

Texts = NDArray[Any]
Hashes = tuple[Words, Words]
#: The counts of each key: sums, and one maximum at the end.
MEASURES = ("requests", "bytes", "client_errors", "server_errors", "micros", "micros_max")
MAXIMA = 1
#: Longer texts are truncated to this length.
TEXT_BYTES_MAX = 1024
ZERO = U(0)
_POST = U(int.from_bytes(b"POST", "little"))
_FOUR_BYTES = U(0xFFFFFFFF)


class Records:
    """The parsed fields of a block's lines, computed on first access."""

    def __init__(self, block: Block, field_columns: FieldColumns, finder: Finder) -> None:
        self.block, self.finder = block, finder
        self.good, self.has_client, self.spans = field_columns

    @functools.cached_property
    def epochs(self) -> Ints | None:
        """Return the times in epoch seconds, None if the log has no times."""
        return field_parsers.parse_epochs(self.block, self.spans, self.finder)

    @property
    def times(self) -> Ints:
        """Return the times in epoch seconds, `field_parsers.NO_TIME` for lines without."""
        return (
            self.epochs
            if self.epochs is not None
            else np.full(len(self.good), field_parsers.NO_TIME)
        )

    @functools.cached_property
    def hours(self) -> Ints:
        """Return hours since 1970, -1 for lines without a time."""
        return np.where(self.times >= 0, self.times // 3600, -1)

    @functools.cached_property
    def statuses(self) -> Ints:
        """Return the statuses, -1 if invalid."""
        if "status" not in self.spans:
            return np.full(len(self.good), -1)
        starts, ends = self.spans["status"]
        parsed = field_parsers.parse_integers(self.block, (starts, ends), default=-1)
        return np.where(ends - starts == 3, parsed, -1)

    @functools.cached_property
    def measures(self) -> list[Words | np.uint64]:
        """The columns of `MEASURES`; a single number if it is the same for all lines."""
        hundreds = self.statuses // 100
        micros = field_parsers.parse_durations(self.block, self.spans, self.finder)
        took = ZERO if micros is None else micros.astype(U)
        sizes: Words | np.uint64 = ZERO
        if "bytes" in self.spans:
            parsed = field_parsers.parse_integers(self.block, self.spans["bytes"], default=0)
            sizes = parsed.astype(U)
        return [U(1), sizes, (hundreds == 4).astype(U), (hundreds == 5).astype(U), took, took]

    @functools.cached_property
    def _request(self) -> field_parsers.RequestSpans | None:
        if "request" not in self.spans:
            return None
        return field_parsers.parse_requests(self.block, self.spans["request"], self.finder)

    @functools.cached_property
    def path(self) -> Span | None:
        """Return the span of the paths without queries."""
        span = self._request.path if self._request else self.spans.get("path")
        return field_parsers.parse_paths(self.block, span, self.finder) if span else None

    @property
    def method(self) -> Span | None:
        """Return the span of the methods."""
        return self._request.method if self._request else self.spans.get("method")

    @functools.cached_property
    def is_post(self) -> Mask:
        """Return the mask of POST requests."""
        if self.method is None:
            return np.zeros(len(self.good), np.bool_)
        starts, ends = self.method
        word = byte_search.words_at(self.block.raw, starts, 1)[:, 0] & _FOUR_BYTES
        is_post: Mask = (word == _POST) & (ends - starts == 4)
        return is_post

    def span_of(self, name: str) -> Span | None:
        """Return the span of a field, None if the log does not have it."""
        if name == "method":
            return self.method
        return self.path if name == "path" else self.spans.get(name)

    def texts(self, span: Span) -> list[bytes]:
        """Return the texts of a span for all lines."""
        return list(self.texts_of(span, slice(None)))

    def texts_of(self, span: Span, index: Any, positions: Any = slice(None)) -> Texts:
        """Return the texts of a span: of the lines *index*, those at *positions*."""
        return texts_at(self.block.raw, *_bounded(span, index), positions)

    def hashes(self, span: Span, index: Ints) -> Hashes:
        """Return `byte_search.hash_texts` of a span for the lines *index*."""
        return byte_search.hash_texts(self.block.raw, *_bounded(span, index))


def _bounded(span: Span, index: Any) -> Span:
    starts, ends = span[0][index], span[1][index]
    return starts, np.minimum(ends, starts + TEXT_BYTES_MAX)


def texts_at(raw: bytearray, starts: Ints, ends: Ints, positions: Any) -> Texts:
    """Return the texts at some positions."""
    return object_array(
        [
            bytes(raw[start:end])
            for start, end in zip(starts[positions].tolist(), ends[positions].tolist(), strict=True)
        ]
    )


def object_array(texts: Sequence[bytes]) -> Texts:
    """Return an object array of texts of any length."""
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def to_buffer(texts: Sequence[bytes]) -> tuple[bytearray, Ints, Ints]:
    """Return a buffer with *texts* and `byte_search.SLACK`, and the starts and ends of the texts."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = byte_search.SLACK + np.cumsum(lengths)
    slack = bytes(byte_search.SLACK)
    return bytearray(b"".join([slack, *texts, slack])), ends - lengths, ends
