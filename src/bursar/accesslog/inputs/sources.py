"""Inputs: open logs, detect their format, and split them into pieces for the processes."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bursar.accesslog.parsing import blocks, decompression, format_detection, formats
from bursar.accesslog.parsing.blocks import Blocks
from bursar.accesslog.parsing.decompression import ByteStream, LogTruncated, LogUnreadable
from bursar.accesslog.parsing.formats import LogFormat

#: Size of a piece of a plain file.
PIECE_BYTES = 1 << 25
#: Number of first bytes used to detect the format.
HEAD_BYTES = 1 << 16
STANDARD_INPUT = "-"


@dataclass(slots=True, kw_only=True)
class LogSource:
    """
    One input. *size* is the size of the file on disk, 0 for a stream.

    Reading starts at *begin*, an offset in plain bytes; without *tail* an unterminated last line is not
    read, as it may still be written.
    """

    name: str
    path: Path | None
    compression: str
    size: int
    format: LogFormat
    stream: ByteStream | None = None
    """Set for inputs that can be read only once."""

    begin: int = 0
    tail: bool = True

    @property
    def in_one_piece(self) -> bool:
        """Whether the input cannot be split into pieces."""
        return bool(self.stream or self.compression or self.format.has_fields_line)


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a source: the lines that start in [begin, end), or up to the end of the source."""

    source: int
    begin: int
    end: int | None


def split_into_pieces(sources: Sequence[LogSource]) -> Iterator[Piece]:
    """Yield the pieces of all *sources*."""
    for number, source in enumerate(sources):
        if source.in_one_piece:
            is_stream = source.stream or source.compression
            yield Piece(number, source.begin, None if is_stream else source.size)
            continue
        for begin in range(source.begin, source.size, PIECE_BYTES):
            yield Piece(number, begin, min(begin + PIECE_BYTES, source.size))


def open_piece(source: LogSource, piece: Piece, *, own_process: bool = False) -> Blocks:
    """
    Open a piece of *source*; *own_process* decompresses in a process of its own.

    :raises LogUnreadable: if the file no longer exists.
    :raises LogTruncated: if it ends before the piece starts.
    """
    before = max(piece.begin - 1, 0)
    if source.stream is not None:
        stream = source.stream
    elif not source.compression:
        stream = decompression.PlainFile(_path_of(source), begin=before, size=source.size)
    elif own_process:
        stream = decompression.DecompressionProcess(_path_of(source), source.compression)
    else:
        stream = decompression.open_compressed(_path_of(source), source.compression)
    if source.compression:
        _skip(stream, before)
    return Blocks(stream, begin=piece.begin, end=piece.end, tail=source.tail)


def _path_of(source: LogSource) -> Path:
    assert source.path is not None
    return source.path


def _skip(stream: ByteStream, count: int) -> None:
    buffer = memoryview(bytearray(min(count, blocks.BLOCK_BYTES)))
    while count and (took := stream.readinto(buffer[:count])):
        count -= took


def open_sources(paths: Iterable[Path], *, format_name: str | None = None) -> list[LogSource]:
    """
    Open *paths* in their order; "-" is standard input.

    The format of each is detected from its first lines, unless *format_name* is set: a preset, or a
    `LogFormat` or `log_format` text.

    :raises LogUnreadable: if a file does not exist or cannot be read.
    :raises UnknownLogFormat: if the first lines are of no known format.
    """
    return [_source(None if str(path) == STANDARD_INPUT else path, format_name) for path in paths]


def _source(path: Path | None, chosen: str | None) -> LogSource:
    name = STANDARD_INPUT if path is None else str(path)
    if path is None or not _is_regular(path):
        # A duplicate, as multiprocessing closes standard input in the child.
        file = os.fdopen(os.dup(0), "rb") if path is None else _open_binary(path)
        stream, kind = decompression.open_stream(file, name)
        head = _read_head(stream)
        log_format = _detect_format(head, chosen, name)
        return LogSource(
            name=name,
            path=path,
            compression="",
            size=0,
            format=log_format,
            stream=_PrefixedStream(head, stream),
        )
    kind = decompression.detect_compression(path)
    with contextlib.closing(
        decompression.open_compressed(path, kind) if kind else decompression.PlainFile(path)
    ) as stream:
        head = _read_head(stream)
    return LogSource(
        name=name,
        path=path,
        compression=kind,
        size=path.stat().st_size,
        format=_detect_format(head, chosen, name),
    )


def _detect_format(head: bytes, chosen: str | None, name: str) -> LogFormat:
    return (
        formats.find_format(chosen, head=head)
        if chosen
        else format_detection.detect_format(head, name=name)
    )


def _read_head(stream: ByteStream) -> bytes:
    buffer = bytearray(HEAD_BYTES)
    filled = 0
    with (
        memoryview(buffer) as view,
        contextlib.suppress(LogTruncated),
    ):  # raised again when the log is read
        while filled < HEAD_BYTES and (count := stream.readinto(view[filled:])):
            filled += count
    return bytes(buffer[:filled])


class _PrefixedStream:
    """A stream whose first bytes were already read for format detection."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head, self._stream = head, stream

    def readinto(self, buffer: memoryview) -> int:
        if self._head:
            count = min(len(self._head), len(buffer))
            buffer[:count], self._head = self._head[:count], self._head[count:]
            return count
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise LogUnreadable(f"{path} cannot be read: {error.strerror}") from error


def _open_binary(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise LogUnreadable(f"{path} cannot be read: {error.strerror}") from error


def read_range(source: LogSource, begin: int, end: int) -> bytes:
    """Return the plain bytes of a file from *begin* to *end*, or to the end of the file."""
    buffer = memoryview(bytearray(end - begin))
    filled = 0
    with contextlib.suppress(LogTruncated), contextlib.closing(_open_at(source, begin)) as stream:
        while filled < len(buffer) and (count := stream.readinto(buffer[filled:])):
            filled += count
    return bytes(buffer[:filled])


def _open_at(source: LogSource, begin: int) -> ByteStream:
    if not source.compression:
        return decompression.PlainFile(_path_of(source), begin=begin)
    stream = decompression.open_compressed(_path_of(source), source.compression)
    _skip(stream, begin)
    return stream
