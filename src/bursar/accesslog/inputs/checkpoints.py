"""
Resume where the last run ended, although logs are rotated, compressed and truncated in between.

A log is recognized by a hash of its first bytes, whatever its name and compression, and by a hash of the
bytes before the stored offset. If either differs it is another log, and is read from its start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bursar.accesslog.inputs import sources
from bursar.accesslog.inputs.sources import LogSource
from bursar.accesslog.partial_aggregates import Position

_HEAD_BYTES, _TAIL_BYTES = 1024, 256
#: Maximum number of stored positions; the least recently read logs are dropped first.
POSITIONS_MAX = 256


def resume(inputs: Sequence[LogSource], positions: Sequence[Position]) -> None:
    """Set the start offset of each of *inputs*; an unterminated last line of a growing log is not read."""
    for source in inputs:
        source.tail = source.path is None or bool(source.compression)
        if source.path is None:
            continue
        head = sources.read_range(source, 0, _HEAD_BYTES)
        for position in reversed(positions):
            if _is_same(source, head, position):
                source.begin = position.offset
                break


def _is_same(source: LogSource, head: bytes, position: Position) -> bool:
    if not position.offset or _digest(head[: position.head_bytes]) != position.head:
        return False
    if source.compression:
        return True  # the offset is in plain bytes: a check would have to decompress up to it
    begin = max(position.offset - _TAIL_BYTES, 0)
    return _digest(sources.read_range(source, begin, position.offset)) == position.tail


def updated_positions(
    inputs: Sequence[LogSource], offsets: Mapping[int, int], before: Sequence[Position]
) -> list[Position]:
    """Return the new position of each of *inputs*, and the earlier positions of other logs."""
    now = [
        _position(source, offsets.get(number, source.begin))
        for number, source in enumerate(inputs)
        if source.path is not None and source.stream is None
    ]
    current = {position.head for position in now}
    return [*(one for one in before if one.head not in current), *now][-POSITIONS_MAX:]


def _position(source: LogSource, offset: int) -> Position:
    head_bytes = min(offset, _HEAD_BYTES)
    tail = (
        b""
        if source.compression
        else sources.read_range(source, max(offset - _TAIL_BYTES, 0), offset)
    )
    return Position(
        offset=offset,
        head_bytes=head_bytes,
        head=_digest(sources.read_range(source, 0, head_bytes)),
        tail=_digest(tail),
    )


def _digest(data: bytes) -> bytes:
    import hashlib  # loads OpenSSL, 4 MB: only for runs with a state file

    return hashlib.sha256(data).digest()
