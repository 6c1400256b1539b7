"""Play the guide's stories: python -m benchmarks.stories [N...] [--quick] [--json FILE]."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.stories import runner, scenes
from benchmarks.stories.scenes import Scene


def main() -> None:
    there = scenes.found()
    numbers = sorted({scene.story for scene in there.values()})
    parser = argparse.ArgumentParser(prog="scripts/stories", description=__doc__)
    options = ", ".join(map(str, numbers))
    parser.add_argument("stories", nargs="*", type=int, metavar="N", help=f"stories: {options}")
    parser.add_argument("--quick", action="store_true", help="smaller tasks; all within 2 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured there")
    selected = parser.parse_args()
    for number in selected.stories:
        if number not in numbers:
            parser.error(f"story {number} is not played yet; there are: {options}")
    console, records = Console(), []
    for name, scene in there.items():
        if selected.stories and scene.story not in selected.stories:
            continue
        try:
            records += _play(console, name, scene, quick=selected.quick)
        except runner.WrongAnswer as error:
            sys.exit(str(error))
    if selected.json:
        where = machine.run()
        lines = [json.dumps({**record, **where}) for record in records]
        selected.json.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _play(console: Console, name: str, scene: Scene, *, quick: bool) -> list[dict[str, object]]:
    console.print(f"\n[bold]Story {scene.story}: {scene.title}[/bold]")
    console.print(f"The guide: {scene.guide_says}")
    records: list[dict[str, object]] = []
    for label, task in (scene.quick if quick else scene.tasks).items():
        with scene.setup(task) as more:
            columns = [runner.play(name, column, {**task, **more}) for column in scenes.COLUMNS]
        runner.check(name, label, columns)
        _show(console, scene, label, columns)
        records += [
            {"scene": name, "story": scene.story, "task": label, **asdict(column)}
            for column in columns
        ]
    return records


def _show(console: Console, scene: Scene, label: str, columns: list[runner.Column]) -> None:
    table = Table(title=label, title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(f"{column.name}\n{scene.columns[column.name]}", justify="right")
    names = dict.fromkeys(name for column in columns for name in column.figures)
    for name in names:
        table.add_row(name, *[_number(column.figures.get(name)) for column in columns])
    table.add_section()
    for measure, unit in (("wall_seconds", "s"), ("cpu_seconds", "s"), ("peak_mb", "MB")):
        row = [f"{getattr(column, measure):,.2f} {unit}" for column in columns]
        table.add_row(measure.partition("_")[0], *row)
    table.add_row("source lines", *[str(column.lines) for column in columns])
    console.print(table)
    console.print(f"Answers equal: {json.dumps(columns[0].answer)[:90]}")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1_000 else f"{value:,.4g}"


if __name__ == "__main__":
    main()
