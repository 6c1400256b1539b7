"""
Count lines in this process or in several worker processes.

Each process has its own tables and its own spill file. At the end each one merges a share of the keys
from all spill files. If a worker dies the run fails, so that a report never silently lacks lines.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from bursar import errors
from bursar.accesslog.aggregation.sketches import AddressSketch
from bursar.accesslog.aggregation.spill import Run, Spill
from bursar.accesslog.aggregator import Aggregator, LineCounts, Plan
from bursar.accesslog.inputs import sources
from bursar.accesslog.inputs.sources import LogSource, Piece
from bursar.accesslog.parsing.decompression import LogTruncated

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)

ReportProgress = Callable[[int], None]
"""Called repeatedly with the number of bytes read so far."""


@dataclass(frozen=True, slots=True)
class TruncatedInput:
    """A source that ended early, and the offset (plain bytes) where it did."""

    source: int
    offset: int
    message: str


@dataclass(slots=True)
class WorkerResult:
    """The counts of one process; its tables are in *runs*."""

    runs: list[Run]
    sketch: AddressSketch | None
    lines: LineCounts
    truncated: list[TruncatedInput] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)
    """Offset of the next line, by source."""

    read: dict[int, int] = field(default_factory=dict)
    """Number of lines, by source."""


class FinishShare(Protocol):
    """Merges a share (i of n) of the keys of all runs."""

    def __call__(
        self,
        runs: Sequence[Run],
        spills: Mapping[int, Spill],
        share: tuple[int, int],
        *,
        is_second_pass: bool,
    ) -> ShareResult:
        """Return the share; in the second pass *runs* include those that the first pass moved."""


class ShareResult(Protocol):
    """A merged share. If any share *moved* rows to other keys, a second pass merges all runs."""

    moved: list[Run]


def tune_malloc() -> None:
    """
    Raise glibc's mmap and trim thresholds so that freed memory is reused, also in forked processes.

    By default glibc returns arrays of 128 KiB and more to the system, and page faults of new arrays take
    a tenth of the run time. Memory stays below the earlier peak. Without glibc this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 1 << 25)
        library.mallopt(_M_TRIM_THRESHOLD, 1 << 26)


