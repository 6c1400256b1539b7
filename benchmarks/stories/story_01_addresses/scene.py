"""How many different clients a log of a shop has, some of whose lines name none."""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import accesslog_log
from benchmarks.stories.scenes import Scene, Task


@contextlib.contextmanager
def log(task: Task) -> Iterator[Task]:
    """Make a log up; it is in the page cache, as it has just been written."""
    with tempfile.TemporaryDirectory(prefix="bursar-story-") as folder:
        path = Path(folder, "access.log")
        size = round(task["megabytes"] * 1e6)
        # In a process of its own: a child's peak counts from what its parent had when it was made.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
            apart.submit(accesslog_log.write, path, size=size, distinct=task["distinct"]).result()
        yield {"log": str(path)}


SCENE = Scene(
    story=1,
    title="the unique addresses of an access log",
    guide_says="12 GB in 180 MB instead of 8 GB, 15 % slower; 2 GB in 50 MB instead of 1.2 GB",
    columns={
        "before": "all lines in a list",
        "guide": "generators and a set",
        "ours": "bursar traffic, 1 process",
    },
    tasks={
        "2 GB, 200,000 addresses": {"megabytes": 2_000, "distinct": 200_000},
        "2 GB, 5,000,000 addresses": {"megabytes": 2_000, "distinct": 5_000_000},
    },
    quick={"100 MB, 20,000 addresses": {"megabytes": 100, "distinct": 20_000}},
    setup=log,
)
