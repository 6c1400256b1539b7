"""The house rules that a program can check; each message says where and what."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import pkgutil
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import bursar
from bursar import errors

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bursar"


@dataclass(frozen=True, slots=True)
class Module:
    path: str
    """Relative to src/bursar."""

    text: str
    tree: ast.Module

    def at(self, node: ast.AST) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


@functools.cache
def _modules() -> list[Module]:
    paths = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)
    texts = [(path.relative_to(SOURCE).as_posix(), path.read_text("utf-8")) for path in paths]
    return [Module(path, text, ast.parse(text)) for path, text in texts]


def test_there_is_something_to_check() -> None:
    assert {"money.py", "errors.py", "logs.py"} <= {module.path for module in _modules()}


# --- Words --------------------------------------------------------------------------------------


def test_no_drawer_without_a_name() -> None:
    drawers = {"utils", "util", "core", "common", "helpers", "misc", "services", "repositories"}
    names = {part for module in _modules() for part in Path(module.path).with_suffix("").parts}
    assert names & drawers == set()


# --- What must not be there ---------------------------------------------------------------------


def test_nothing_swallows_conflicts() -> None:
    found = [
        module.at(node)
        for module in _modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.keyword | ast.arg) and node.arg == "ignore_conflicts"
    ]
    assert found == []


MONEY = ("money.py", "fields.py", "ledger/", "payments/", "orders/", "pricing/")
#: Seconds are no money.
SECONDS = re.compile(r"(?i)second|time|delay|wait|clock|timeout|backoff|share|ratio|chance|jitter")


def _is_float(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in {"float", "round", "math.floor", "math.ceil"}
    return isinstance(node, ast.Constant) and type(node.value) is float


def test_no_float_comes_near_money() -> None:
    found = []
    for module in _modules():
        if not module.path.startswith(MONEY):
            continue
        lines = module.text.splitlines()
        found += [
            f"{module.at(node)} {line.strip()}"
            for node in ast.walk(module.tree)
            if _is_float(node) and not SECONDS.search(line := lines[node.lineno - 1])  # type: ignore[attr-defined]
        ]
    assert found == []


PROVIDER_NAME = re.compile(r"(?i)stripe|paypal|sandbox|\bacme")
KNOW_PROVIDERS = ("providers/", "demo/", "simulation/")


def _words(module: Module) -> Iterator[tuple[int, str]]:
    """Yield what the program says: names and texts, without comments and docstrings."""
    skipped = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = iter(module.text.splitlines(keepends=True))
    for token in tokenize.generate_tokens(lambda: next(lines, "")):
        if token.type in {tokenize.NAME, tokenize.STRING} and token.start[0] not in skipped:
            yield token.start[0], token.string


def test_only_providers_know_providers() -> None:
    found = [
        f"{module.path}:{line} {word}"
        for module in _modules()
        if not module.path.startswith(KNOW_PROVIDERS)
        for line, word in _words(module)
        if PROVIDER_NAME.search(word)
    ]
    assert found == []


# --- Errors -------------------------------------------------------------------------------------


def _all_errors() -> list[type[errors.BursarError]]:
    for found in pkgutil.walk_packages(bursar.__path__, "bursar."):
        if not found.name.endswith("__main__") and ".migrations" not in found.name:
            importlib.import_module(found.name)
    waiting, seen = [errors.BursarError], []
    while waiting:
        waiting += (parent := waiting.pop()).__subclasses__()
        seen.append(parent)
    return [error for error in dict.fromkeys(seen) if error.__module__.startswith("bursar.")]


def test_every_error_has_a_code_of_its_own() -> None:
    by_code: dict[str, list[str]] = {}
    for error in _all_errors():
        by_code.setdefault(error.code, []).append(f"{error.__module__}.{error.__qualname__}")
    assert {code: names for code, names in by_code.items() if len(names) > 1} == {}
    assert [code for code in by_code if not re.fullmatch("[a-z][a-z0-9_]*", code)] == []


# --- The repository -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run", "test", "stories", "check", "bench", "campaign", "lock"])
def test_the_scripts_can_be_run(name: str) -> None:
    path = ROOT / "scripts" / name
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/bin/sh\n")


def test_continuous_integration_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def _map_of(page: str) -> str | None:
    """Return the section "## The map" of *page*."""
    found = re.search(r"^## The map$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return found[1] if found else None


def test_the_map_shows_every_folder() -> None:
    drawn = _map_of((ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    assert drawn is not None
    missing = []
    for init in sorted(SOURCE.glob("*/__init__.py")):
        if init.parent.name == "migrations":
            continue
        said = (ast.get_docstring(ast.parse(init.read_text("utf-8"))) or "").split("\n")[0]
        rows = [row for row in drawn.splitlines() if f"{init.parent.name}/" in row]
        if not any(said.rstrip(".") in row for row in rows):
            missing.append(f"{init.parent.name}/  {said}")
    assert missing == []
