"""
Partial results: files that merge exactly, from any process or machine.

A file is a zstd stream (RFC 8878) of records, each a length of four bytes, little-endian, and
MessagePack: rows of tables, a `Header`, and an end record with a checksum of everything before it.
Keys are stored as plain values: hashes with a process's secrets are not in the file.
"""

from __future__ import annotations

import contextlib
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from bursar import atomic_files, errors
from bursar.accesslog import aggregator
from bursar.accesslog.aggregation import client_counts, spill
from bursar.accesslog.aggregation.rows import Rows
from bursar.accesslog.aggregator import NUMBER_TABLES, SUSPECTS
from bursar.accesslog.parsing import byte_search, ip_addresses, records
from bursar.accesslog.parsing.byte_search import U
from bursar.accesslog.report import ReportSource

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT = "bursar-traffic-3"
#: A larger record is invalid.
_RECORD_BYTES_MAX = 1 << 28
_DECOMPRESSION: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 25}
_V6_BYTES = 8 * ip_addresses.V6_WORDS


class PartialAggregateCorrupt(errors.Invalid):
    """A partial result or state file is truncated, damaged or of another format."""

    code = "partial_aggregate_corrupt"
    status = None


class PartialAggregateMismatch(errors.Conflict):
    """Partial results have different tables or filters and cannot be merged."""

    code = "partial_aggregate_mismatch"
    status = None


class Position(msgspec.Struct, kw_only=True):
    """The *offset* (plain bytes) up to which a log was read, and hashes to recognize it (`checkpoints`)."""

    offset: int
    head_bytes: int
    head: bytes
    tail: bytes


class Header(msgspec.Struct, kw_only=True):
    """Header of a partial result; *lines* are the fields of `aggregator.LineCounts`."""

    format: str = FORMAT
    tables: list[str]
    filters: list[str]
    complete: bool
    lines: dict[str, int | None]
    sources: list[ReportSource]
    totals: dict[str, int] = {}
    positions: list[Position] = []


class _Part(msgspec.Struct, array_like=True):
    table: str
    values: bytes
    keys: bytes
    lengths: bytes = b""


class _End(msgspec.Struct):
    crc: int


class Writer:
    """Writes a partial result: rows with `write_rows`, then the header with `finish`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._compressor = file, zstd.ZstdCompressor(level=1)
        self._crc = 0

    def write_rows(self, table: str, rows: Rows) -> None:
        """Write rows of a table."""
        keys, lengths = _encode_keys(table, rows)
        self._put(_Part(table, np.ascontiguousarray(rows.values).tobytes(), keys, lengths))

    def finish(self, header: Header) -> None:
        """Write the header and the end record."""
        self._put(header)
        self._put(_End(self._crc))
        self._file.write(self._compressor.flush())

    def _put(self, record: object) -> None:
        data = msgspec.msgpack.encode(record)
        self._crc = zlib.crc32(data, self._crc)
        self._file.write(self._compressor.compress(len(data).to_bytes(4, "little") + data))


@contextlib.contextmanager
def open_writer(path: Path) -> Iterator[Writer]:
    """
    Yield a writer; the file appears when the block ends without an error.

    :raises OutputNotWritable: if it cannot be written.
    """
    with atomic_files.open_atomic(path) as file:
        yield Writer(file)


def read_header(path: Path) -> Header:
    """
    Return the header of a partial result, after reading and verifying the complete file.

    :raises PartialAggregateCorrupt: if it is not a complete partial result.
    """
    headers = [record for record in _read_records(path, parts=False) if isinstance(record, Header)]
    return headers[0]


def read_rows(path: Path) -> Iterator[tuple[str, Rows]]:
    """
    Yield the rows of a partial result.

    :raises PartialAggregateCorrupt: at the first damaged record.
    """
    for record in _read_records(path, parts=True):
        if isinstance(record, _Part):
            yield record.table, _decode_rows(record)


def _read_records(path: Path, *, parts: bool) -> Iterator[Header | _Part]:
    try:
        with path.open("rb") as file:
            reader = zstd.ZstdFile(file, options=_DECOMPRESSION)
            crc, headed = 0, False
            while data := _read_exactly(reader, 4):
                data = _read_exactly(reader, min(int.from_bytes(data, "little"), _RECORD_BYTES_MAX))
                if data[:1] >= b"\x90" and data[:1] < b"\xa0":
                    part = msgspec.msgpack.decode(data, type=_Part)
                    if parts:
                        yield part
                elif not headed:
                    header = msgspec.msgpack.decode(data, type=Header)
                    if header.format != FORMAT:
                        raise PartialAggregateCorrupt(
                            f"{path} is of format {header.format!r}, not {FORMAT!r}"
                        )
                    headed = True
                    yield header
                else:
                    if msgspec.msgpack.decode(data, type=_End).crc != crc:
                        raise ValueError("its checksum is wrong")
                    return
                crc = zlib.crc32(data, crc)
    except OSError as error:
        raise PartialAggregateCorrupt(f"{path} cannot be read: {error.strerror}") from error
    except (EOFError, ValueError, zstd.ZstdError, msgspec.MsgspecError) as error:
        raise PartialAggregateCorrupt(
            f"{path} is not a complete partial result of bursar traffic ({error})"
        ) from error
    raise PartialAggregateCorrupt(
        f"{path} is not a complete partial result of bursar traffic (it ends early)"
    )


def _read_exactly(reader: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = reader.read(count - len(data))
        if not more:
            raise EOFError("it ends early")
        data += more
    return data


def _encode_keys(table: str, rows: Rows) -> tuple[bytes, bytes]:
    """Return the keys of *rows* as plain values, and the lengths of texts."""
    if table == client_counts.V4:
        return ip_addresses.v4_halves(rows.key).tobytes(), b""
    if table in NUMBER_TABLES:
        return aggregator.numbers_from_keys(rows.key).tobytes(), b""
    assert rows.texts is not None
    if table == client_counts.V6:
        return rows.texts.tobytes(), b""
    texts = rows.texts.tolist()
    return b"".join(texts), np.fromiter(map(len, texts), np.uint32, len(texts)).tobytes()


def _decode_rows(part: _Part) -> Rows:
    """Return the rows of *part* with keys of this process."""
    if part.table == client_counts.V4:
        key, check, texts = ip_addresses.v4_keys(np.frombuffer(part.keys, U)), None, None
    elif part.table in NUMBER_TABLES:
        key, check, texts = aggregator.number_keys(np.frombuffer(part.keys, U)), None, None
    elif part.table == client_counts.V6:
        words = np.frombuffer(part.keys, U).reshape(-1, ip_addresses.V6_WORDS)
        key, check = byte_search.hash_words(words.T)
        texts = np.frombuffer(part.keys, f"V{_V6_BYTES}")
    else:
        texts = spill.split_texts(part.keys, np.frombuffer(part.lengths, np.uint32))
        if part.table == SUSPECTS:
            pairs = [text.partition(b"\t") for text in texts]
            key, check = aggregator.suspect_keys([(pair[0], pair[2]) for pair in pairs])
        else:
            key, check = byte_search.hash_texts(*records.to_buffer(texts.tolist()))
    return Rows(key, check, np.frombuffer(part.values, U).reshape(len(key), -1), texts)
