"""
Strict CSV rows (RFC 4180, any one-letter delimiter) from a plain or gzipped file.

Python's `csv` is lenient where money is concerned: it takes NUL bytes, keeps a byte order mark in
the first name, and lets an unclosed quote swallow the rest of the file. Here every such file is
refused, with the line. Everything is bounded.
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

#: Bytes of a file as it lies on the disk, and of its text when unpacked.
FILE_BYTES_MAX, TEXT_BYTES_MAX = 64 * 2**20, 256 * 2**20
#: Bytes of one line; of one row, whose quoted fields may hold line ends; letters of one field.
LINE_BYTES_MAX, ROW_BYTES_MAX, FIELD_LETTERS_MAX = 64 * 2**10, 128 * 2**10, 10_000
COLUMNS_MAX = 200

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableFile(errors.ValidationError):
    """The file breaks off, or is not such a file at all; nothing after *line* can be trusted."""

    code = "import_file_unreadable"
    status = None


class CsvRow(NamedTuple):
    """A row: the number of the line it begins on (the header's is 1), its fields by column."""

    line: int
    values: dict[str, str]


class CsvFile(NamedTuple):
    """The bytes of a file, read once so that what is named is what is read, and their SHA-256."""

    name: str
    data: bytes
    sha256: str


def load(path: Path) -> CsvFile:
    """
    Read a file whole.

    :raises Unreadable: if it cannot be opened or has more than `FILE_BYTES_MAX` bytes.
    """
    # The name may hold bytes that are no text; it is only shown and noted.
    name = path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UnreadableFile(f"{name} cannot be read: {error.strerror}", line=1) from error
    if len(data) > FILE_BYTES_MAX:
        raise UnreadableFile(f"{name} is larger than {FILE_BYTES_MAX:,} bytes", line=1)
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
    Read the rows under the header line, which must have *columns* and may have others.

    A row with too many or too few fields goes to *problems* and is left out. Empty lines hold
    nothing and are passed over. Unless *cut_off_allowed* the last line must have its line end,
    for a price that was cut off in the middle still looks like one.

    :raises Unreadable: if the file is no such file, or not from some line on.
    """
    lines = _Lines(file, missing_line_end_allowed=missing_line_end_allowed)
    records = _records(lines, delimiter)
    _, header = next(records, (1, None))
    if header is None:
        raise UnreadableFile("the file is empty", line=1)
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
    """The lines of a file as text, checked; counts them, and the bytes of the row at hand."""

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
            message = "the compressed data is damaged or cut off after this line"
            raise UnreadableFile(message, line=max(1, self.number)) from error
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
            raise self.error("this is UTF-16; save the file as UTF-8")
        if b"\0" in line:
            raise self.error("a NUL byte; perhaps this is UTF-16: save the file as UTF-8")
        if b"\r" in line.removesuffix(end):
            raise self.error("a carriage return inside the line; lines end with LF or CR LF")
        if len(line) > LINE_BYTES_MAX:
            raise self.error(f"the line is longer than {LINE_BYTES_MAX:,} bytes")
        if self._all_bytes > TEXT_BYTES_MAX:
            raise self.error(f"there are more than {TEXT_BYTES_MAX:,} bytes of text")
        if self.row_bytes > ROW_BYTES_MAX:
            raise self.error(f"a row is longer than {ROW_BYTES_MAX:,} bytes: an open quote?")
        if not line.endswith(b"\n") and not self._missing_line_end_allowed:
            raise self.error("the last line has no line end: was the file cut off?")

    def _text(self, line: bytes) -> str:
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(f"byte {error.start + 1} is not UTF-8") from error

    def error(self, message: str) -> UnreadableFile:
        """Make the refusal of the line at hand."""
        return UnreadableFile(message, line=self.number)


def _open_data(file: CsvFile) -> BinaryIO:
    is_gzip = file.data.startswith(_GZIP)
    if is_gzip != file.name.endswith(".gz") or file.data.startswith(_ZIP):
        what = "gzip" if is_gzip else "zip" if file.data.startswith(_ZIP) else "not gzip"
        raise UnreadableFile(f"the name says otherwise, but the content is {what}", line=1)
    data = io.BytesIO(file.data)
    # Buffered so that a bomb is unpacked piece by piece, and only as far as the limits.
    return io.BufferedReader(gzip.GzipFile(fileobj=data)) if is_gzip else data


def _records(lines: _Lines, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record and the number of the line on which it begins."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first_line, lines.row_bytes = lines.number + 1, 0
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise UnreadableFile(_describe_csv_error(error), line=first_line) from error
        if fields is None:
            return
        if any(len(field) > FIELD_LETTERS_MAX for field in fields):
            raise UnreadableFile(
                f"a field has more than {FIELD_LETTERS_MAX:,} letters", line=first_line
            )
        yield first_line, fields


def _describe_csv_error(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end of data" in message:
        return "a quote that is opened here is never closed"
    if "expected after" in message:
        return "a closing quote is followed by something else than the end of the field"
    return f"this is not CSV: {message}"


def _check_header(header: Sequence[str], columns: Sequence[str]) -> None:
    if len(header) > COLUMNS_MAX:
        raise UnreadableFile(f"there are more than {COLUMNS_MAX} columns", line=1)
    duplicates = [name for name, count in Counter(header).items() if count > 1]
    if duplicates:
        raise UnreadableFile(f"column {preview(duplicates[0])} is there twice", line=1)
    if missing := [name for name in columns if name not in header]:
        raise UnreadableFile(
            f"there is no column {' or '.join(map(preview, missing))}; "
            f"there are {', '.join(preview(name) for name in header[:20])}",
            line=1,
        )
