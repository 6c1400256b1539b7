"""An aggregation under load, 85 % of whose calls have been made before."""

from __future__ import annotations

from benchmarks.stories.scenes import Scene, Task


def _task(calls: int, seconds: float) -> Task:
    return {"calls": calls, "service_seconds": seconds, "load": 0.5, "misses": 0.15, "seed": 2026}


SCENE = Scene(
    story=2,
    title="an aggregation that is asked for again and again",
    guide_says="latency -90 % at 85 % hits",
    columns={
        "before": "computed every time",
        "guide": "dict by str(args), TTL",
        "ours": "@cache of bursar.decorators",
    },
    tasks={"20 ms each, server half busy": _task(1_000, 0.02)},
    quick={"8 ms each, server half busy": _task(400, 0.008)},
)
