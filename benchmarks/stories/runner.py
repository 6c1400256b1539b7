"""Runs one column of a scene in a process of its own and measures it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.stories.scenes import FOLDER, Task

SECONDS_MAX = 600.0


class WrongAnswer(Exception):
    """Three columns, and not one answer."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, played once: seconds by the wall and of CPU, the largest memory, what it printed."""

    name: str
    answer: Any
    figures: dict[str, float]
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    lines: int


def lines_of(path: Path) -> int:
    """Source lines of a program: neither empty nor a comment."""
    texts = (line.strip() for line in path.read_text("utf-8").splitlines())
    return sum(1 for text in texts if text and not text.startswith("#"))


def play(scene: str, column: str, task: Task) -> Column:
    """
    Run `<scene>/<column>.py` on *task*.

    :raises RuntimeError: if it fails or prints no answer.
    """
    path = FOLDER / scene / f"{column}.py"
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("BURSAR_", "DJANGO_"))}
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, str(path), json.dumps(task)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        printed = process.stdout.read()  # to its end; errors are few and fit into the pipe
        errors = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{scene}/{column}.py failed:\n{errors[-4_000:]}")
    result = json.loads(printed.splitlines()[-1])
    return Column(
        name=column,
        answer=result["answer"],
        figures=result["figures"],
        wall_seconds=wall,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_mb=used.ru_maxrss / 1024,
        lines=lines_of(path),
    )


def check(scene: str, label: str, columns: list[Column]) -> None:
    """:raises WrongAnswer: if the columns do not agree."""
    answers = {json.dumps(column.answer, sort_keys=True) for column in columns}
    if len(answers) > 1:
        printed = "; ".join(f"{column.name}: {column.answer}" for column in columns)
        raise WrongAnswer(f"{scene}, {label}: the answers differ: {printed}")
