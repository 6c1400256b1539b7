"""
What is played. A scene is a folder `story_NN_name` with `scene.py` and three programs.

`scene.py` holds `SCENE`. Each of `before.py`, `guide.py` and `ours.py` is a short
program: it reads its task as JSON from its first argument and prints one line of JSON,
`{"answer": ..., "figures": {"words": number}}`. The answers of the three must be equal; figures
may differ, and are what the scene is about.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
COLUMNS = ("before", "guide", "ours")

Task = Mapping[str, Any]


def _nothing(_: Task) -> AbstractContextManager[Task]:
    return contextlib.nullcontext({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    One scene of one story.

    *guide_says* is the guide's own figure, in few words. *tasks* maps a label to a task; *quick*
    does the same for a quick look. *setup* makes what the programs need (a server, a file) for one
    task and gives more of the task.
    """

    story: int
    title: str
    guide_says: str
    columns: Mapping[str, str]
    tasks: Mapping[str, Task]
    quick: Mapping[str, Task]
    setup: Callable[[Task], AbstractContextManager[Task]] = field(default=_nothing)


def found() -> dict[str, Scene]:
    """All scenes by the names of their folders, in the guide's order."""
    names = sorted(path.parent.name for path in FOLDER.glob("story_*/scene.py"))
    return {n: importlib.import_module(f"benchmarks.stories.{n}.scene").SCENE for n in names}
