"""A list of orders and what was paid for each: one query a row, or the same few for all."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.machine import ROOT
from benchmarks.stories.scenes import Scene, Task


@contextlib.contextmanager
def a_shop(task: Task) -> Iterator[Task]:
    """An installation whose orders all have a payment; made by a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bursar-story-") as home:
        program = "benchmarks.stories.story_08_n_plus_one.shop"
        command = [sys.executable, "-m", program, home, str(task["orders"])]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
        yield {"home": home}


SCENE = Scene(
    story=8,
    title="a query for each row of a list",
    guide_says="N+1 queries; a batch load: 3 s to 0.2 s",
    columns={
        "before": "a query a row",
        "guide": "prefetch_related",
        "ours": "what the API lists",
    },
    tasks={"10,000 orders": {"orders": 10_000}},
    quick={"1,000 orders": {"orders": 1_000}},
    setup=a_shop,
)
