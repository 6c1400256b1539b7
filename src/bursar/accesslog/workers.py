"""
Reading and counting, in this process or in several.

Each process counts in tables of its own and spills to a file of its own. At the end every one brings
together a share of the keys, from all files. A process that dies ends the whole: no part of a log
passes for the whole.
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

Tell = Callable[[int], None]
"""Called with the bytes read so far, now and then."""


@dataclass(frozen=True, slots=True)
class TruncatedInput:
    """Where a source ended before its time."""

    source: int
    offset: int
    message: str


@dataclass(slots=True)
class WorkerResult:
    """What one process has counted; the tables are in *runs*."""

    runs: list[Run]
    sketch: AddressSketch | None
    lines: LineCounts
    cuts: list[TruncatedInput] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)
    """Where in each source the next line begins."""

    read: dict[int, int] = field(default_factory=dict)
    """Lines of each source."""


class Finish(Protocol):
    """Brings together a share (i of n) of the keys of all runs."""

    def __call__(
        self,
        runs: Sequence[Run],
        spills: Mapping[int, Spill],
        share: tuple[int, int],
        *,
        again: bool,
    ) -> Finishing:
        """Return the share; *again* if what the first round moved is now among the runs."""


class Finishing(Protocol):
    """A share. If any share has *moved* rows to other keys, all are brought together again with them."""

    moved: list[Run]


def tune_malloc() -> None:
    """
    Have this process, and those it forks, keep what they free for what they need next.

    By default glibc gives arrays of 128 KiB and more back to the system, and each new one is paid for
    page by page: a tenth of all time. What is held is no more than the peak was. Elsewhere nothing
    is done.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 1 << 25)
        library.mallopt(_M_TRIM_THRESHOLD, 1 << 26)


