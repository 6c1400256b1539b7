"""Taking orders from the front of a queue, one after the other."""

from __future__ import annotations

from benchmarks.stories.scenes import Scene, Task


def _task(length: int, dequeued: int) -> Task:
    return {"length": length, "taken": dequeued}


SCENE = Scene(
    story=4,
    title="an order queue",
    guide_says="a dequeue from 15 ms to 0.01 ms at 10,000 items",
    columns={
        "before": "list.pop(0)",
        "guide": "collections.deque",
        "ours": "the durable queue",
    },
    # list.pop(0) moves all that is left: a million would take minutes to drain, so at that length
    # every column takes the same stated number from the front.
    tasks={
        "10,000 queued, all taken": _task(10_000, 10_000),
        "1,000,000 queued, 10,000 taken": _task(1_000_000, 10_000),
    },
    quick={
        "10,000 queued, all taken": _task(10_000, 10_000),
        "100,000 queued, 5,000 taken": _task(100_000, 5_000),
    },
)
