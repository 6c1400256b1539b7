"""APIs, a library that blocks, and calculations with what they answer."""

from __future__ import annotations

from benchmarks.stories.scenes import Scene
from benchmarks.stories.story_03_threads.scene import apis

SCENE = Scene(
    story=3,
    title="waiting and calculating, mixed",
    guide_says="asyncio for waiting, run_in_executor for what blocks, a process pool for CPU: 4x on 4 cores",
    columns={
        "before": "one after the other",
        "guide": "asyncio, executor, processes",
        "ours": "fan_out.Gathering",
    },
    tasks={
        "20 APIs, 5 of them blocking": {
            "profile": "guide",
            "count": 20,
            "blocking": 5,
            "rounds": 1_500_000,
        },
    },
    quick={
        "20 APIs ten times as fast, 5 of them blocking": {
            "profile": "quick",
            "count": 20,
            "blocking": 5,
            "rounds": 150_000,
        },
    },
    setup=apis,
)