def trim_malloc() -> None:
    """Give what is free back to the system: what comes next needs it in other sizes."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def run_workers(
    plan: Plan,
    inputs: Sequence[LogSource],
    *,
    processes: int,
    finish: Finish,
    tell: Tell,
    prepare: Callable[[Aggregator], None],
    apart: bool = True,
) -> Iterator[tuple[list[WorkerResult], list[Any], Mapping[int, Spill]]]:
    """
    Count all lines of *inputs* and finish: what each process counted, its share of the end, the spills.

    *prepare* is run in the first process before it begins. Unless *apart*, this process alone finishes.
    The spills are gone when the block ends.

    :raises errors.WorkerProcessDied: if a process ends before its time.
    :raises SpillFailed: if the temporary folder is full.
    """
    todo = list(sources.pieces(inputs))
    spills = {number: Spill(number=number) for number in range(processes)}
    try:
        if processes == 1:
            alone = _alone(plan, inputs, todo, spills[0], tell, prepare)
            yield [alone], _finished(finish, alone.runs, spills), spills
            return
        everyone, shares = _together(
            plan, inputs, todo, spills, finish if apart else None, tell, prepare
        )
        if not apart:
            runs = [run for each in everyone for run in each.runs]
            spills[0].catch_up()
            shares = _finished(finish, runs, spills)
        yield everyone, shares, spills
    finally:
        for spill in spills.values():
            spill.close()


def _finished(finish: Finish, runs: Sequence[Run], spills: Mapping[int, Spill]) -> list[Any]:
    trim_malloc()
    share = finish(runs, spills, (0, 1), again=False)
    if share.moved:
        share = finish([*runs, *share.moved], spills, (0, 1), again=True)
    return [share]


def _alone(
    plan: Plan,
    inputs: Sequence[LogSource],
    todo: Sequence[Piece],
    spill: Spill,
    tell: Tell,
    prepare: Callable[[Aggregator], None],
) -> WorkerResult:
    counting = Aggregator(plan, spill)
    prepare(counting)
    done = 0
    reading = _Reading(counting, inputs)
    for piece in todo:
        for read in reading.read(piece, own_process=False):
            done += read
            tell(done)
    return reading.counted(spill)


class _Reading:
    """Feeds pieces to *counting*, and keeps what became of them."""

    def __init__(self, counting: Aggregator, inputs: Sequence[LogSource]) -> None:
        self._counting, self._inputs = counting, inputs
        self._cuts: list[TruncatedInput] = []
        self._offsets: dict[int, int] = {}
        self._read: Counter[int] = Counter()

    def read(self, piece: Piece, *, own_process: bool) -> Iterator[int]:
        """Count the lines of *piece*; yields how many bytes more were read, now and then."""
        source = self._inputs[piece.source]
        at = told = piece.begin
        before = self._counting.lines.read
        try:
            with sources.opened(source, piece, own_process=own_process) as lines:
                count = self._counting.of(source.format)
                try:
                    for block in lines:
                        count(block)
                        at = lines.offset
                        if at - told >= sources.PIECE_BYTES:
                            yield at - told
                            told = at
                finally:
                    at = lines.offset
                    self._counting.skip(lines.too_long)
        except LogTruncated as error:
            self._cuts.append(TruncatedInput(piece.source, error.offset, error.message))
        self._offsets[piece.source] = max(at, self._offsets.get(piece.source, 0))
        self._read[piece.source] += self._counting.lines.read - before
        self._counting.lines.bytes += at - piece.begin
        yield at - told

    def counted(self, spill: Spill) -> WorkerResult:
        """Write out the tables."""
        self._counting.flush()
        return WorkerResult(
            list(spill.runs),  # a copy: the end writes runs of its own
            self._counting.sketch,
            self._counting.lines,
            self._cuts,
            self._offsets,
            dict(self._read),
        )


def _together(
    plan: Plan,
    inputs: Sequence[LogSource],
    todo: Sequence[Piece],
    spills: Mapping[int, Spill],
    finish: Finish | None,
    tell: Tell,
    prepare: Callable[[Aggregator], None],
) -> tuple[list[WorkerResult], list[Any]]:
    """
    Fork a worker for each spill, hand out pieces as they ask, and then shares of the keys.

    Forked, not spawned: they share what is loaded, and the files without names. A pool of the
    standard library cannot address a worker: each keeps its own tables between the pieces, and the
    death of one ends the run (`test_a_killed_worker_ends_the_run`).
    """
    fork = multiprocessing.get_context("fork")
    inflate_apart = len(todo) < len(spills)
    crew: list[_Hand] = []
    try:
        for number in spills:
            ours, theirs = fork.Pipe()
            worker = fork.Process(
                target=_work,
                daemon=True,
                kwargs={"inflate_apart": inflate_apart},
                args=(
                    (theirs, [*(hand.pipe for hand in crew), ours]),
                    plan,
                    inputs,
                    spills,
                    number,
                    finish,
                    prepare if number == 0 else lambda _: None,
                ),
            )
            worker.start()
            theirs.close()
            crew.append(_Hand(worker, ours))
        everyone = _hand_out(crew, iter(todo), tell)
        if finish is None:
            return everyone, []
        runs = [run for each in everyone for run in each.runs]
        shares = _ask(crew, runs)
        if moved := [run for share in shares for run in share.moved]:
            shares = _ask(crew, [*runs, *moved])
        return everyone, shares
    finally:
        for hand in crew:
            hand.end()


def _ask(crew: Sequence[_Hand], runs: Sequence[Run]) -> list[Any]:
    """Have everybody bring a share of the keys of *runs* together."""
    for hand in crew:
        hand.say(runs)
    return [hand.hear() for hand in crew]


@dataclass(slots=True)
class _Hand:
    """A worker as its parent sees it."""

    process: Any
    pipe: Connection

    def say(self, words: object) -> None:
        try:
            self.pipe.send(words)
        except OSError as error:
            raise self._died() from error

    def hear(self) -> Any:
        """:raises BaseException: what ended the worker."""
        try:
            kind, words = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if kind == "error":
            raise words
        return words

    def _died(self) -> errors.WorkerProcessDied:
        self.process.join(5)
        return errors.WorkerProcessDied(
            f"a process of ours ended with exit code {self.process.exitcode} before its work was done"
            " (killed, or out of memory); nothing was counted"
        )

    def end(self) -> None:
        """Make sure that it is gone."""
        self.pipe.close()
        self.process.join(0.5 if self.process.exitcode is None else None)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def _hand_out(crew: Sequence[_Hand], todo: Iterator[Piece], tell: Tell) -> list[WorkerResult]:
    """Give pieces to whoever asks until there are none; what each has counted, in order."""
    counted: dict[int, WorkerResult] = {}
    by_pipe = {hand.pipe: number for number, hand in enumerate(crew)}
    done = 0
    while len(counted) < len(crew):
        for pipe in wait([pipe for pipe, number in by_pipe.items() if number not in counted]):
            number = by_pipe[pipe]  # type: ignore[index]
            words = crew[number].hear()
            if isinstance(words, WorkerResult):
                counted[number] = words
            elif words is None:
                crew[number].say(next(todo, None))
            else:
                done += words
                tell(done)
    return [counted[number] for number in range(len(crew))]


def _work(
    pipes: tuple[Connection, Iterable[Connection]],
    plan: Plan,
    inputs: Sequence[LogSource],
    spills: Mapping[int, Spill],
    number: int,
    finish: Finish | None,
    prepare: Callable[[Aggregator], None],
    *,
    inflate_apart: bool,
) -> None:
    """Count the pieces that the parent hands out, then bring a share together."""
    pipe, others = pipes  # its own, and those that it inherited by forking
    for other in others:
        other.close()  # else nobody would notice that its owner is gone
    try:
        counting = Aggregator(plan, spills[number])
        prepare(counting)
        reading = _Reading(counting, inputs)
        while (piece := _next(pipe)) is not None:
            for read in reading.read(piece, own_process=inflate_apart):
                pipe.send(("", read))
        pipe.send(("", reading.counted(spills[number])))
        del counting, reading
        if finish is None:
            return
        trim_malloc()
        for again in (False, True):
            runs = pipe.recv()  # the second time only if there was something to move
            pipe.send(("", finish(runs, spills, (number, len(spills)), again=again)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass  # the parent is gone, or going
    except errors.BursarError as error:
        pipe.send(("error", error))
    except BaseException as error:
        traceback.print_exc()
        pipe.send(
            (
                "error",
                errors.WorkerProcessDied(
                    f"a process of ours failed: {type(error).__name__}: {error}"
                ),
            )
        )
        raise


def _next(pipe: Connection) -> Piece | None:
    pipe.send(("", None))
    piece: Piece | None = pipe.recv()
    return piece
