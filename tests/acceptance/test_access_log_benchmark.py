"""The benchmark of the access logs holds every answer against the truth, and watches memory truly."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import accesslog, accesslog_contestants, accesslog_log, watching
from benchmarks.accesslog_contestants import Answer, Contestant, WrongAnswer
from benchmarks.accesslog_log import Truth
from benchmarks.records import Plan, Record

HOLDS_50_MB = "import time; held = bytearray(50_000_000); time.sleep(1)"
TWO_PROCESSES = f"import subprocess, sys; held = bytearray(50_000_000); subprocess.run([sys.executable, '-c', {HOLDS_50_MB!r}])"


def _run(
    program: str, *, memory: bool = False, address_space: int | None = None
) -> watching.Watched:
    return watching.run([sys.executable, "-c", program], memory=memory, address_space=address_space)


def test_memory_is_that_of_all_processes() -> None:
    one, two = (_run(program, memory=True) for program in (HOLDS_50_MB, TWO_PROCESSES))
    assert 50 < one.anonymous_mb <= one.peak_mb < 80
    assert 100 < two.anonymous_mb <= two.peak_mb < 140


def test_what_is_not_watched_has_no_memory() -> None:
    run = _run("import sys; print('said'); print('complained', file=sys.stderr); sys.exit(3)")
    assert (run.status, run.output, run.errors) == (3, "said\n", "complained\n")
    assert (run.peak_mb, run.anonymous_mb) == (0, 0)


def test_an_address_space_can_be_limited() -> None:
    run = _run("held = bytearray(600_000_000)", address_space=500_000_000)
    assert run.status == 1
    assert "MemoryError" in run.errors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    path = tmp_path_factory.mktemp("made") / "access.log"
    return path, accesslog_log.write(path, size=1_000_000, distinct=2_000)


@pytest.mark.parametrize(
    "contestant",
    [
        accesslog_contestants.WC,
        accesslog_contestants.SORT,
        accesslog_contestants.AWK,
        accesslog_contestants.goaccess(full=True),
        *accesslog.BOTH,
    ],
    ids=lambda contestant: contestant.name,
)
def test_contestants_say_the_truth(
    contestant: Contestant, made: tuple[Path, Truth], tmp_path: Path
) -> None:
    if not contestant.is_installed():
        pytest.skip(f"{contestant.name} is not installed")
    path, truth = made
    run = watching.run(contestant.command(path, tmp_path), memory=False)
    assert run.status == 0, run.errors
    contestant.check(contestant.answer(run.output), truth)


@pytest.mark.parametrize("way", ["generator", "list"])
def test_the_guides_ways_count_first_fields(way: str, made: tuple[Path, Truth]) -> None:
    path, truth = made
    program = [sys.executable, "-m", "benchmarks.accesslog_peers", way, str(path)]
    told = json.loads(watching.run(program, memory=False).output)
    assert 0 < told["distinct"] - truth.distinct <= truth.no_client


TRUTH = Truth(
    bytes=900,
    lines=9,
    distinct=3,
    top=[("1.1.1.1", 4), ("1.1.1.2", 1), ("1.1.1.3", 1)],
    no_client=2,
    broken=1,
)
TRUE = Answer(distinct=3, lines=9, rejected=2, top={"1.1.1.1": 4, "1.1.1.2": 1, "1.1.1.3": 1})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"distinct": 4}, "distinct addresses: 4 instead of 3"),
        ({"lines": 8}, "lines: 8 instead of 9"),
        ({"rejected": 1}, "rejected lines: 1 instead of 2"),
        ({"rejected": 4}, "rejected lines: 4 instead of 2"),
        ({"top": {"1.1.1.1": 4}}, "rows: 1 instead of 3"),
        ({"top": {"1.1.1.1": 4, "1.1.1.2": 2, "1.1.1.3": 1}}, "top: "),
    ],
)
def test_ours_may_not_differ_from_the_truth(wrong: dict[str, object], said: str) -> None:
    true = {"distinct": 3, "lines": 9, "rejected": 3, "top": TRUE.top}
    check = accesslog_contestants.ours(processes=1).check
    check(TRUE, TRUTH)
    check(Answer(**true), TRUTH)  # type: ignore[arg-type]
    with pytest.raises(WrongAnswer, match=said):
        check(Answer(**{**true, **wrong}), TRUTH)  # type: ignore[arg-type]


@pytest.mark.parametrize("distinct", [2, 6])
def test_peers_may_count_malformed_lines_and_no_more(distinct: int) -> None:
    check = accesslog_contestants.POLARS.check
    check(Answer(distinct=5, top=TRUE.top), TRUTH)
    with pytest.raises(WrongAnswer, match=f"{distinct} instead of 3"):
        check(Answer(distinct=distinct), TRUTH)


def test_where_a_list_ended_is_read_from_what_it_said() -> None:
    assert accesslog_contestants.lines_before_memory_error("MemoryError after 12 lines\n") == 12
    assert accesslog_contestants.lines_before_memory_error("ModuleNotFoundError: polars") is None


def _records(tmp_path: Path, *only: str) -> list[Record]:
    plan = Plan(
        quick=True,
        peers=False,
        orders=None,
        calls=None,
        rounds=1,
        databases=(),
        size_mb=4,
        only=only,
        folder=tmp_path,
    )
    return accesslog.run(plan, Console(quiet=True))


def test_a_small_run_has_a_record_for_each_figure_and_leaves_nothing(tmp_path: Path) -> None:
    records = _records(tmp_path, "unique-200k", "memory-2gb")
    names = ("peak memory", "peak memory without pages of files", "speed", "CPU")
    assert [(record.benchmark, record.measure) for record in records] == [
        ("accesslog/unique-200k", "log"),
        ("accesslog/unique-200k", "lines"),
        ("accesslog/unique-200k", "distinct addresses"),
        *[
            ("accesslog/unique-200k", f"bursar, {processes}: {name}")
            for processes in ("2 processes", "1 process")
            for name in names
        ],
        ("accesslog/memory-2gb", "log"),
        ("accesslog/memory-2gb", "lines"),
        ("accesslog/memory-2gb", "distinct addresses"),
        *[("accesslog/memory-2gb", f"bursar, 1 process: {name}") for name in names[:2]],
    ]
    assert [record.value for record in records if record.measure == "distinct addresses"] == [
        200,
        200,
    ]
    assert all(record.value > 0 for record in records)
    assert not list(tmp_path.iterdir())


def test_a_row_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no row starts with 'xz'; rows: unique-200k, "):
        _records(tmp_path, "xz")


def test_a_failing_bursar_is_told(tmp_path: Path) -> None:
    ours, quiet = accesslog_contestants.ours(processes=1), Console(quiet=True)
    row = accesslog.Row(contestants=(ours,), timed=False)
    log = accesslog.Log(megabytes=1, distinct=500, rows={"row": row})
    made = accesslog.GeneratedLog(log, scale=1, folder=tmp_path, console=quiet)
    with pytest.raises(RuntimeError, match="bursar, 1 process failed"):
        accesslog._enter(ours, row, tmp_path / "gone.log", made, quiet)
