"""The stories can be played: three short programs a scene, one answer; no speed is tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.stories import __main__ as command
from benchmarks.stories import runner, scenes
from benchmarks.stories.story_02_retry import scene as retry_scene

ROOT = Path(__file__).parents[2]
SCENES = scenes.found()


def test_every_scene_says_what_it_plays() -> None:
    for name, scene in SCENES.items():
        assert name.startswith(f"story_{scene.story:02}_")
        assert tuple(scene.columns) == scenes.COLUMNS
        assert scene.tasks
        assert scene.quick


SMALL: dict[str, scenes.Task] = {
    "story_01_addresses": {"megabytes": 2, "distinct": 3_000},
    "story_02_retry": {"chance": 0.3, "calls": 40, "seed": 1},
    "story_02_cache": {
        "calls": 30,
        "service_seconds": 0.001,
        "load": 0.5,
        "misses": 0.15,
        "seed": 1,
    },
    "story_03_threads": {"profile": "quick", "count": 4},
    "story_03_asyncio": {"profile": "quick", "count": 3},
    "story_03_mixed": {"profile": "quick", "count": 4, "blocking": 2, "rounds": 1_000},
    "story_04_dequeue": {"length": 300, "taken": 250},
    "story_04_counting": {"orders": 500},
    "story_05_providers": {"instances": 50},
    "story_06_import": {"rows": 40},
    "story_07_prices": {"mutants": 1},
    "story_08_n_plus_one": {"orders": 20},
    "story_08_webhook": {"deliveries": 40, "at_once": 4},
}


@pytest.mark.parametrize("name", SCENES)
def test_the_three_columns_have_one_answer(name: str) -> None:
    scene, task = SCENES[name], SMALL[name]
    with scene.setup(task) as more:
        columns = [runner.play(name, column, {**task, **more}) for column in scenes.COLUMNS]
    runner.check(name, "small", columns)
    assert all(column.wall_seconds > 0 and column.peak_mb > 1 for column in columns)
    assert [column.lines >= 3 for column in columns] == [True] * 3


def test_retries_hide_exactly_what_the_plan_lets_them() -> None:
    task = {"chance": 0.3, "calls": 200, "seed": 1}
    scene = SCENES["story_02_retry"]
    plans = retry_scene.plan(task)
    first = sum(tries[0] for tries in plans.values())
    thrice = sum(all(tries[:3]) for tries in plans.values())
    with scene.setup(task) as more:
        told = [runner.play("story_02_retry", c, {**task, **more}) for c in scenes.COLUMNS]
    seen = [column.figures["failures seen, %"] for column in told]
    assert seen == [first / 2, thrice / 2, thrice / 2]
    assert 0 < thrice < first


def test_only_ours_names_every_mistake_and_only_the_naive_leaves_rows() -> None:
    scene, task = SCENES["story_06_import"], {"rows": 40}
    with scene.setup(task) as more:
        told = [runner.play("story_06_import", c, {**task, **more}) for c in scenes.COLUMNS]
    assert [column.figures for column in told] == [
        {"rows left behind": 20, "mistakes named": 0},
        {"rows left behind": 0, "mistakes named": 1},
        {"rows left behind": 0, "mistakes named": 3},
    ]


def test_answers_that_differ_are_told() -> None:
    columns = [
        runner.Column(
            name=name, answer=answer, figures={}, wall_seconds=1, cpu_seconds=1, peak_mb=1, lines=1
        )
        for name, answer in (("before", 1), ("guide", 1), ("ours", 2))
    ]
    with pytest.raises(runner.WrongAnswer, match="before: 1; guide: 1; ours: 2"):
        runner.check("scene", "task", columns)


def test_a_story_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.stories", "99", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 2
    assert "story 99 is not played yet; there are: 1" in done.stderr


def test_records_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = SCENES["story_02_retry"]
    small = {"small": SMALL["story_02_retry"]}
    tiny = scenes.Scene(
        story=2,
        title=scene.title,
        guide_says="",
        columns=scene.columns,
        tasks=small,
        quick=small,
        setup=scene.setup,
    )
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # a library warns where it is missing
    monkeypatch.setattr(scenes, "found", lambda: {"story_02_retry": tiny})
    file = tmp_path / "records.jsonl"
    monkeypatch.setattr(sys, "argv", ["stories", "--quick", f"--json={file}"])
    command.main()
    records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [(record["scene"], record["name"]) for record in records] == [
        ("story_02_retry", column) for column in scenes.COLUMNS
    ]
    measured = {"wall_seconds", "cpu_seconds", "peak_mb", "lines", "figures"}
    assert measured | {"machine", "versions", "commit", "seed", "date"} <= set(records[0])
