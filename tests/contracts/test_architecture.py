"""The house rules that a program can check; each message says where and what."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import pkgutil
import re
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import bursar
from bursar import errors

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bursar"

FUNCTION_LINES_MAX, FILE_LINES_MAX, FOLDER_MODULES_MAX = 60, 400, 8
#: Folders that may hold more, and why.
ROOMY = {
    "admin": 9,  # what all pages have in common, and a module for each kind of list
    "api/routes": 9,  # a module for each thing the API has
    "cli": 13,  # a module for each group of commands, and what they show
    "orders": 9,  # placing, importing, quoting and refunding them
    "payments": 15,  # the heart of the house: every road of money passes through it
    "pricing": 9,  # a module for each kind of rule
    "providers/sandbox": 14,  # a provider's whole system, book and server included
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


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


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def _public(body: list[ast.stmt], *, inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield what *body* offers; methods of private classes and of functions are not offered."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_"):
                continue
            yield f"{inside}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, inside=f"{inside}{node.name}.")


def test_there_is_something_to_check() -> None:
    assert {"money.py", "errors.py", "logs.py"} <= {module.path for module in _modules()}


# --- Size ---------------------------------------------------------------------------------------


def test_functions_are_short() -> None:
    long = [
        f"{module.at(function)} {function.name}: {length} lines"
        for module in _modules()
        for function in _functions(module.tree)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_files_are_short() -> None:
    long = [
        f"{module.path}: {length} lines"
        for module in _modules()
        if (length := len(module.text.splitlines())) > FILE_LINES_MAX
    ]
    assert long == []


def test_folders_have_few_modules() -> None:
    folders: dict[Path, int] = {}
    for module in _modules():
        path = Path(module.path)
        if path.name not in {"__init__.py", "__main__.py"} and path.parent != Path():
            folders[path.parent] = folders.get(path.parent, 0) + 1
    full = {
        folder.as_posix(): count
        for folder, count in folders.items()
        if count > ROOMY.get(folder.as_posix(), FOLDER_MODULES_MAX)
    }
    assert full == {}


# --- Words --------------------------------------------------------------------------------------


def test_no_drawer_without_a_name() -> None:
    drawers = {"utils", "util", "core", "common", "helpers", "misc", "services", "repositories"}
    names = {part for module in _modules() for part in Path(module.path).with_suffix("").parts}
    assert names & drawers == set()


def test_modules_say_what_they_are() -> None:
    silent = [module.path for module in _modules() if not ast.get_docstring(module.tree)]
    assert silent == []


#: Django looks for these names; what they do is Django's to explain.
DJANGO_METHODS = {
    "ready",
    "deconstruct",
    "db_check",
    "db_type",
    "from_db_value",
    "to_python",
    "get_prep_value",
}


def _explained_by_name(module: Module, name: str, node: ast.AST) -> bool:
    """A method of two lines says what it does; so does one that overrides a documented one."""
    if isinstance(node, ast.ClassDef):
        return name.endswith((".Meta", ".Config"))
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    length = (node.end_lineno or 0) - node.body[0].lineno + 1
    if any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list):
        return True  # the implementation below it explains
    return "." in name and (
        length <= 2 or name.rpartition(".")[2] in DJANGO_METHODS | _documented_above(module)
    )


def _documented_above(module: Module) -> set[str]:
    """Names of methods that providers/base.py explains once for all providers."""
    if not module.path.startswith(("providers/", "demo/")):
        return set()
    (base,) = [m for m in _modules() if m.path == "providers/base.py"]
    classes = [node for node in base.tree.body if isinstance(node, ast.ClassDef)]
    return {node.name for c in classes for node in _functions(c)}


def test_public_things_are_explained() -> None:
    silent = [
        f"{module.at(node)} {name}"
        for module in _modules()
        for name, node in _public(module.tree.body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not ast.get_docstring(node)
        and not _explained_by_name(module, name, node)
    ]
    assert silent == []


def test_public_parameters_are_typed() -> None:
    untyped = []
    for module in _modules():
        for name, node in _public(module.tree.body):
            if isinstance(node, ast.ClassDef):
                continue
            assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            untyped += [
                f"{module.at(node)} {name}({argument.arg})"
                for argument in given
                if argument.annotation is None and argument.arg not in {"self", "cls"}
            ]
            untyped += [f"{module.at(node)} {name} -> ?"] if node.returns is None else []
    assert untyped == []


# --- What must not be there ---------------------------------------------------------------------

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "yaml.load", "os.system", "os.popen"}
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "unittest"}


def _forbidden(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS:
        return ast.unparse(node.func)
    if isinstance(node, ast.keyword) and node.arg == "shell":
        return "shell="
    if isinstance(node, ast.keyword | ast.arg) and node.arg == "ignore_conflicts":
        return "ignore_conflicts"
    imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom) and node.module:
        imported = [node.module]
    return next((name for name in imported if name.split(".")[0] in FORBIDDEN_IMPORTS), "")


def test_nothing_runs_text_and_nothing_swallows_conflicts() -> None:
    found = [
        f"{module.at(node)} {what}"
        for module in _modules()
        for node in ast.walk(module.tree)
        if (what := _forbidden(node))
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


#: Modules that may import inside a function, and why.
LATE_IMPORTS = {
    "cli/": "the command line starts fast: a command imports what it needs",
    "accesslog/showing/progress.py": "rich is loaded where a terminal shows the bar",
    "accesslog/reading/continuing.py": "OpenSSL is loaded where something is remembered",
    "demo/": "it is started by the command line",
    "settings.py": "psycopg is an extra, needed with a PostgreSQL URL only",
    "apps.py": "Django loads it before there are models",
}


def test_imports_stand_at_the_top() -> None:
    late = [
        f"{module.at(node)} in {function.name}"
        for module in _modules()
        if not module.path.startswith(tuple(LATE_IMPORTS))
        for function in _functions(module.tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert late == []


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


def test_the_layers_know_every_folder_that_must_stay_pure() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (pure,) = [c for c in contracts["contracts"] if c["id"] == "pure"]
    kept = {"providers", "pricing", "money", "decorators", "accesslog", "engines"}
    kept |= {"errors", "ids", "clock", "logs", "textfiles", "dashboard.gathering"}
    there = {name for name in kept if list(SOURCE.glob(f"{name.replace('.', '/')}*"))}
    assert {f"bursar.{name}" for name in there} == set(pure["source_modules"])


def _map_of(readme: str) -> str | None:
    """Return the section "## The map" of *readme*."""
    found = re.search(r"^## The map$(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    return found[1] if found else None


def test_the_readmes_map_shows_every_folder() -> None:
    drawn = _map_of((ROOT / "README.md").read_text("utf-8"))
    if drawn is None:
        return
    missing = []
    for init in sorted(SOURCE.glob("*/__init__.py")):
        if init.parent.name == "migrations":
            continue
        said = (ast.get_docstring(ast.parse(init.read_text("utf-8"))) or "").split("\n")[0]
        rows = [row for row in drawn.splitlines() if f"{init.parent.name}/" in row]
        if not any(said.rstrip(".") in row for row in rows):
            missing.append(f"{init.parent.name}/  {said}")
    assert missing == []
