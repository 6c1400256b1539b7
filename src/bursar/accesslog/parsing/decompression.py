"""
Streams of plain bytes from files, compressed files and pipes, in bounded memory.

The compression is detected from the first bytes, not from the file name: gzip (RFC 1952), zstd
(RFC 8878), bzip2 and xz.
"""

from __future__ import annotations

import bz2
import contextlib
import fcntl
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from isal import igzip

from bursar import errors

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Maximum window of a zstd or xz stream; the output of `zstd -19` and `xz -6` is within it.
WINDOW_BYTES_MAX = 1 << 25
PIPE_BYTES = 1 << 20
#: Decompressors assemble larger outputs from parts, and copying these again takes longer.
_PIECE_BYTES = 1 << 15
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}


class LogUnreadable(errors.NotFound):
    """A log file does not exist or cannot be read."""

    code = "log_unreadable"
    status = None


class LogTruncated(errors.Invalid):
    """A log is truncated or damaged; everything before *offset* (in plain bytes) was read."""

    code = "log_truncated"
    status = None

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(message, offset=offset)
        self.offset = offset


class ByteStream(Protocol):
    """A readable stream; `readinto` returns 0 only at its end."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Read into the start of *buffer*; return the number of bytes."""
        ...

    def close(self) -> None:
        """Close the source."""


def detect_compression(path: Path) -> str:
    """
    Return the compression of *path*, "" if it is not compressed.

    :raises LogUnreadable: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return compression_of(file.read(8))
    except OSError as error:
        raise LogUnreadable(f"{path} cannot be read: {error.strerror}") from error


def compression_of(head: bytes) -> str:
    """Return the compression of a file that starts with *head*, "" if it is none."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")