def trim_malloc() -> None:
    """Return free memory to the system, because the next step allocates other sizes."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def run_workers(
    plan: Plan,
    inputs: Sequence[LogSource],
    *,
    processes: int,
    finish: FinishShare,
    report_progress: ReportProgress,
    prepare: Callable[[Aggregator], None],
    in_workers: bool = True,
) -> Iterator[tuple[list[WorkerResult], list[Any], Mapping[int, Spill]]]:
    """
    Count all lines of *inputs*; yield the result of each process, the merged shares, and the spill files.

    *prepare* runs in the first process before it reads. Unless *in_workers*, this process merges all
    shares itself. The spill files are closed when the block ends.

    :raises errors.WorkerProcessDied: if a worker process dies.
    :raises TemporaryStorageFull: if the temporary folder is full.
    """
    pieces = list(sources.split_into_pieces(inputs))
    spills = {number: Spill(number=number) for number in range(processes)}
    try:
        if processes == 1:
            result = _count_in_process(plan, inputs, pieces, spills[0], report_progress, prepare)
            yield [result], _finish_in_process(finish, result.runs, spills), spills
            return
        results, shares = _count_in_workers(
            plan, inputs, pieces, spills, finish if in_workers else None, report_progress, prepare
        )
        if not in_workers:
            runs = [run for result in results for run in result.runs]
            spills[0].seek_end()
            shares = _finish_in_process(finish, runs, spills)
        yield results, shares, spills
    finally:
        for spill in spills.values():
            spill.close()


def _finish_in_process(
    finish: FinishShare, runs: Sequence[Run], spills: Mapping[int, Spill]
) -> list[Any]:
    trim_malloc()
    share = finish(runs, spills, (0, 1), is_second_pass=False)
    if share.moved:
        share = finish([*runs, *share.moved], spills, (0, 1), is_second_pass=True)
    return [share]


def _count_in_process(
    plan: Plan,
    inputs: Sequence[LogSource],
    pieces: Sequence[Piece],
    spill: Spill,
    report_progress: ReportProgress,
    prepare: Callable[[Aggregator], None],
) -> WorkerResult:
    aggregator = Aggregator(plan, spill)
    prepare(aggregator)
    bytes_read = 0
    reader = _PieceReader(aggregator, inputs)
    for piece in pieces:
        for read in reader.read(piece, own_process=False):
            bytes_read += read
            report_progress(bytes_read)
    return reader.result(spill)


class _PieceReader:
    """Reads pieces into an aggregator, and records offsets, line counts and truncated inputs."""

    def __init__(self, aggregator: Aggregator, inputs: Sequence[LogSource]) -> None:
        self._aggregator, self._inputs = aggregator, inputs
        self._truncated: list[TruncatedInput] = []
        self._offsets: dict[int, int] = {}
        self._read: Counter[int] = Counter()

    def read(self, piece: Piece, *, own_process: bool) -> Iterator[int]:
        """Count the lines of *piece*; yield the number of bytes read since the last yield."""
        source = self._inputs[piece.source]
        at = reported_at = piece.begin
        before = self._aggregator.lines.read
        try:
            with sources.open_piece(source, piece, own_process=own_process) as lines:
                count = self._aggregator.block_counter(source.format)
                try:
                    for block in lines:
                        count(block)
                        at = lines.offset
                        if at - reported_at >= sources.PIECE_BYTES:
                            yield at - reported_at
                            reported_at = at
                finally:
                    at = lines.offset
                    self._aggregator.add_too_long(lines.too_long)
        except LogTruncated as error:
            self._truncated.append(TruncatedInput(piece.source, error.offset, error.message))
        self._offsets[piece.source] = max(at, self._offsets.get(piece.source, 0))
        self._read[piece.source] += self._aggregator.lines.read - before
        self._aggregator.lines.bytes += at - piece.begin
        yield at - reported_at

    def result(self, spill: Spill) -> WorkerResult:
        """Flush the tables and return the result."""
        self._aggregator.flush()
        return WorkerResult(
            list(spill.runs),  # a copy: merging adds runs to the list
            self._aggregator.sketch,
            self._aggregator.lines,
            self._truncated,
            self._offsets,
            dict(self._read),
        )


def _count_in_workers(
    plan: Plan,
    inputs: Sequence[LogSource],
    pieces: Sequence[Piece],
    spills: Mapping[int, Spill],
    finish: FinishShare | None,
    report_progress: ReportProgress,
    prepare: Callable[[Aggregator], None],
) -> tuple[list[WorkerResult], list[Any]]:
    """
    Fork a worker per spill file, distribute the pieces on request, then the shares of the keys.

    Workers are forked, not spawned: they share loaded modules and the unnamed files. A pool of the
    standard library cannot address a worker: each keeps its own tables between pieces, and a dead
    worker ends the run (`test_a_killed_worker_ends_the_run`).
    """
    fork = multiprocessing.get_context("fork")
    decompress_in_process = len(pieces) < len(spills)
    workers: list[_Worker] = []
    try:
        for number in spills:
            parent_end, child_end = fork.Pipe()
            process = fork.Process(
                target=_worker_main,
                daemon=True,
                kwargs={"decompress_in_process": decompress_in_process},
                args=(
                    (child_end, [*(worker.pipe for worker in workers), parent_end]),
                    plan,
                    inputs,
                    spills,
                    number,
                    finish,
                    prepare if number == 0 else lambda _: None,
                ),
            )
            process.start()
            child_end.close()
            workers.append(_Worker(process, parent_end))
        results = _distribute(workers, iter(pieces), report_progress)
        if finish is None:
            return results, []
        runs = [run for result in results for run in result.runs]
        shares = _finish_shares(workers, runs)
        if moved := [run for share in shares for run in share.moved]:
            shares = _finish_shares(workers, [*runs, *moved])
        return results, shares
    finally:
        for worker in workers:
            worker.stop()


def _finish_shares(workers: Sequence[_Worker], runs: Sequence[Run]) -> list[Any]:
    """Have every worker merge its share of the keys of *runs*; return the shares."""
    for worker in workers:
        worker.send(runs)
    return [worker.receive() for worker in workers]


@dataclass(slots=True)
class _Worker:
    """Parent-side handle of a worker process."""

    process: Any
    pipe: Connection

    def send(self, message: object) -> None:
        try:
            self.pipe.send(message)
        except OSError as error:
            raise self._died() from error

    def receive(self) -> Any:
        """
        Return the next payload of the worker.

        :raises BaseException: the error that ended the worker.
        """
        try:
            kind, payload = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if kind == "error":
            raise payload
        return payload

    def _died(self) -> errors.WorkerProcessDied:
        self.process.join(5)
        return errors.WorkerProcessDied(
            f"a worker process ended with exit code {self.process.exitcode} before it was finished"
            " (killed, or out of memory); there is no report"
        )

    def stop(self) -> None:
        """Close the pipe; wait half a second for the process to end, then kill it."""
        self.pipe.close()
        self.process.join(0.5 if self.process.exitcode is None else None)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def _distribute(
    workers: Sequence[_Worker], pieces: Iterator[Piece], report_progress: ReportProgress
) -> list[WorkerResult]:
    """Send pieces to the workers that request one until none are left; return all results in order."""
    results: dict[int, WorkerResult] = {}
    by_pipe = {worker.pipe: number for number, worker in enumerate(workers)}
    bytes_read = 0
    while len(results) < len(workers):
        for pipe in wait([pipe for pipe, number in by_pipe.items() if number not in results]):
            number = by_pipe[pipe]  # type: ignore[index]
            message = workers[number].receive()
            if isinstance(message, WorkerResult):
                results[number] = message
            elif message is None:
                workers[number].send(next(pieces, None))
            else:
                bytes_read += message
                report_progress(bytes_read)
    return [results[number] for number in range(len(workers))]


def _worker_main(
    pipes: tuple[Connection, Iterable[Connection]],
    plan: Plan,
    inputs: Sequence[LogSource],
    spills: Mapping[int, Spill],
    number: int,
    finish: FinishShare | None,
    prepare: Callable[[Aggregator], None],
    *,
    decompress_in_process: bool,
) -> None:
    """Count the pieces that the parent sends, then merge a share."""
    pipe, others = pipes  # its own, and those inherited from the parent
    for other in others:
        other.close()  # otherwise the end of a process would not close its pipe
    try:
        aggregator = Aggregator(plan, spills[number])
        prepare(aggregator)
        reader = _PieceReader(aggregator, inputs)
        while (piece := _next_piece(pipe)) is not None:
            for read in reader.read(piece, own_process=decompress_in_process):
                pipe.send(("", read))
        pipe.send(("", reader.result(spills[number])))
        del aggregator, reader
        if finish is None:
            return
        trim_malloc()
        for is_second_pass in (False, True):
            runs = pipe.recv()  # a second time only if the first pass moved rows
            pipe.send(
                ("", finish(runs, spills, (number, len(spills)), is_second_pass=is_second_pass))
            )
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass  # the parent has ended or is ending
    except errors.BursarError as error:
        pipe.send(("error", error))
    except BaseException as error:
        traceback.print_exc()
        pipe.send(
            (
                "error",
                errors.WorkerProcessDied(
                    f"a worker process failed: {type(error).__name__}: {error}"
                ),
            )
        )
        raise


def _next_piece(pipe: Connection) -> Piece | None:
    pipe.send(("", None))
    piece: Piece | None = pipe.recv()
    return piece
