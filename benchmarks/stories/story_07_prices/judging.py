"""Runs one file of tests on the right calculator and on each of its planted mistakes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.stories.runner import lines_of
from benchmarks.stories.story_07_prices.calculator import MUTANTS


def judge(task: str, name: str, *also: str) -> None:
    """Print how many cases agree and how many mistakes are caught; *also* is taken in by *name*."""
    file, began = Path(__file__).with_name(name), time.perf_counter()
    completed = _run(file, "")
    seconds = time.perf_counter() - began
    cases = len(re.findall(r"test_case\S* PASSED", completed))
    planted = MUTANTS[: json.loads(task)["mutants"]]
    caught = sum(" failed" in _run(file, mutant) for mutant in planted)
    figures = {
        f"of {len(planted)} mistakes caught": caught,
        "lines of tests": sum(lines_of(file.with_name(each)) for each in (name, *also)),
        "seconds, all tests": seconds,
    }
    print(json.dumps({"answer": cases, "figures": figures}))


def _run(file: Path, mutant: str) -> str:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        f"--rootdir={file.parent}",
        str(file),
    ]
    env = {**os.environ, "MUTANT": mutant, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout
