"""Wrong providers are refused before they run: one mypy run over the folder `typing`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "typing"
SOURCES = Path(__file__).parents[2] / "src"

FILES = sorted(path.name for path in FOLDER.glob("*.py"))
_ERROR = re.compile(
    r"(?P<path>[^:]+\.py):(?P<line>\d+): (?:error: |note: (?=Revealed))(?P<message>.*)"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[tuple[str, int], str]:
    told = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            "--no-error-summary",
            f"--cache-dir={tmp_path_factory.mktemp('mypy')}",
            *[str(FOLDER / name) for name in FILES],
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "MYPYPATH": str(SOURCES)},
        cwd=FOLDER,
    )
    assert told.stderr == ""
    matches = [_ERROR.match(line) for line in told.stdout.splitlines()]
    told_of: dict[tuple[str, int], str] = {}
    for m in filter(None, matches):
        place = (Path(m["path"]).name, int(m["line"]))
        told_of[place] = f"{told_of.get(place, '')}{m['message']}\n"
    return told_of


@pytest.mark.parametrize("name", FILES)
def test_mypy_refuses_exactly_the_marked_lines(found, name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    marked = {
        number: line.split("# E: ")[1] for number, line in enumerate(lines, 1) if "# E: " in line
    }
    refused = {line: message for (file, line), message in found.items() if file == name}

    assert sorted(refused) == sorted(marked)
    assert [n for n, fragment in marked.items() if fragment not in refused[n]] == []
