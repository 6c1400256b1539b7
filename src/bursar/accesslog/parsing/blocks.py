"""A stream of bytes as blocks of whole lines, in a buffer that is used again and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from bursar.accesslog.parsing import byte_search
from bursar.accesslog.parsing.byte_search import SLACK, Bytes, Ints
from bursar.accesslog.parsing.decompression import ByteStream

#: What one read takes; the speed hardly depends on it.
BLOCK_BYTES = 1 << 20
#: A longer line is no line of an access log: it is counted as too long and not looked at.
LINE_BYTES_MAX = 1 << 16
_NEWLINE, _RETURN = 10, 13


@dataclass(slots=True, eq=False)
class Block:
    """
    Whole lines in a buffer: line i is `raw[starts[i]:ends[i]]`, without its line end, LF or CRLF.

    It is good until the next one is asked for.
    """

    raw: bytearray
    bytes: Bytes
    """The same memory as numbers."""

    starts: Ints
    breaks: Ints
    """Where each line's LF is."""

    extent: tuple[int, int]
    """Where in the buffer the lines lie."""

    @property
    def ends(self) -> Ints:
        """Where each line ends; worked out anew each time, as who counts addresses never asks."""
        ends: Ints = self.breaks - (self.bytes[self.breaks - 1] == _RETURN)
        np.maximum(ends, self.starts, out=ends)
        return ends


class Blocks(Iterator[Block]):
    """
    An iterator over the lines of *stream* that begin in [begin, end), a block at a time.

    *begin* and *end* are offsets in the stream, which must stand at `begin - 1`, or at 0 if that is
    where we begin: only the byte before tells whether a line begins at *begin*. A stream without
    *end* is read to its own. The last line may lack its line end if *tail* (else it is left for
    later, as it may still be written). Memory: one buffer, however long a line is.

    Attributes: *offset* is where the next line begins, *too_long* counts lines above
    `LINE_BYTES_MAX`. Use it in a `with` block: it closes the stream in every case.
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
        self._carried = 0  # bytes of a line that has begun, at the buffer's front
        self._rest = (SLACK, SLACK)  # where the last block left them
        self._skipping = begin > 0  # within a line that is not ours, or too long
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
        """Give the stream back; asked for more, the iterator is at its end."""
        self._at_end = True
        self._stream.close()

    def __next__(self) -> Block:
        while not self._at_end:
            self._carry_forward()
            count = self._read()
            if not count:
                self._at_end = True
                if self._skipping:
                    self.offset = self._read_at  # it need not be seen again
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
        """Read behind what is held: a block, or less where our range ends."""
        wanted = self._block_bytes
        if self._end is not None:
            if self.offset >= self._end or (self._skipping and self._read_at >= self._end):
                return 0
            # Past our range only the rest of one line is wanted.
            wanted = min(wanted, max(self._end - self._read_at, LINE_BYTES_MAX))
        at = SLACK + self._carried
        count = self._stream.readinto(self._view[at : at + wanted])
        self._read_at += count
        return count

    def _split_lines(self, filled: int, *, last: bool = False) -> Block | None:
        """Make a block of the whole lines among *filled* bytes, and keep what follows them."""
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
        """Move the begun line to the front, now that nobody needs the block before it any more."""
        begin, stop = self._rest
        held = stop - begin
        if self._skipping or held > LINE_BYTES_MAX:
            if not self._skipping:
                self.too_long += 1
            self._skipping, held = True, 0
        elif begin > SLACK:
            self._raw[SLACK : SLACK + held] = self._raw[begin:stop]
        self._carried, self._rest = held, (SLACK, SLACK + held)
