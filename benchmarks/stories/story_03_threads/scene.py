"""A dashboard of 20 REST APIs: 400 ms each on average, 580 ms the slowest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks import dashboard_server
from benchmarks.stories.scenes import Scene, Task


@contextlib.contextmanager
def apis(_: Task) -> Iterator[Task]:
    """Serve them in a process of their own."""
    with dashboard_server.running() as port:
        yield {"port": port}


SCENE = Scene(
    story=3,
    title="twenty REST APIs on one board",
    guide_says="8 s one after the other, 0.9 s with 20 threads",
    columns={
        "before": "one after the other",
        "guide": "20 threads, as_completed",
        "ours": "fan_out.Gathering",
    },
    tasks={"20 APIs": {"profile": "guide", "count": 20}},
    quick={"20 APIs, ten times as fast": {"profile": "quick", "count": 20}},
    setup=apis,
)
