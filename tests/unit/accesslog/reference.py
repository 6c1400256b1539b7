"""Reference parsers in plain Python, line by line, for the vectorized ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bursar.accesslog.parsing import columns
from bursar.accesslog.parsing.blocks import Block, Blocks
from bursar.accesslog.parsing.columns import FieldColumns, Finder, Span
from bursar.accesslog.parsing.formats import LogFormat

_QUOTED = rb'"((?:[^"\\]|\\.)*)"'
_LEAD = rb"([^ ]*) [^ ]* [^ ]* \[([^\]]*)\] " + _QUOTED + rb" ([^ ]*) ([^ ]*)"
COMMON = re.compile(_LEAD, re.DOTALL)
COMBINED = re.compile(_LEAD + rb" " + _QUOTED + rb" " + _QUOTED, re.DOTALL)
COMBINED_FIELDS = ("client", "time", "request", "status", "bytes", "referrer", "agent")
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_COMMON_TIME = re.compile(
    rb"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"
)
_ISO_TIME = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d{1,16})?(?:Z|([+-])(\d\d)(?::?(\d\d))?)?"
)
_REQUEST = re.compile(rb"([A-Z][^ ]{0,19}) ([^ ]*)(?: .*)?", re.DOTALL)


class _ByteStream:
    """A stream of *data* that returns at most *most* bytes per read."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data, self._most = memoryview(data), most

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._data), self._most)
        buffer[:count], self._data = self._data[:count], self._data[count:]
        return count

    def close(self) -> None:
        self._data = memoryview(b"")


def blocks_of(data: bytes, *, block_bytes: int = 1 << 20) -> Iterator[Block]:
    """Yield *data* as blocks; each is valid until the next."""
    yield from Blocks(_ByteStream(data, block_bytes), block_bytes=block_bytes)


def block_of(*lines: bytes) -> Block:
    """Return one block of *lines*."""
    data = b"".join(line + b"\n" for line in lines)
    return next(blocks_of(data, block_bytes=max(len(data), 1)))


def find_columns(log_format: LogFormat, *lines: bytes) -> tuple[Block, Finder, FieldColumns]:
    """Find the columns of *lines*."""
    block = block_of(*lines)
    finder = Finder(block)
    return block, finder, columns.find_columns(block, log_format, finder)


def texts(block: Block, span: Span) -> list[bytes]:
    """Return the texts of a span."""
    return [bytes(block.raw[start:end]) for start, end in zip(*span, strict=True)]


def rows(log_format: LogFormat, *lines: bytes) -> list[dict[str, bytes] | None]:
    """Return the fields of each line, None for a line that is not of the format."""
    block, _, found_columns = find_columns(log_format, *lines)
    by_field = {name: texts(block, span) for name, span in found_columns.spans.items()}
    return [
        {name: values[number] for name, values in by_field.items()} if good else None
        for number, good in enumerate(found_columns.good.tolist())
    ]


def common_time(text: bytes) -> int:
    """Parse `10/Oct/2000:13:55:36 -0700`; -1 for other texts."""
    match = _COMMON_TIME.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        return -1
    month = _MONTHS.index(match[2]) + 1
    return _epoch(
        int(match[3]), month, int(match[1]), match[4], match[5], match[6], match.group(7, 8, 9)
    )


def iso_time(text: bytes) -> int:
    """Parse an ISO 8601 time (default zone UTC); -1 for other texts."""
    match = _ISO_TIME.fullmatch(text)
    if match is None:
        return -1
    day = (int(match[1]), int(match[2]), int(match[3]))
    return _epoch(*day, match[4], match[5], match[6], match.group(7, 8, 9))


def _epoch(
    year: int,
    month: int,
    day: int,
    hour: bytes,
    minute: bytes,
    second: bytes,
    zone: tuple[bytes | None, ...],
) -> int:
    sign, hours, minutes = zone[0], int(zone[1] or 0), int(zone[2] or 0)
    if year < 1970 or int(second) > 60 or hours > 23 or minutes > 59:
        return -1
    try:
        at = datetime(year, month, day, int(hour), int(minute), tzinfo=UTC)
    except ValueError:
        return -1
    offset = timedelta(hours=hours, minutes=minutes).total_seconds()
    epoch = at.timestamp() + int(second) - (-offset if sign == b"-" else offset)
    return max(int(epoch), -1)


def integer(text: bytes, *, otherwise: int) -> int:
    """Parse an integer of up to 16 digits."""
    return int(text) if re.fullmatch(rb"[0-9]{1,16}", text) else otherwise


def request(text: bytes) -> tuple[bytes, bytes]:
    """Return method and path, without the query and without scheme and host."""
    match = _REQUEST.fullmatch(text)
    method, path = (match[1], match[2]) if match else (b"", text)
    path = path.partition(b"?")[0]
    if re.match(rb"https?://.", path, re.IGNORECASE | re.DOTALL):
        scheme = path.index(b"//") + 2
        path = path[path.index(b"/", scheme) :] if b"/" in path[scheme:] else b""
    return method, path
