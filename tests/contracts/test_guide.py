"""docs/guide.md has a row for every point of the guide, and every name in it is there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide.md").read_text("utf-8")

#: How many points the guide makes: bullets of its Action, its Result, and what makes it great.
POINTS = {
    "1. Reading access logs": 7,
    "2. Decorators": 7,
    "3. Threads, processes, coroutines": 7,
    "4. The order queue": 7,
    "5. Payment providers": 7,
    "6. Imports and errors": 7,
    "7. Tests": 7,
    "8. Django and FastAPI": 7,
    "9. Millions of rows": 7,
    "10. Packaging": 7,
    "Rapid-fire: core": 4,
    "Rapid-fire: advanced": 4,
    "Rapid-fire: production": 4,
    "Common mistakes": 8,
    "Questions": 8,
}


def _rows() -> dict[str, list[list[str]]]:
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        title, *lines = section.splitlines()
        cells = [line.strip("|").split("|") for line in lines if line.startswith("|")]
        found[title] = [[cell.strip() for cell in row] for row in cells[2:]]
    return found


ROWS = _rows()
NAMES = sorted(set(re.findall(r"`([\w./-]+(?:::[\w.]+)?)`", PAGE)))


def _names(body: list[ast.stmt], inside: str = "") -> set[str]:
    found = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found |= {f"{inside}{node.name}"}
            if isinstance(node, ast.ClassDef):
                found |= _names(node.body, f"{inside}{node.name}.")
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        found |= {f"{inside}{target.id}" for target in targets if isinstance(target, ast.Name)}
    return found


def test_every_point_has_a_row() -> None:
    assert list(ROWS) == list(POINTS)
    assert {title: len(rows) for title, rows in ROWS.items() if len(rows) < POINTS[title]} == {}
    assert [row for rows in ROWS.values() for row in rows if len(row) != 4] == []


def test_the_count_at_the_top_is_right() -> None:
    states = Counter(row[1] for rows in ROWS.values() for row in rows)
    assert set(states) == {"done", "replaced", "to come"}
    told = f"**{states['done']} done, {states['replaced']} replaced, {states['to come']} to come.**"
    assert told in PAGE


def test_every_row_says_where_or_when() -> None:
    for rows in ROWS.values():
        for point, state, where, note in rows:
            if state == "to come":
                assert re.match(r"issue \d|a later issue \(", where), point
            else:
                assert where.startswith("`"), point
            if state == "replaced":
                assert "because" in note, point


@pytest.mark.parametrize("name", [name for name in NAMES if "/" in name or "::" in name])
def test_every_name_is_there(name: str) -> None:
    path, _, symbol = name.partition("::")
    assert (ROOT / path).exists(), path
    if symbol:
        assert symbol in _names(ast.parse((ROOT / path).read_text("utf-8")).body)
