"""
Streams of plain bytes from files, compressed ones and pipes, each read in bounded memory.

What a file is says its content, not its name: gzip (RFC 1952), zstd (RFC 8878), bzip2 and xz are
known by their first bytes.
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

#: A zstd or xz stream may ask for at most so much memory: what `zstd -19` and `xz -6` make is within.
WINDOW_BYTES_MAX = 1 << 25
PIPE_BYTES = 1 << 20
#: Decompressors join what they return of more than this, and copying it once more then takes longer.
_PIECE_BYTES = 1 << 15
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}


class LogUnreadable(errors.NotFound):
    """A log file does not exist or may not be read."""

    code = "log_unreadable"
    status = None


class LogTruncated(errors.Invalid):
    """A log ended early or is damaged; what came before was read. *offset* is in plain bytes."""

    code = "log_truncated"
    status = None

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(message, offset=offset)
        self.offset = offset


class ByteStream(Protocol):
    """Bytes, one after another; `readinto` returns 0 at the end and only there."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the front of *buffer*; how many bytes."""
        ...

    def close(self) -> None:
        """Give the source back."""


def detect_compression(path: Path) -> str:
    """
    Name how *path* is compressed, "" for not at all.

    :raises LogUnreadable: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return compression_of(file.read(8))
    except OSError as error:
        raise LogUnreadable(f"{path} cannot be read: {error.strerror}") from error


def compression_of(head: bytes) -> str:
    """Name the compression of what begins with *head*."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")


class PlainFile:
    """A file from *begin*; if it is shorter than *size* in the end, it was cut while it was read."""

    def __init__(self, path: Path, *, begin: int = 0, size: int = 0) -> None:
        self._path, self._at, self._size = path, begin, size
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def readinto(self, buffer: memoryview) -> int:
        """:raises LogTruncated: at an end that comes too early."""
        count = os.preadv(self._file, [buffer], self._at)
        if not count and self._at < self._size:
            raise LogTruncated(
                f"{self._path} was cut to {self._at:,} bytes while it was read; it had {self._size:,}",
                offset=self._at,
            )
        self._at += count
        return count

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class DecompressedStream:
    """A compressed stream, plain; counts what it gave, to say where it broke."""

    def __init__(self, name: str, kind: str, file: io.BufferedIOBase | io.BufferedReader) -> None:
        self._name, self._kind, self._file = name, kind, file
        self._stream = _OPENERS[kind](file)
        self._bytes_out = 0

    def readinto(self, buffer: memoryview) -> int:
        """:raises LogTruncated: where the stream ends early or is damaged."""
        try:
            count: int = self._stream.readinto(buffer)
        except (EOFError, OSError, zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise LogTruncated(
                f"{self._name}: the {self._kind} stream is cut or damaged after {self._bytes_out:,} plain"
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
    """One stream of xz or frame of zstd; a file may have several, one behind the other."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


class _BoundedDecompressor:
    """
    A file decompressed within a limit of memory, which its format's own file object has none of.

    Each stream or frame in it is read by a decompressor that *make* returns; *padding* may follow
    any of them.
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
            self._error = error  # for the next call: what came before it is whole
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
                    raise EOFError("it ends within a stream")
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
    """Return an open file that can be read once only as plain bytes, and how it was compressed."""
    kind = compression_of(file.peek(8)[:8]) if isinstance(file, io.BufferedReader) else ""
    return (DecompressedStream(name, kind, file), kind) if kind else (file, "")  # type: ignore[arg-type,return-value]


def open_compressed(path: Path, kind: str) -> ByteStream:
    """Open a compressed file."""
    return DecompressedStream(str(path), kind, path.open("rb"))


class DecompressionProcess:
    """
    A compressed file inflated by a process of its own, on another core, through a pipe.

    Only for a process without threads: it forks.
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
        """:raises LogTruncated: what the other process ran into, once all it gave was read."""
        count = os.readv(self._plain, [buffer])
        if not count and (error := os.read(self._error_pipe, 4096)):
            offset, _, message = error.decode("utf-8", "replace").partition(" ")
            raise LogTruncated(message, offset=int(offset))
        return count

    def close(self) -> None:
        """End the other process."""
        os.close(self._plain)  # its writer ends at the next write
        os.close(self._error_pipe)
        os.waitpid(self._child, 0)


def _inflate(path: Path, kind: str, plain: int, error_pipe: int) -> None:
    """Write *path* plain into a pipe, and what went wrong into another; never returns."""
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
        pass  # the reader has had enough
    except BaseException as error:  # noqa: BLE001  (a forked process must not run its parent's code)
        os.write(
            error_pipe,
            f"0 {path}: {type(error).__name__}: {error}"[:2000].encode("utf-8", "replace"),
        )
    finally:
        os._exit(status)
