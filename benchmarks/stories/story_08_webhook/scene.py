"""Deliveries of a provider, thirty-two at a time, each stored on disk before it is answered."""

from __future__ import annotations

from benchmarks.stories.scenes import Scene

SCENE = Scene(
    story=8,
    title="a webhook under load",
    guide_says="10x the requests; P99 800 to 45 ms",
    columns={
        "before": "a Django view",
        "guide": "a FastAPI service",
        "ours": "/hooks, grouped commits",
    },
    tasks={"5,000 deliveries": {"deliveries": 5_000, "at_once": 32}},
    quick={"600 deliveries": {"deliveries": 600, "at_once": 32}},
)
