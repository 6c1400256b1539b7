"""Counting and grouping orders as they come."""

from __future__ import annotations

from benchmarks.stories.scenes import Scene

SCENE = Scene(
    story=4,
    title="counting orders by state, grouping them by day, and leaving repeats out",
    guide_says="120 lines less; Counter, defaultdict, set and tuple keys as the standard",
    columns={
        "before": "dict.get, lists",
        "guide": "Counter, defaultdict, set",
        "ours": "one SQL statement",
    },
    tasks={"20,000 orders": {"orders": 20_000}, "1,000,000 orders": {"orders": 1_000_000}},
    quick={"20,000 orders": {"orders": 20_000}},
)
