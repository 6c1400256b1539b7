"""Names are the words of the trade (decision 0018): the old ones are gone, and no bare participle is a name."""

from __future__ import annotations

import ast
import functools
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bursar"
TABLE = ROOT / "docs" / "decisions" / "0018-names-are-the-words-of-the-trade.tsv"

#: What people read and what runs; results and the changelog tell what was.
SEARCHED = ("src/**/*", "docs/**/*", "examples/**/*", "*.md", "scripts/*")
SUFFIXES = {"", ".py", ".md", ".html", ".js", ".css", ".toml", ".svg"}
TELL_WHAT_WAS = ("docs/decisions/0018", "docs/results/", "CHANGELOG.md", "scripts/rename")

#: No name says what somebody did with a thing; a name says what the thing is.
PARTICIPLES = set(
    "told tells asked asks made kept found shown given known seen taken whole".split()
)
PARTICIPLES_ALLOWED_MAX = 30


def _rows(*kinds: str) -> list[tuple[str, str]]:
    rows = [line.split("\t") for line in TABLE.read_text("utf-8").splitlines()]
    return [(row[1], row[2]) for row in rows if row[0] in kinds]


@functools.cache
def _texts() -> dict[str, str]:
    paths = {path for pattern in SEARCHED for path in ROOT.glob(pattern)}
    texts = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for path in sorted(paths)
        if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts
    }
    return {name: text for name, text in texts.items() if not name.startswith(TELL_WHAT_WAS)}


def _places(word: str, pattern: str, *, only: str = "") -> list[str]:
    """Return the lines that have *word* as *pattern* has it."""
    match = re.compile(pattern.replace("WORD", re.escape(word)))
    return [
        f"{name}:{number} {line.strip()[:80]}"
        for name, text in _texts().items()
        if name.startswith(only) and word in text
        for number, line in enumerate(text.splitlines(), 1)
        if word in line and match.search(line)
    ]


def _dotted(path: str) -> str:
    path = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__")
    return path.replace("/", ".")


def test_the_table_names_each_target_once() -> None:
    targets: defaultdict[str, list[str]] = defaultdict(list)
    for old, new in _rows("module"):
        if new != "-":
            targets[new].append(old)
    assert {new: olds for new, olds in targets.items() if len(olds) > 1} == {}


def test_old_modules_are_gone() -> None:
    there = {new for _, new in _rows("module")}
    assert [old for old, _ in _rows("module") if old not in there and (ROOT / old).exists()] == []


def test_no_text_names_an_old_module() -> None:
    there = {_dotted(new) for _, new in _rows("module")}
    wrong = []
    for old, _ in _rows("module"):
        dotted = _dotted(old)
        if not old.endswith(".py") or dotted in there or dotted.count(".") < 2:
            continue
        wrong += _places(
            old.removeprefix("src/bursar/"), r"(?<![\w.-])(src/bursar/|bursar/)?WORD(?!\w)"
        )
        wrong += _places(dotted.removeprefix("bursar."), r"(?<![\w.])(bursar\.)?WORD(?!\w)")
    assert wrong == []


