"""`bursar traffic`: invalid options, exit codes and imports."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from bursar import cli
from bursar.cli import commands

LINE = '192.0.2.1 - - [25/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'


def _run(program: str, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_it_takes_neither_django_nor_what_reads_the_options_of_other_commands(
    tmp_path: Path,
) -> None:
    log = tmp_path / "a.log"
    log.write_text(LINE)
    told = _run(
        "import sys; from bursar import cli\n"
        "try: cli.main()\n"
        "except SystemExit as end: print(end.code, sys.modules.keys() & {'django', 'typer', 'pydantic'})",
        "traffic",
        str(log),
        "--tables",
        "addresses",
        "--json",
        str(tmp_path / "a.json"),
        "--quiet",
    )
    assert told == ["0 set()"]


def test_it_is_among_the_commands_of_bursar(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.app(["--help"], prog_name="bursar")
    assert "traffic " in capfd.readouterr().out
    with pytest.raises(SystemExit) as left:
        commands.app(["traffic", "--help"], prog_name="bursar")
    assert left.value.code == 0
    assert capfd.readouterr().out.startswith("usage: bursar traffic [-h]")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "required: FILE"),
        (["merge"], "bursar traffic merge: error"),
        (["read"], "bursar traffic: error"),
        (["--top", "0", "a"], "'0' is not a number from 1 to 100,000"),
        (["--tpo", "3", "a"], "--tpo"),
        (["--processes", "257", "a"], "'257' is not a number from 1 to 256"),
    ],
)
def test_words_that_mean_nothing_end_it_with_code_2(
    words: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["bursar", "traffic", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert expected in capfd.readouterr().err


def test_a_file_named_merge_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "merge").write_text(LINE)
    done = subprocess.run(
        [sys.executable, "-m", "bursar", "traffic", "read", "merge", "--csv", "-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "192.0.2.1" in done.stdout


def test_it_ends_quietly_when_nobody_reads_on(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(
        "".join(LINE.replace(".1 ", f".{n % 250} ").replace("/ ", f"/{n} ") for n in range(20_000))
    )
    done = subprocess.run(
        [
            "sh",
            "-c",
            '"$0" -m bursar traffic a.log --top 20000 --csv - | head -c 10; echo',
            sys.executable,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout) == 11
    assert done.stderr == ""


def test_what_it_says_is_all_written_whatever_its_exit_code(tmp_path: Path) -> None:
    log = tmp_path / "cut.gz"
    log.write_bytes(gzip.compress(LINE.encode() * 50_000, 0)[:-600])
    done = subprocess.run(
        [sys.executable, "-m", "bursar", "traffic", str(log), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "192.0.2.1" in done.stdout
    assert "INCOMPLETE" in done.stdout
