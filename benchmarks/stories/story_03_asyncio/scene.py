"""Forty APIs: a process for each, as a colleague did it, and coroutines in one."""

from __future__ import annotations

from benchmarks.stories.scenes import Scene
from benchmarks.stories.story_03_threads.scene import apis

SCENE = Scene(
    story=3,
    title="forty APIs, and a colleague's pool of processes",
    guide_says="overhead was high, the process count exploded; 0.6 s for 40 APIs with asyncio",
    columns={
        "before": "a process for each API",
        "guide": "asyncio with aiohttp",
        "ours": "fan_out.Gathering",
    },
    tasks={"40 APIs": {"profile": "guide", "count": 40}},
    quick={"40 APIs, ten times as fast": {"profile": "quick", "count": 40}},
    setup=apis,
)
