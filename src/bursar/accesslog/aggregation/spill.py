"""
Spill file: sorted runs of tables that outgrow memory, in an unnamed temporary file.

A run is some rows of a table, sorted by key. Runs are merged one range of keys at a time, so that only
that range is in memory. The file has no name, so that it disappears however the process ends; forked
processes share it and read by position.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bursar import errors
from bursar.accesslog.aggregation.rows import Rows, Texts
from bursar.accesslog.parsing.byte_search import Ints, U, Words

#: The index of a run has the start of each of this many equal cells of the key space.
CELL_BITS = 12
CELLS = 1 << CELL_BITS
_BOUNDS = np.arange(1, CELLS, dtype=np.uint64) << U(64 - CELL_BITS)


class TemporaryStorageFull(errors.Unavailable):
    """The temporary folder is full or not writable; set TMPDIR to another folder, or raise `--memory`."""

    code = "temporary_storage_full"
    status = None


@dataclass(frozen=True, slots=True)
class Run:
    """
    Some rows of *table*, from *offset* in file number *file*.

    The run starts with an index, the start of each cell in rows and, for texts of any length, in bytes of
    text. The columns follow: keys, values, checks, texts. This descriptor has a fixed size, so that
    there may be many runs.
    """

    table: str
    file: int
    offset: int
    rows: int
    measures: int
    checked: bool
    text_width: int
    """0: no texts; -1: texts of any length; otherwise the fixed width."""

    @property
    def row_bytes(self) -> int:
        """The size of a row, without texts of any length."""
        return 8 * (1 + self.measures + self.checked) + max(self.text_width, 0)


class Spill:
    """
    One temporary file for the runs of one process.

    It is in *folder* (default: TMPDIR). *number* identifies the files of several processes.
    """

    def __init__(self, *, folder: Path | None = None, number: int = 0) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  (closed by `close`)
        except OSError as error:
            raise TemporaryStorageFull(
                f"cannot create a temporary file: {error.strerror}"
            ) from error
        self.number = number
        self.runs: list[Run] = []
        self._end = 0

    def seek_end(self) -> None:
        """Continue after the runs that another process has written."""
        self._end = os.fstat(self._file.fileno()).st_size

    def write(self, table: str, rows: Rows) -> None:
        """
        Append *rows*, sorted by key, as a run of *table*.

        :raises TemporaryStorageFull: if the disk is full.
        """
        bounds = np.concatenate(([0], np.searchsorted(rows.key, _BOUNDS), [len(rows)]))
        parts: list[memoryview | bytes] = [
            bounds.data,
            rows.key.data,
            np.ascontiguousarray(rows.values).data,
        ]
        if rows.check is not None:
            parts.append(rows.check.data)
        width = 0
        if rows.texts is not None and rows.texts.dtype == object:
            width = -1
            lengths = np.fromiter(map(len, rows.texts), np.uint32, len(rows))
            text_bounds = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))[bounds]
            parts[1:1] = [text_bounds.data]
            parts += [lengths.data, b"".join(rows.texts)]
        elif rows.texts is not None:
            width = rows.texts.dtype.itemsize
            parts.append(rows.texts.tobytes())
        run = Run(
            table,
            self.number,
            self._end,
            len(rows),
            rows.values.shape[1],
            rows.check is not None,
            width,
        )
        self._append([part for part in parts if len(part)])
        self.runs.append(run)

    def _append(self, parts: Sequence[memoryview | bytes]) -> None:
        views = [memoryview(part).cast("B") for part in parts]
        try:
            for view in views:
                at = 0
                while at < len(view):  # a nearly full disk writes less, and fails the next call
                    at += os.pwrite(self._file.fileno(), view[at:], self._end + at)
                self._end += len(view)
        except OSError as error:
            raise TemporaryStorageFull(
                f"the temporary file cannot grow beyond {self._end:,} bytes: {error.strerror}"
                " (set TMPDIR to another folder)"
            ) from error

    def cell_starts(self, run: Run) -> Ints:
        """Return the first row of each cell of *run*, and the number of rows."""
        return np.frombuffer(self._bytes(run.offset, 8 * (CELLS + 1)), np.int64)

    def read(self, run: Run, first_cell: int, end_cell: int) -> Rows:
        """Return the rows of a run from *first_cell* to *end_cell* (exclusive)."""
        begin, end = self._between(run.offset, first_cell, end_cell)
        count = end - begin
        at = text_index = run.offset + 8 * (CELLS + 1)
        if run.text_width < 0:
            at += 8 * (CELLS + 1)
        key = self._words(at + 8 * begin, count)
        at += 8 * run.rows
        values = self._words(at + 8 * run.measures * begin, count * run.measures)
        at += 8 * run.rows * run.measures
        check = None
        if run.checked:
            check = self._words(at + 8 * begin, count)
            at += 8 * run.rows
        texts: Texts | None = None
        if run.text_width > 0:
            data = self._bytes(at + run.text_width * begin, run.text_width * count)
            texts = np.frombuffer(data, f"V{run.text_width}")
        elif run.text_width < 0:
            lengths = np.frombuffer(self._bytes(at + 4 * begin, 4 * count), np.uint32)
            first, last = self._between(text_index, first_cell, end_cell)
            texts = split_texts(self._bytes(at + 4 * run.rows + first, last - first), lengths)
        return Rows(key, check, values.reshape(count, run.measures), texts)

    def _between(self, index: int, first_cell: int, end_cell: int) -> tuple[int, int]:
        cells = self._words(index + 8 * first_cell, end_cell - first_cell + 1)
        return int(cells[0]), int(cells[-1])

    def _words(self, offset: int, count: int) -> Words:
        return np.frombuffer(self._bytes(offset, 8 * count), np.uint64)

    def _bytes(self, offset: int, size: int) -> bytes:
        data = os.pread(self._file.fileno(), size, offset)
        while len(data) < size:
            more = os.pread(self._file.fileno(), size - len(data), offset + len(data))
            assert more, "a run is never truncated"
            data += more
        return data

    def close(self) -> None:
        """Close the file, which frees its space."""
        self._file.close()


def split_texts(data: bytes, lengths: Sequence[int] | Ints | Texts) -> Texts:
    """Split *data* into texts of these *lengths*."""
    texts = np.empty(len(lengths), object)
    at = 0
    for index, length in enumerate(np.asarray(lengths).tolist()):
        texts[index] = data[at : at + length]
        at += length
    return texts


def split_ranges(
    runs: Sequence[Run], spills: Mapping[int, Spill], *, rows_max: int
) -> Iterator[tuple[int, int]]:
    """Yield consecutive ranges of cells that cover all cells, each of at most *rows_max* rows or one cell."""
    if not runs:
        return
    counts = np.zeros(CELLS, np.int64)
    for run in runs:
        counts += np.diff(spills[run.file].cell_starts(run))
    first, held = 0, 0
    for cell, count in enumerate(counts.tolist()):
        if held and held + count > rows_max:
            yield first, cell
            first, held = cell, 0
        held += count
    yield first, CELLS
