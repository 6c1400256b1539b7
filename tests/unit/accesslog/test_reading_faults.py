"""Damaged, endless, hostile or truncated logs; full disks; killed processes."""

from __future__ import annotations

import bz2
import functools
import gzip
import json
import lzma
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar import errors
from bursar.accesslog import analysis, report_builder, workers
from bursar.accesslog.aggregation.spill import TemporaryStorageFull
from bursar.accesslog.filters import Filters
from bursar.accesslog.inputs import sources
from bursar.accesslog.parsing import blocks
from bursar.accesslog.parsing.decompression import LogUnreadable
from bursar.accesslog.parsing.formats import UnknownLogFormat

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LINE = b'192.0.2.%d - - [25/Nov/2026:07:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "-"\n'
_LOG = b"".join(_LINE % (number % 250) for number in range(4_000))
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
_TRAFFIC = [sys.executable, "-m", "bursar", "traffic"]


@pytest.mark.parametrize("kind", _PACKERS)
@pytest.mark.parametrize("processes", [1, 2])
def test_compressed_logs_say_what_plain_ones_say(tmp_path: Path, kind: str, processes: int) -> None:
    half = len(_LOG) // 2
    path = tmp_path / "access.log"  # what it is says its content
    path.write_bytes(_PACKERS[kind](_LOG[:half]) + _PACKERS[kind](_LOG[half:]))
    report = analysis.analyze([path], processes=processes)
    assert report["complete"]
    assert (report["lines"]["counted"], report["addresses"]["distinct"]) == (4_000, 250)


@pytest.mark.parametrize("kind", _PACKERS)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_truncated_archive_is_told(tmp_path: Path, kind: str, processes: int) -> None:
    noise = b"".join(
        _LINE % (number % 250) + b"%x\n" % (hash((number, kind)) & 2**64 - 1)
        for number in range(4_000)
    )
    packed = _PACKERS[kind](noise)
    path = tmp_path / "access.log.packed"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    report = analysis.analyze([path], processes=processes, log_format="combined")
    assert not report["complete"]
    cut = report["sources"][0]["truncated_at"]
    assert 0 <= cut < len(noise)
    assert report["lines"]["read"] <= noise[:cut].count(b"\n")


def test_a_log_cut_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(_LOG)
    found = sources.open_sources([path])[0]
    os.truncate(path, 100_000)
    plan = analysis._plan(analysis.ALL_TABLES, Filters(), ())
    with workers.run_workers(
        plan,
        [found],
        processes=1,
        finish=functools.partial(report_builder.finish_share, plan, 10),
        report_progress=lambda done: None,
        prepare=lambda counting: None,
    ) as (counted, _, _):
        assert [
            (cut.offset, "was truncated to 100,000 bytes" in cut.message)
            for cut in counted[0].truncated
        ] == [(100_000, True)]
        assert counted[0].lines.read == _LOG[:100_000].count(b"\n")


def test_a_log_that_grows_is_read_to_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(_LOG)
    found = sources.open_sources([path])[0]
    with path.open("ab") as file:
        file.write(_LOG)
    with sources.open_piece(found, next(sources.split_into_pieces([found]))) as lines:
        assert sum(len(block.starts) for block in lines) == 4_000


def test_a_line_without_end_takes_no_memory() -> None:
    class Endless:
        left = 1 << 30

        def readinto(self, buffer: memoryview) -> int:
            count = min(len(buffer), self.left)
            self.left -= count
            buffer[:count] = _FILL[:count]
            return count

        def close(self) -> None:
            pass

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = blocks.Blocks(Endless())
    assert list(lines) == []
    assert (lines.too_long, lines.offset) == (1, 1 << 30)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_000  # kB


_FILL = b"x" * (1 << 21)


def test_a_bomb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(_LINE % 1)
        for _ in range(80):
            file.write(_FILL)
    assert path.stat().st_size < 1_000_000
    done = subprocess.run(
        [*_TRAFFIC, path, "--json", "-", "--processes", "1"],
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (150 << 20, 150 << 20)),
    )
    report = json.loads(done.stdout)
    assert (report["lines"]["read"], report["lines"]["too_long"]) == (2, 1)


def test_a_log_without_line_end_and_an_empty_one(tmp_path: Path) -> None:
    bare, empty = tmp_path / "bare.log", tmp_path / "empty.log"
    bare.write_bytes((_LINE % 7)[:-1])
    empty.write_bytes(b"")
    report = analysis.analyze([bare, empty])
    assert (report["lines"]["counted"], [one["lines"] for one in report["sources"]]) == (1, [1, 0])


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogUnreadable, match=r"none\.log cannot be read: No such file"):
        analysis.analyze([tmp_path / "none.log"])
    (tmp_path / "a.txt").write_text("Dear \x1b[31msir\nhello\n")
    with pytest.raises(
        UnknownLogFormat, match=r"a\.txt has no known log format; it starts with .*x1b.*--format"
    ):
        analysis.analyze([tmp_path / "a.txt"])


@pytest.fixture
def _full_disk() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.usefixtures("_full_disk")
def test_a_full_disk_ends_the_run(tmp_path: Path, processes: int) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(_LOG[:15_000])
    with pytest.raises(
        TemporaryStorageFull, match=r"cannot grow beyond [\d,]+ bytes: File too large \(set TMPDIR"
    ):
        analysis.analyze([path], processes=processes)


def test_a_killed_worker_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(_LOG)

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(workers._PieceReader, "result", die)
    with pytest.raises(errors.WorkerProcessDied, match="exit code -9"):
        analysis.analyze([path], processes=2)


def test_a_killed_run_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    read, write = os.pipe()
    run = subprocess.Popen(
        [*_TRAFFIC, "-", "--format", "combined", "--partial", tmp_path / "out.part"],
        stdin=read,
        env={**os.environ, "TMPDIR": str(folder)},
        stderr=subprocess.DEVNULL,
    )
    os.close(read)
    feeder = threading.Thread(target=lambda: _feed(write))
    feeder.start()
    time.sleep(0.6)
    run.kill()
    run.wait()
    feeder.join()
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "out.part").exists()


def _feed(write: int) -> None:
    try:
        while True:
            os.write(write, _LOG)
    except BrokenPipeError:
        os.close(write)


def _run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*_TRAFFIC, *map(str, arguments)], capture_output=True, check=False, **options
    )


def test_the_command_marks_what_is_not_whole(tmp_path: Path) -> None:
    path, html = tmp_path / "access.log.gz", tmp_path / "a.html"
    path.write_bytes(gzip.compress(_LOG)[:-300])
    done = _run(path, "--json", "-", "--html", html)
    assert done.returncode == 4
    report = json.loads(done.stdout)
    assert not report["complete"]
    assert f"ends at byte {report['sources'][0]['truncated_at']:,}".encode() in done.stderr
    assert "INCOMPLETE" in html.read_text()


def test_the_command_reads_pipes(tmp_path: Path) -> None:
    for content, processes in ((_LOG, 1), (gzip.compress(_LOG), 2)):
        done = _run(
            "-", "--json", "-", "--tables", "addresses", "--processes", processes, input=content
        )
        assert json.loads(done.stdout)["addresses"]["distinct"] == 250