def _defined(module: Path) -> dict[str, set[str]]:
    """What *module* defines, and what each of its classes does."""
    names: defaultdict[str, set[str]] = defaultdict(set)

    def collect(body: list[ast.stmt], owner: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names[owner].add(node.name)
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            names[owner].update(target.id for target in targets if isinstance(target, ast.Name))
            if isinstance(node, ast.ClassDef) and not owner:
                collect(node.body, node.name)

    collect(ast.parse(module.read_text("utf-8")).body, "")
    return names


def test_old_symbols_are_gone() -> None:
    moved = {_dotted(old): new for old, new in _rows("module")}
    new_names: defaultdict[str, set[str]] = defaultdict(set)
    wrong, before = [], {}
    for old, new in _rows("symbol", "early"):
        parts = old.split(".")
        for cut in range(len(parts) - 1, 1, -1):
            module = ".".join(parts[:cut])
            path = moved.get(module, f"src/{module.replace('.', '/')}.py")
            if (ROOT / path).is_file():
                owner = parts[cut] if len(parts) > cut + 1 else ""
                before[path, owner, parts[-1]] = old
                new_names[path].add(new)
                break
    for (path, owner, name), old in before.items():
        if name not in new_names[path] and name in _defined(ROOT / path).get(owner, set()):
            wrong.append(f"{path}: {owner}.{name} ({old})")
    assert wrong == []


@pytest.mark.parametrize("kind", ["code", "setting", "table", "log_event", "metric", "job"])
def test_no_text_has_an_old_word(kind: str) -> None:
    used_anew = {new for _, new in _rows("code", "setting", "table", "log_event", "metric", "job")}
    wrong = []
    for old, _ in _rows(kind):
        if old in used_anew:
            continue
        if kind == "code":  # as an error declares it, and as a page names it
            wrong += _places(old, r'\bcode = "WORD"', only="src/")
            wrong += _places(old, r"`WORD`|^#+ WORD$", only="docs/")
        elif kind == "job":
            wrong += _places(old, "enqueue\\(\\s*[\"']WORD[\"']|^#+ WORD$")
        elif kind == "log_event":
            wrong += _places(old, "log\\w*\\.\\w+\\(\\s*[\"']WORD[\"']", only="src/")
        else:
            wrong += _places(old, r"(?<!\w)WORD(?!\w)")
    assert wrong == []


def _imports(tree: ast.Module) -> dict[str, str]:
    """Full names by the local ones that *tree* imports from Bursar."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bursar")
        for alias in node.names
    }


def test_a_class_used_outside_its_folder_has_a_name_of_its_own() -> None:
    trees = {
        _dotted(path.relative_to(ROOT).as_posix()): ast.parse(path.read_text("utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
        if "migrations" not in path.parts
    }
    modules_by_class: defaultdict[str, list[str]] = defaultdict(list)
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                modules_by_class[node.name].append(module)
    used_outside = set()
    for user, tree in trees.items():
        imported = _imports(tree)
        names = set(imported.values())
        for child in ast.walk(tree):
            if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
                names.add(f"{imported.get(child.value.id, '')}.{child.attr}")
        used_outside |= {
            name
            for name in names
            if name.rpartition(".")[0].rpartition(".")[0] != user.rpartition(".")[0]
        }
    ambiguous = {
        name: modules
        for name, modules in modules_by_class.items()
        if len(modules) > 1 and any(f"{module}.{name}" in used_outside for module in modules)
    }
    assert ambiguous == {}


def _names_of(path: Path) -> Iterator[tuple[int, str]]:
    """Names that *path* gives: functions, classes, parameters, variables, attributes."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.lineno, node.name


def test_no_bare_participle_is_a_name() -> None:
    names = {
        f"{path.relative_to(SOURCE).as_posix()}: {name}"
        for path in sorted(SOURCE.rglob("*.py"))
        if "migrations" not in path.parts
        for _, name in _names_of(path)
        if PARTICIPLES & set(name.lower().split("_"))
    }
    assert len(names) <= PARTICIPLES_ALLOWED_MAX, "\n".join(sorted(names))


def test_nothing_is_formatted_by_hand() -> None:
    by_hand = [
        path.relative_to(ROOT).as_posix()
        for folder in ("src", "tests", "campaigns", "benchmarks", "examples")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__)
        for token in _comments(path)
        if re.search(r"fmt: ?(skip|off)", token)
    ]
    assert by_hand == []


def _comments(path: Path) -> list[str]:
    if "fmt:" not in (text := path.read_text("utf-8")):
        return []
    lines = iter(text.splitlines(keepends=True))
    tokens = tokenize.generate_tokens(lambda: next(lines, ""))
    return [token.string for token in tokens if token.type == tokenize.COMMENT]