class PlainFile:
    """A plain file from *begin* on; if it ends before *size*, it was truncated while it was read."""

    def __init__(self, path: Path, *, begin: int = 0, size: int = 0) -> None:
        self._path, self._at, self._size = path, begin, size
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def readinto(self, buffer: memoryview) -> int:
        """
        Read as `ByteStream`.

        :raises LogTruncated: if the file ends before its expected size.
        """
        count = os.preadv(self._file, [buffer], self._at)
        if not count and self._at < self._size:
            raise LogTruncated(
                f"{self._path} was truncated to {self._at:,} bytes while it was read (before: {self._size:,})",
                offset=self._at,
            )
        self._at += count
        return count

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class DecompressedStream:
    """The plain bytes of a compressed stream; counts them for the offset of an error."""

    def __init__(self, name: str, kind: str, file: io.BufferedIOBase | io.BufferedReader) -> None:
        self._name, self._kind, self._file = name, kind, file
        self._stream = _OPENERS[kind](file)
        self._bytes_out = 0

    def readinto(self, buffer: memoryview) -> int:
        """
        Read as `ByteStream`.

        :raises LogTruncated: if the stream is truncated or damaged.
        """
        try:
            count: int = self._stream.readinto(buffer)
        except (EOFError, OSError, zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise LogTruncated(
                f"{self._name}: the {self._kind} stream is truncated or damaged after {self._bytes_out:,} plain"
                f" bytes ({error})",
                offset=self._bytes_out,
            ) from error
        self._bytes_out += count
        return count

    def close(self) -> None:
        """Close the stream and the file under it."""
        self._stream.close()
        self._file.close()


def _gzip(file: Any) -> Any:
    return igzip.IGzipFile(fileobj=file, mode="rb")  # type: ignore[no-untyped-call]


def _bzip2(file: Any) -> Any:
    return bz2.BZ2File(file)


class _Decompressor(Protocol):
    """Decompresses one xz stream or zstd frame; a file may consist of several."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


class _BoundedDecompressor:
    """
    Decompresses a file within a memory limit, which the format's own file object does not support.

    *make* returns a decompressor for each stream or frame; *padding* bytes may follow each of them.
    """

    def __init__(self, file: Any, make: Callable[[], _Decompressor], *, padding: bytes) -> None:
        self._file, self._make, self._padding = file, make, padding
        self._inner = make()
        self._error: Exception | None = None

    def readinto(self, buffer: memoryview) -> int:
        if self._error:
            raise self._error
        filled = 0
        try:
            while plain := self._piece(min(_PIECE_BYTES, len(buffer) - filled)):
                buffer[filled : filled + len(plain)] = plain
                filled += len(plain)
        except (EOFError, OSError, lzma.LZMAError, zstd.ZstdError) as error:
            if not filled:
                raise
            self._error = error  # raised by the next call: the bytes before it are valid
        return filled

    def _piece(self, bytes_max: int) -> bytes:
        while bytes_max:
            if self._inner.eof:
                rest = self._inner.unused_data or self._file.read(PIPE_BYTES)
                if not rest.strip(self._padding):
                    break
                self._inner = self._make()
            else:
                rest = self._file.read(PIPE_BYTES // 8) if self._inner.needs_input else b""
                if self._inner.needs_input and not rest:
                    raise EOFError("the file ends within a stream")
            if plain := self._inner.decompress(rest, max_length=bytes_max):
                return plain
        return b""

    def close(self) -> None:
        pass


def _zstd(file: Any) -> _BoundedDecompressor:
    options: dict[int, int] = {
        zstd.DecompressionParameter.window_log_max: WINDOW_BYTES_MAX.bit_length() - 1
    }
    return _BoundedDecompressor(file, lambda: zstd.ZstdDecompressor(options=options), padding=b"")


def _xz(file: Any) -> _BoundedDecompressor:
    return _BoundedDecompressor(
        file, lambda: lzma.LZMADecompressor(memlimit=2 * WINDOW_BYTES_MAX), padding=b"\0"
    )


_OPENERS: dict[str, Callable[[Any], Any]] = {
    "gzip": _gzip,
    "zstd": _zstd,
    "bzip2": _bzip2,
    "xz": _xz,
}


def open_stream(file: BinaryIO, name: str) -> tuple[ByteStream, str]:
    """Return the plain bytes of a file that can be read only once, and its compression."""
    kind = compression_of(file.peek(8)[:8]) if isinstance(file, io.BufferedReader) else ""
    return (DecompressedStream(name, kind, file), kind) if kind else (file, "")  # type: ignore[arg-type,return-value]


def open_compressed(path: Path, kind: str) -> ByteStream:
    """Open a compressed file."""
    return DecompressedStream(str(path), kind, path.open("rb"))


class DecompressionProcess:
    """
    A compressed file, decompressed in a process of its own and read through a pipe.

    It forks, so the current process must not have threads.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self._plain, plain_out = os.pipe()
        self._error_pipe, error_out = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._plain)
            os.close(self._error_pipe)
            _inflate(path, kind, plain_out, error_out)
        os.close(plain_out)
        os.close(error_out)

    def readinto(self, buffer: memoryview) -> int:
        """
        Read as `ByteStream`.

        :raises LogTruncated: after the last byte, if the other process failed.
        """
        count = os.readv(self._plain, [buffer])
        if not count and (error := os.read(self._error_pipe, 4096)):
            offset, _, message = error.decode("utf-8", "replace").partition(" ")
            raise LogTruncated(message, offset=int(offset))
        return count

    def close(self) -> None:
        """End the other process."""
        os.close(self._plain)  # the writer then fails at its next write
        os.close(self._error_pipe)
        os.waitpid(self._child, 0)


def _inflate(path: Path, kind: str, plain: int, error_pipe: int) -> None:
    """Write the plain bytes of *path* to one pipe, and an error to another; never returns."""
    status = 1
    try:
        with contextlib.suppress(OSError):
            fcntl.fcntl(plain, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        stream, buffer = open_compressed(path, kind), memoryview(bytearray(PIPE_BYTES))
        while count := stream.readinto(buffer):
            remaining = buffer[:count]
            while remaining:
                remaining = remaining[os.write(plain, remaining) :]
        status = 0
    except LogTruncated as error:
        os.write(error_pipe, f"{error.offset} {error.message}"[:2000].encode("utf-8", "replace"))
    except BrokenPipeError:
        pass  # the reader has closed the pipe
    except BaseException as error:  # noqa: BLE001  (a forked process must not run its parent's code)
        os.write(
            error_pipe,
            f"0 {path}: {type(error).__name__}: {error}"[:2000].encode("utf-8", "replace"),
        )
    finally:
        os._exit(status)
