"""Read a byte stream as blocks of complete lines in one reused buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from bursar.accesslog.parsing import byte_search
from bursar.accesslog.parsing.byte_search import SLACK, Bytes, Ints
from bursar.accesslog.parsing.decompression import ByteStream

#: Size of one read; the speed hardly depends on it.
BLOCK_BYTES = 1 << 20
#: A longer line is counted as too long and not parsed.
LINE_BYTES_MAX = 1 << 16
_NEWLINE, _RETURN = 10, 13


@dataclass(slots=True, eq=False)
class Block:
    """
    Complete lines in a buffer: line i is `raw[starts[i]:ends[i]]`, without its line end (LF or CRLF).

    A block is valid until the next one is read.
    """

    raw: bytearray
    bytes: Bytes
    """The same memory as an array."""

    starts: Ints
    breaks: Ints
    """Position of each line's LF."""

    extent: tuple[int, int]
    """Start and end of the lines in the buffer."""

    @property
    def ends(self) -> Ints:
        """End of each line; computed on each access, as counting addresses does not need it."""
        ends: Ints = self.breaks - (self.bytes[self.breaks - 1] == _RETURN)
        np.maximum(ends, self.starts, out=ends)
        return ends


class Blocks(Iterator[Block]):
    """
    Iterator over the lines of *stream* that start in [begin, end), one block at a time.

    *begin* and *end* are offsets in the stream. The stream must be positioned at `begin - 1` (or at 0 if
    *begin* is 0), because the byte before shows whether a line starts at *begin*. Without *end* the stream
    is read to its end. With *tail* the last line may lack its line end; otherwise it is not returned, as
    it may still be written. Memory is one buffer, however long a line is.

    Attributes: *offset* is the start of the next line, *too_long* counts lines above `LINE_BYTES_MAX`.
    In a `with` block the stream is always closed.
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        begin: int = 0,
        end: int | None = None,
        tail: bool = True,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._stream, self._end, self._tail = stream, end, tail
        room = block_bytes + LINE_BYTES_MAX + 2
        self._raw = bytearray(SLACK + room + SLACK + -(room % -8))
        self._bytes = np.frombuffer(self._raw, np.uint8)
        self._view = memoryview(self._raw)
        self._block_bytes = block_bytes
        self._carried = 0  # bytes of an incomplete line at the start of the buffer
        self._rest = (SLACK, SLACK)  # their position after the last block
        self._skipping = begin > 0  # inside a line of the previous piece, or one that is too long
        self._read_at = max(begin - 1, 0)
        self._at_end = False
        self.offset = begin
        self.too_long = 0

    def __enter__(self) -> Blocks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream; the iterator is then exhausted."""
        self._at_end = True
        self._stream.close()

    def __next__(self) -> Block:
        while not self._at_end:
            self._carry_forward()
            count = self._read()
            if not count:
                self._at_end = True
                if self._skipping:
                    self.offset = self._read_at  # it need not be read again
                elif self._carried and self._tail:
                    self._raw[SLACK + self._carried] = _NEWLINE
                    block = self._split_lines(self._carried + 1, last=True)
                    if block is not None:
                        return block
                break
            block = self._split_lines(self._carried + count)
            if block is not None:
                return block
        raise StopIteration

    def _read(self) -> int:
        """Read after the carried bytes: a block, or less at the end of the range."""
        wanted = self._block_bytes
        if self._end is not None:
            if self.offset >= self._end or (self._skipping and self._read_at >= self._end):
                return 0
            # After the range only the rest of one line is needed.
            wanted = min(wanted, max(self._end - self._read_at, LINE_BYTES_MAX))
        at = SLACK + self._carried
        count = self._stream.readinto(self._view[at : at + wanted])
        self._read_at += count
        return count

    def _split_lines(self, filled: int, *, last: bool = False) -> Block | None:
        """Return a block of the complete lines in *filled* bytes; the rest is carried forward."""
        stop = SLACK + filled
        padded = -(-filled // 8) * 8
        self._bytes[stop : SLACK + padded] = 0
        breaks = byte_search.positions(self._bytes[SLACK : SLACK + padded], _NEWLINE) + SLACK
        if not len(breaks):
            self._rest = (SLACK, stop)
            return None
        starts = np.empty_like(breaks)
        starts[0] = SLACK
        np.add(breaks[:-1], 1, out=starts[1:])
        first = 1 if self._skipping else 0
        self._skipping = False
        after = int(breaks[-1]) + 1
        # The stream's offset of the buffer's first byte:
        origin = self._read_at - (filled - int(last)) - SLACK
        if self._end is not None and origin + after >= self._end:
            ours = int(np.searchsorted(starts, self._end - origin))
            starts, breaks = starts[:ours], breaks[:ours]
            self._at_end = True
        starts, breaks = starts[first:], breaks[first:]
        self.offset = origin + after - int(last)
        self._rest = (after, stop)
        return self._block(starts, breaks)

    def _block(self, starts: Ints, breaks: Ints) -> Block | None:
        if not len(starts):
            return None
        extent = int(starts[0]), int(breaks[-1])
        if extent[1] - extent[0] > LINE_BYTES_MAX and (breaks - starts).max() > LINE_BYTES_MAX:
            fit = breaks - starts <= LINE_BYTES_MAX
            self.too_long += int(len(fit) - fit.sum())
            starts, breaks = starts[fit], breaks[fit]
        return Block(self._raw, self._bytes, starts, breaks, extent)

    def _carry_forward(self) -> None:
        """Move the incomplete line to the start of the buffer; the block before it is no longer valid."""
        begin, stop = self._rest
        held = stop - begin
        if self._skipping or held > LINE_BYTES_MAX:
            if not self._skipping:
                self.too_long += 1
            self._skipping, held = True, 0
        elif begin > SLACK:
            self._raw[SLACK : SLACK + held] = self._raw[begin:stop]
        self._carried, self._rest = held, (SLACK, SLACK + held)
