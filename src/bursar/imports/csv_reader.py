"""
Strict CSV reader (RFC 4180, any one-character delimiter) for plain and gzipped files.

Python's `csv` is too lenient for money: it accepts NUL bytes, keeps a byte order mark in the first
column name, and lets an unclosed quote swallow the rest of the file. Such files are rejected here,
with the line number. All sizes are bounded.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bursar import errors
from bursar.imports.row_errors import RowErrors, preview

#: Limits in bytes of the file on disk, and of its decompressed text.
FILE_BYTES_MAX, TEXT_BYTES_MAX = 64 * 2**20, 256 * 2**20
#: Limits of one line and one row (quoted fields may contain line ends) in bytes; of one field in
#: characters.
LINE_BYTES_MAX, ROW_BYTES_MAX, FIELD_LETTERS_MAX = 64 * 2**10, 128 * 2**10, 10_000
COLUMNS_MAX = 200

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class ImportFileUnreadable(errors.ValidationError):
    """The file is not valid CSV or is truncated; nothing after *line* can be read."""

    code = "import_file_unreadable"
    status = None


class CsvRow(NamedTuple):
    """A row: its first line (the header is line 1) and its values by column name."""

    line: int
    values: dict[str, str]


class CsvFile(NamedTuple):
    """A file's bytes, read once so that the digest belongs to what is parsed, and their SHA-256."""

    name: str
    data: bytes
    sha256: str


def load(path: Path) -> CsvFile:
    """
    Read a file into memory.

    :raises ImportFileUnreadable: if it cannot be opened or has more than `FILE_BYTES_MAX` bytes.
    """
    # The name may contain invalid UTF-8; it is used only in messages and the import log.
    name = path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ImportFileUnreadable(f"{name} cannot be read: {error.strerror}", line=1) from error
    if len(data) > FILE_BYTES_MAX:
        raise ImportFileUnreadable(f"{name} is larger than {FILE_BYTES_MAX:,} bytes", line=1)
    return CsvFile(name, data, hashlib.sha256(data).hexdigest())


def rows(
    file: CsvFile,
    *,
    columns: Sequence[str],
    problems: RowErrors,
    delimiter: str = ",",
    missing_line_end_allowed: bool = False,
) -> Iterator[CsvRow]:
    """
    Yield the rows below the header line, which must have *columns* and may have others.

    A row with too many or too few fields is added to *problems* and skipped; empty lines are
    skipped silently. The last line must have a line end, unless *missing_line_end_allowed*: a
    truncated price still looks like a price.

    :raises ImportFileUnreadable: if the file is not valid CSV, or not from some line on.
    """
    lines = _Lines(file, missing_line_end_allowed=missing_line_end_allowed)
    records = _records(lines, delimiter)
    _, header = next(records, (1, None))
    if header is None:
        raise ImportFileUnreadable("the file is empty", line=1)
    _check_header(header, columns)
    for line, fields in records:
        if len(fields) == len(header):
            yield CsvRow(line, dict(zip(header, fields, strict=True)))
        elif fields:
            problems.add(
                line=line,
                rule="wrong_number_of_columns",
                message=f"{len(fields)} columns where the header has {len(header)}",
            )


class _Lines:
    """Iterates over the decoded, validated lines; counts lines and bytes of the current row."""

    def __init__(self, file: CsvFile, *, missing_line_end_allowed: bool) -> None:
        self._bytes = _open_data(file)
        self._missing_line_end_allowed = missing_line_end_allowed
        self.number = 0
        self.row_bytes = self._all_bytes = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        try:
            line = self._bytes.readline(LINE_BYTES_MAX + 1)
        except (EOFError, OSError, zlib.error) as error:
            message = "the compressed data is corrupt or truncated after this line"
            raise ImportFileUnreadable(message, line=max(1, self.number)) from error
        if not line:
            raise StopIteration
        self.number += 1
        self.row_bytes += len(line)
        self._all_bytes += len(line)
        if self.number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        self._check(line)
        return self._text(line)

    def _check(self, line: bytes) -> None:
        end = line[-2:] if line.endswith(b"\r\n") else line[-1:]
        if self.number == 1 and line.startswith(_UTF_16):
            raise self.error("the file is UTF-16; save it as UTF-8")
        if b"\0" in line:
            raise self.error("NUL byte; if the file is UTF-16, save it as UTF-8")
        if b"\r" in line.removesuffix(end):
            raise self.error("carriage return inside the line; lines must end with LF or CR LF")
        if len(line) > LINE_BYTES_MAX:
            raise self.error(f"the line is longer than {LINE_BYTES_MAX:,} bytes")
        if self._all_bytes > TEXT_BYTES_MAX:
            raise self.error(f"the text is longer than {TEXT_BYTES_MAX:,} bytes")
        if self.row_bytes > ROW_BYTES_MAX:
            raise self.error(
                f"the row is longer than {ROW_BYTES_MAX:,} bytes; is a quote not closed?"
            )
        if not line.endswith(b"\n") and not self._missing_line_end_allowed:
            raise self.error("the last line has no line end; is the file truncated?")

    def _text(self, line: bytes) -> str:
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(f"byte {error.start + 1} is not UTF-8") from error

    def error(self, message: str) -> ImportFileUnreadable:
        """Return the error for the current line."""
        return ImportFileUnreadable(message, line=self.number)


def _open_data(file: CsvFile) -> BinaryIO:
    is_gzip = file.data.startswith(_GZIP)
    if is_gzip != file.name.endswith(".gz") or file.data.startswith(_ZIP):
        what = "gzip" if is_gzip else "zip" if file.data.startswith(_ZIP) else "not gzip"
        raise ImportFileUnreadable(
            f"the file name does not match the content, which is {what}", line=1
        )
    data = io.BytesIO(file.data)
    # Buffered, so that a decompression bomb is read only up to the limits.
    return io.BufferedReader(gzip.GzipFile(fileobj=data)) if is_gzip else data


def _records(lines: _Lines, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with its first line."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first_line, lines.row_bytes = lines.number + 1, 0
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise ImportFileUnreadable(_describe_csv_error(error), line=first_line) from error
        if fields is None:
            return
        if any(len(field) > FIELD_LETTERS_MAX for field in fields):
            raise ImportFileUnreadable(
                f"a field has more than {FIELD_LETTERS_MAX:,} characters", line=first_line
            )
        yield first_line, fields


def _describe_csv_error(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end of data" in message:
        return "a quote opened here is not closed"
    if "expected after" in message:
        return "a closing quote is not followed by the end of the field"
    return f"invalid CSV: {message}"


def _check_header(header: Sequence[str], columns: Sequence[str]) -> None:
    if len(header) > COLUMNS_MAX:
        raise ImportFileUnreadable(f"the header has more than {COLUMNS_MAX} columns", line=1)
    duplicates = [name for name, count in Counter(header).items() if count > 1]
    if duplicates:
        raise ImportFileUnreadable(f"column {preview(duplicates[0])} occurs twice", line=1)
    if missing := [name for name in columns if name not in header]:
        raise ImportFileUnreadable(
            f"missing column {', '.join(map(preview, missing))}; "
            f"the header has {', '.join(preview(name) for name in header[:20])}",
            line=1,
        )
