"""
Rename modules and symbols as docs/decisions/names.tsv says: `python scripts/rename.py check | modules | symbols`.

Names are resolved, not searched: a scope analysis of every file finds what each name means, mypy finds the
class behind each attribute, and a new name that would be captured by another stops the run before a byte
is written. Texts (comments, docstrings, documents) follow by dotted name, path, or unique name.
Run it in the dev environment, from the repository's root; then `ruff check --select I --fix . && ruff format .`.
"""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path.cwd()
TABLE = ROOT / "docs/decisions/0018-names-are-the-words-of-the-trade.tsv"
TREES = ("src/bursar", "tests", "campaigns", "benchmarks", "examples")
TEXTS = (".md", ".toml", ".html", ".js", ".css", ".sh", ".ini", ".yaml")
SKIPPED = ("CHANGELOG.md", "docs/results/", "docs/decisions/0018", "benchmarks/stories")


@dataclass
class Table:
    modules: dict[str, str] = field(default_factory=dict)  # dotted old -> dotted new
    paths: dict[str, str] = field(
        default_factory=dict
    )  # old path -> new path, relative to the root
    symbols: dict[str, str] = field(default_factory=dict)  # old full name -> new last name
    early: dict[str, str] = field(default_factory=dict)  # symbols that stand in a module's way
    locals: dict[str, str] = field(default_factory=dict)  # as well, inside functions


def read_table(path: Path = TABLE) -> Table:
    table = Table()
    for line in path.read_text().splitlines():
        if not line or line.startswith(("#", "kind\t")):
            continue
        kind, old, new, *_ = line.split("\t")
        if kind == "module":
            table.paths[old] = new
            if old.endswith(".py") and new != "-":
                table.modules[dotted(old)] = dotted(new)
        elif kind == "early":
            table.early[old] = new
        elif kind == "local":
            table.locals[old] = new
        elif kind == "symbol":
            table.symbols[old] = new
    return table


def dotted(path: str) -> str:
    path = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__")
    return path.replace("/", ".")


# --- Scopes -------------------------------------------------------------------------------------


@dataclass
class Scope:
    kind: str
    full: str
    parent: Scope | None
    names: dict[str, str] = field(default_factory=dict)  # name -> full name, "" for a local one
    aliased: set[str] = field(default_factory=set)  # bound by `as`
    used: set[str] = field(default_factory=set)

    def find(self, name: str) -> Scope | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names and (scope.kind != "class" or scope is self):
                return scope
            scope = scope.parent
        return None


class Binder(ast.NodeVisitor):
    """Builds the scopes of a module, and remembers the scope of every node that names something."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.scope = file.scope
        self.where: dict[ast.AST, Scope] = {}

    def bind(self, name: str, full: str = "", *, aliased: bool = False) -> None:
        scope = self.scope
        if not full and scope.kind in {"module", "class"}:
            full = f"{scope.full}.{name}"
        before = scope.names.get(name)
        if before is None or (full and not before):
            scope.names[name] = full
        if aliased:
            scope.aliased.add(name)

    def visit_Import(self, node: ast.Import) -> None:
        self.where[node] = self.scope
        for alias in node.names:
            if alias.asname:
                self.bind(alias.asname, alias.name, aliased=True)
            else:
                self.bind(alias.name.split(".")[0], alias.name.split(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.where[node] = self.scope
        for alias in node.names:
            self.bind(
                alias.asname or alias.name,
                f"{node.module}.{alias.name}",
                aliased=bool(alias.asname),
            )

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self.where[node] = self.scope
        if not isinstance(node, ast.Lambda):
            self.bind(node.name)
            for each in node.decorator_list:
                self.visit(each)
        args = node.args
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        for default in [*args.defaults, *args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for each in every:
            if each is not None and each.annotation is not None:
                self.visit(each.annotation)
        if not isinstance(node, ast.Lambda) and node.returns is not None:
            self.visit(node.returns)
        name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
        outer, self.scope = self.scope, Scope("function", f"{self.scope.full}.{name}", self.scope)
        for each in every:
            if each is not None:
                self.scope.names[each.arg] = ""
                self.where[each] = self.scope
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(statement)
        self.scope = outer

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function  # type: ignore[assignment]

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.where[node] = self.scope
        self.bind(node.name)
        for each in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(each)
        full = f"{self.scope.full}.{node.name}"
        outer, self.scope = self.scope, Scope("class", full, self.scope)
        for statement in node.body:
            self.visit(statement)
        self.file.classes[full] = (self.scope, [(base, outer) for base in node.bases])
        self.scope = outer

    def _comprehension(self, node: ast.AST) -> None:
        first = node.generators[0]  # type: ignore[attr-defined]
        self.visit(first.iter)
        outer, self.scope = self.scope, Scope("function", f"{self.scope.full}.<comp>", self.scope)
        for position, generator in enumerate(node.generators):  # type: ignore[attr-defined]
            self.visit(generator.target)
            if position:
                self.visit(generator.iter)
            for condition in generator.ifs:
                self.visit(condition)
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                self.visit(getattr(node, part))
        self.scope = outer

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Name(self, node: ast.Name) -> None:
        self.where[node] = self.scope
        if not isinstance(node.ctx, ast.Load):
            self.bind(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        scope = self.scope
        while scope.full.endswith("<comp>") and scope.parent is not None:
            scope = scope.parent
        scope.names.setdefault(
            node.target.id, "" if scope.kind == "function" else f"{scope.full}.{node.target.id}"
        )
        self.where[node.target] = self.scope

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        scope: Scope | None = self.scope
        while scope is not None and scope.parent is not None:
            scope = scope.parent
        for name in node.names:
            assert scope is not None
            self.scope.names.setdefault(name, f"{scope.full}.{name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.where[node] = self.scope
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        self.where[node] = self.scope
        self.generic_visit(node)


@dataclass
class File:
    path: str
    module: str
    text: str
    tree: ast.Module = field(init=False)
    scope: Scope = field(init=False)
    classes: dict[str, tuple[Scope, list[tuple[ast.expr, Scope]]]] = field(default_factory=dict)
    where: dict[ast.AST, Scope] = field(default_factory=dict)
    edits: dict[tuple[int, int], tuple[int, int, str]] = field(default_factory=dict)
    """(line, byte column) -> (end line, end byte column, new text)"""

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.text)
        self.scope = Scope("module", self.module, None)
        binder = Binder(self)
        binder.visit(self.tree)
        self.where = binder.where


class Project:
    def __init__(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], capture_output=True, check=True, cwd=ROOT
        )
        self.listed = [p for p in listed.stdout.decode().split("\0") if p and (ROOT / p).exists()]
        self.files: dict[str, File] = {}
        for path in self.listed:
            if path.endswith(".py") and path.startswith(TREES):
                file = File(path, dotted(path), (ROOT / path).read_text("utf-8"))
                self.files[file.module] = file
        self.packages = {f.module for f in self.files.values() if f.path.endswith("__init__.py")}
        self.folders = {m.rpartition(".")[0] for m in self.files} | self.packages
        self.classes = {k: v for f in self.files.values() for k, v in f.classes.items()}

    def canonical(self, full: str, depth: int = 0) -> str:
        """Follow re-exports to where *full* is defined."""
        if full in self.files or full in self.folders or depth > 8:
            return full
        module, _, name = full.rpartition(".")
        if module in self.files:
            target = self.files[module].scope.names.get(name, "")
            if target and target != full:
                return self.canonical(target, depth + 1)
            return full
        if module and module not in self.classes:
            above = self.canonical(module, depth + 1)
            if above != module:
                return self.canonical(f"{above}.{name}", depth + 1)
        return full

    def resolve(self, file: File, node: ast.AST) -> str:
        if isinstance(node, ast.Name):
            scope = file.where.get(node)
            found = scope.find(node.id) if scope else None
            full = found.names[node.id] if found else ""
            return self.canonical(full) if full else ""
        if isinstance(node, ast.Attribute):
            base = self.resolve(file, node.value)
            if not base:
                return ""
            if base in self.classes:
                owners = self.owners(base, node.attr)
                return f"{owners[0]}.{node.attr}" if owners else ""
            if base in self.files or base in self.folders:
                return self.canonical(f"{base}.{node.attr}")
        return ""

    def mro(self, full: str, seen: set[str] | None = None) -> Iterator[str]:
        seen = set() if seen is None else seen
        if full in seen or full not in self.classes:
            return
        seen.add(full)
        yield full
        module = self.module_of(full)
        for base, _ in self.classes[full][1]:
            base = base.value if isinstance(base, ast.Subscript) else base
            above = self.resolve(self.files[module], base)
            yield from self.mro(above, seen)

    def module_of(self, full: str) -> str:
        while full not in self.files:
            full = full.rpartition(".")[0]
        return full

    def owners(self, full: str, name: str) -> list[str]:
        return [c for c in self.mro(full) if name in self.classes[c][0].names]


# --- Edits --------------------------------------------------------------------------------------


class Renamer:
    def __init__(self, table: Table, *, step: str) -> None:
        self.step = step
        self.project = Project()
        self.table = table
        self.modules = table.modules if step == "modules" else {}
        self.symbols: dict[str, str] = table.early if step == "modules" else {}
        self.locals = table.locals if step in {"modules", "apply"} else {}
        self.parameters: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for old, new in self.locals.items():
            owner, _, name = old.rpartition(".")
            self.parameters[owner][name] = new
        self.calls: dict[tuple[str, int, int], ast.Call] = {}
        if step == "apply":
            self.symbols = dict(table.symbols)
        if step == "symbols":
            for old, new in table.symbols.items():
                self.symbols[self.moved(old)] = new
        self.faults: list[str] = []

    def moved(self, full: str) -> str:
        parts = full.split(".")
        for cut in range(len(parts), 0, -1):
            module = ".".join(parts[:cut])
            if module in self.table.modules:
                return ".".join([self.table.modules[module], *parts[cut:]])
        return full

    def new_name(self, full: str) -> str | None:
        """The last name that *full* gets, None if it keeps its own."""
        if full in self.modules:
            return self.modules[full].rpartition(".")[2]
        if full in self.symbols:
            return self.symbols[full]
        owner, _, name = full.rpartition(".")
        if owner in self.project.classes:
            for each in self.project.owners(owner, name):
                if f"{each}.{name}" in self.symbols:
                    return self.symbols[f"{each}.{name}"]
        return None

    def edit(self, file: File, line: int, column: int, old: str, new: str) -> None:
        text = file.text.splitlines(keepends=True)[line - 1].encode()
        assert text[column : column + len(old.encode())].decode() == old, (
            file.path,
            line,
            old,
            text,
        )
        file.edits[line, column] = (line, column + len(old.encode()), new)

    def run(self) -> None:
        for file in self.project.files.values():
            self.names(file)
        self.members()
        if self.faults:
            sys.exit("\n".join(sorted(set(self.faults))))
        for file in self.project.files.values():
            self.apply(file)

    def collisions(self, file: File) -> None:
        """Two names of one scope that would become one."""
        for scope in {id(s): s for s in file.where.values()}.values():
            after: defaultdict[str, set[str]] = defaultdict(set)
            for name, full in scope.names.items():
                new = (
                    self.new_name(self.project.canonical(full))
                    if full and name not in scope.aliased
                    else None
                )
                if new is not None and self.project.canonical(full).rpartition(".")[2] == name:
                    after[new].add(name)
            for new, olds in after.items():
                if len(olds) > 1:
                    self.faults.append(
                        f"{file.path}: {sorted(olds)} would all be {new} in {scope.full}"
                    )

    def names(self, file: File) -> None:
        self.collisions(file)
        for node in ast.walk(file.tree):
            if isinstance(node, ast.ImportFrom):
                self.import_from(file, node)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if (new := self.modules.get(alias.name)) is not None:
                        self.edit(file, alias.lineno, alias.col_offset, alias.name, new)
            elif isinstance(node, ast.Name):
                self.name(file, node)
            elif isinstance(node, ast.Attribute):
                full = self.project.resolve(file, node)
                new = self.new_name(full) if full else None
                if new is not None and full.rpartition(".")[2] == node.attr:
                    self.attribute(file, node, new)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.definition(file, node)
            elif isinstance(node, ast.arg):
                scope = file.where.get(node)
                if (
                    scope is not None
                    and (new := self.locals.get(f"{scope.full}.{node.arg}")) is not None
                ):
                    if new in scope.names:
                        self.faults.append(
                            f"{file.path}:{node.lineno} {node.arg} -> {new} is bound in {scope.full}"
                        )
                    self.edit(file, node.lineno, node.col_offset, node.arg, new)
            elif isinstance(node, ast.ExceptHandler | ast.MatchAs) and node.name:
                self.bare(file, node, node.name)
            elif isinstance(node, ast.Call):
                self.call(file, node)

    def attribute(self, file: File, node: ast.Attribute, new: str) -> None:
        assert node.end_lineno and node.end_col_offset
        self.edit(file, node.end_lineno, node.end_col_offset - len(node.attr), node.attr, new)

    def name(self, file: File, node: ast.Name) -> None:
        scope = file.where.get(node)
        bound = scope.find(node.id) if scope else None
        if bound is not None and (new := self.locals.get(f"{bound.full}.{node.id}")) is not None:
            if new in bound.names or (scope and scope.find(new) not in (None, bound) and False):
                self.faults.append(
                    f"{file.path}:{node.lineno} {node.id} -> {new} is bound in {bound.full}"
                )
            self.edit(file, node.lineno, node.col_offset, node.id, new)
            return
        if bound is None or not (full := bound.names[node.id]) or node.id in bound.aliased:
            return
        full = self.project.canonical(full)
        new = self.new_name(full)
        if new is None or full.rpartition(".")[2] != node.id or new == node.id:
            return
        each = scope
        while each is not None:
            if each.kind != "class" or each is scope:
                other = None if f"{each.full}.{new}" in self.locals else each.names.get(new)
                if (
                    other is not None
                    and self.new_name(self.project.canonical(other)) in (None, new)
                    and (each is not bound or self.project.canonical(other) != full)
                    and not (self.new_name(self.project.canonical(other)) not in (None, new))
                ):
                    self.faults.append(
                        f"{file.path}:{node.lineno} {node.id} -> {new} is bound in {each.full}"
                    )
            if each is bound:
                break
            each = each.parent
        self.edit(file, node.lineno, node.col_offset, node.id, new)

    def bare(self, file: File, node: ast.ExceptHandler | ast.MatchAs, name: str) -> None:
        """A name that stands as text in its statement: `except E as name`, `case P as name`."""
        for scope in {id(s): s for s in file.where.values()}.values():
            new = self.locals.get(f"{scope.full}.{name}")
            if new is not None and scope.find(name) is scope:
                self.faults.append(
                    f"{file.path}:{node.lineno} rename `as {name}` in {scope.full} by hand"
                )

    def definition(
        self, file: File, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> None:
        scope = file.where[node]
        if scope.kind == "function":
            return
        new = self.new_name(f"{scope.full}.{node.name}")
        if new is None:
            return
        if new in scope.names and self.new_name(scope.names[new]) is None:
            self.faults.append(
                f"{file.path}:{node.lineno} {node.name} -> {new} is bound in {scope.full}"
            )
        line = file.text.splitlines()[node.lineno - 1]
        found = re.compile(rf"(?:def|class)\s+({re.escape(node.name)})\b").search(line)
        assert found, (file.path, node.lineno)
        self.edit(file, node.lineno, len(line[: found.start(1)].encode()), node.name, new)

    def call(self, file: File, node: ast.Call) -> None:
        target = self.project.resolve(file, node.func)
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.end_lineno
            and node.func.end_col_offset
        ):
            at = (file.path, node.func.end_lineno, node.func.end_col_offset - len(node.func.attr))
            self.calls[at] = node
        self.keywords(file, node, target)
        if target in self.project.classes:
            self.keywords(file, node, f"{target}.__init__")
            for keyword in node.keywords:
                owners = self.project.owners(target, keyword.arg) if keyword.arg else []
                for owner in owners:
                    if (new := self.symbols.get(f"{owner}.{keyword.arg}")) is not None:
                        self.edit(file, keyword.lineno, keyword.col_offset, keyword.arg or "", new)
        if (
            len(node.args) >= 2
            and isinstance(node.args[1], ast.Constant)
            and isinstance(node.args[1].value, str)
        ):
            base, name = self.project.resolve(file, node.args[0]), node.args[1].value
            called = ast.unparse(node.func).rpartition(".")[2]
            if base and called in {"setattr", "getattr", "delattr", "hasattr", "object"}:
                full = f"{base}.{name}"
                full = self.project.canonical(full) if base in self.project.files else full
                if (new := self.new_name(full)) is not None and full.rpartition(".")[2] == name:
                    self.edit(file, node.args[1].lineno, node.args[1].col_offset + 1, name, new)

    def keywords(self, file: File, node: ast.Call, target: str) -> None:
        for keyword in node.keywords:
            if (new := self.parameters.get(target, {}).get(keyword.arg or "")) is not None:
                self.edit(file, keyword.lineno, keyword.col_offset, keyword.arg or "", new)

    def import_from(self, file: File, node: ast.ImportFrom) -> None:
        assert node.module and not node.level, file.path
        groups: defaultdict[str, list[str]] = defaultdict(list)
        changed = False
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            package, name = self.modules.get(node.module, node.module), alias.name
            if full in self.modules:
                package, _, name = self.modules[full].rpartition(".")
            elif full not in self.project.files:
                canonical = self.project.canonical(full)
                new = self.new_name(canonical)
                if new is not None and canonical.rpartition(".")[2] == name:
                    name = new
            changed |= (package, name) != (node.module, alias.name)
            if alias.asname and alias.asname != name:
                name += f" as {alias.asname}"
            groups[package].append(name)
        if not changed:
            return
        lines = file.text.splitlines()
        statement = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        comment = re.search(r"  #[^\n]*$", statement.split("\n")[0])
        tail = comment[0] if comment else ""
        indent = " " * node.col_offset
        new_text = f"\n{indent}".join(
            f"from {package} import {', '.join(names)}{tail if not i else ''}"
            for i, (package, names) in enumerate(groups.items())
        )
        assert node.end_lineno is not None
        end = len(lines[node.end_lineno - 1].encode())
        file.edits[node.lineno, node.col_offset] = (node.end_lineno, end, new_text)

    # --- Members, by mypy ---

    def members(self) -> None:
        wanted = {full.rpartition(".")[2] for full in self.symbols if self.is_member(full)}
        wanted |= {full.rpartition(".")[2] for full in self.parameters if self.is_member(full)}
        if not wanted:
            return
        for path, line, column, name, owners in attributes(wanted):
            file = self.project.files.get(dotted(path))
            if file is None:
                continue
            for owner in owners:
                if (call := self.calls.get((path, line, column))) is not None:
                    self.keywords(file, call, f"{owner}.{name}")
                new = self.new_name(f"{owner}.{name}")
                if new is not None:
                    self.edit(file, line, column, name, new)
                    break

    def is_member(self, full: str) -> bool:
        return full.rpartition(".")[0] in self.project.classes

    # --- Writing ---

    def apply(self, file: File) -> None:
        lines = [line.encode() for line in file.text.splitlines(keepends=True)]
        for (line, column), (end_line, end_column, new) in sorted(file.edits.items(), reverse=True):
            rest = lines[end_line - 1][end_column:]
            lines[line - 1 : end_line] = [lines[line - 1][:column] + new.encode() + rest]
        text = b"".join(lines).decode()
        if text != file.text:
            (ROOT / file.path).write_text(text, "utf-8")


def attributes(wanted: set[str]) -> Iterator[tuple[str, int, int, str, list[str]]]:
    """Yield (path, line, byte column, name, classes that may define it) of every attribute in *wanted*."""
    os.environ["BURSAR_HOME"] = tempfile.mkdtemp()
    from mypy import build, nodes, options, types
    from mypy.find_sources import create_source_list
    from mypy.config_parser import parse_config_file

    chosen = options.Options()
    parse_config_file(chosen, lambda: None, "pyproject.toml")
    chosen.export_types, chosen.preserve_asts, chosen.incremental = True, True, False
    chosen.fine_grained_incremental, chosen.check_untyped_defs = False, True
    chosen.export_types = True
    sources = create_source_list(
        [t for t in ("src", "tests", "campaigns", "benchmarks") if (ROOT / t).exists()], chosen
    )
    result = build.build(sources, chosen)
    if result.errors:
        print("\n".join(result.errors[:20]), file=sys.stderr)
    found: list[tuple[str, int, int, str, list[str]]] = []

    def classes(kind: types.Type | None) -> list[str]:
        kind = types.get_proper_type(kind)
        if isinstance(kind, types.Instance):
            return [info.fullname for info in kind.type.mro]
        if isinstance(kind, types.UnionType):
            return [name for item in kind.items for name in classes(item)]
        if isinstance(kind, types.TypeType):
            return classes(kind.item)
        if isinstance(kind, types.TupleType):
            return classes(kind.partial_fallback)
        if isinstance(kind, types.TypeVarType):
            return classes(kind.upper_bound)
        if isinstance(kind, types.FunctionLike) and kind.is_type_obj():
            return [info.fullname for info in kind.type_object().mro]
        if isinstance(kind, types.LiteralType):
            return classes(kind.fallback)
        return []

    skipped = {
        "node",
        "info",
        "type",
        "unanalyzed_type",
        "def_frame",
        "original_def",
        "names",
        "imports",
    }
    attributes_of: dict[type, list[str]] = {}

    def walk(tree: nodes.MypyFile) -> Iterator[nodes.Node]:
        """Every node of *tree*; mypy's compiled visitors cannot be subclassed."""
        seen: set[int] = set()
        waiting: list[Any] = list(tree.defs)
        while waiting:
            node = waiting.pop()
            if isinstance(node, list | tuple):
                waiting.extend(node)
            elif isinstance(node, nodes.Node) and id(node) not in seen:
                if isinstance(node, nodes.TypeInfo | nodes.MypyFile):
                    continue
                seen.add(id(node))
                yield node
                kind = type(node)
                if kind not in attributes_of:
                    attributes_of[kind] = [
                        name
                        for each in kind.__mro__
                        for name in getattr(each, "__mypyc_attrs__", ())
                        if name not in skipped
                    ]
                waiting.extend(getattr(node, name, None) for name in attributes_of[kind])

    def look(path: str, o: nodes.Node) -> None:
        if isinstance(o, nodes.MemberExpr) and o.name in wanted and o.end_line and o.end_column:
            owners = classes(every.get(o.expr))
            if isinstance(o.expr, nodes.RefExpr) and isinstance(o.expr.node, nodes.TypeInfo):
                owners += [info.fullname for info in o.expr.node.mro]
            found.append((path, o.end_line, o.end_column - len(o.name), o.name, owners))
        elif (
            isinstance(o, nodes.SuperExpr)
            and o.name in wanted
            and o.info
            and o.end_line
            and o.end_column
        ):
            owners = [info.fullname for info in o.info.mro]
            found.append((path, o.end_line, o.end_column - len(o.name), o.name, owners))
        elif isinstance(o, nodes.CallExpr) and isinstance(o.callee, nodes.RefExpr):
            named = {"setattr", "getattr", "delattr", "hasattr"}
            if (
                o.callee.name in named
                and len(o.args) > 1
                and isinstance(o.args[1], nodes.StrExpr)
                and o.args[1].value in wanted
            ):
                owners = classes(every.get(o.args[0]))
                found.append((path, o.args[1].line, o.args[1].column + 1, o.args[1].value, owners))

    every = result.types
    for state in result.graph.values():
        if state.tree is not None and state.path and not os.path.isabs(state.path):
            for node in walk(state.tree):
                look(state.path, node)
    return iter(found)


# --- Texts --------------------------------------------------------------------------------------

DOTTED = re.compile(r"(?<![\w./-])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?![\w/-])")
PATH = re.compile(r"(?<![\w.-])(?:[\w-]+/)*[\w-]+\.(?:py|css)\b(?:::[A-Za-z_][\w.]*)?")
FOLDER = re.compile(r"(?<![\w.-])(?:[\w-]+/)+(?![\w-]+\.)")
SINGLE = re.compile(r"(?<=`)[A-Za-z_]\w*(?=`|\()")


class Texts:
    """Follows in comments, strings and documents. Made before anything is written."""

    def __init__(self, renamer: Renamer) -> None:
        self.r, self.project = renamer, renamer.project
        self.by_suffix: defaultdict[str, set[str]] = defaultdict(set)
        for module in self.project.files:
            parts = module.split(".")
            for cut in range(len(parts)):
                self.by_suffix[".".join(parts[cut:])].add(module)
        self.named: defaultdict[str, set[str]] = defaultdict(set)
        for file in self.project.files.values():
            for name, full in file.scope.names.items():
                if full == f"{file.module}.{name}":
                    self.named[name].add(full)

    def dotted(self, match: re.Match[str], *, strict: bool = False) -> str:
        words = match[0].split(".")
        if strict and (len(words) < 3 or words[0] not in {"bursar", "tests"}):
            return match[0]
        for cut in range(len(words), 0, -1):
            modules = self.by_suffix.get(".".join(words[:cut]), set())
            modules = {m for m in modules if self.fits(m, words[cut:])}
            if len(modules) != 1 or (cut == 1 and len(words) == 1):
                continue
            (module,) = modules
            new = self.r.modules.get(module, module).split(".")
            if len(new) < len(module.split(".")) and cut > len(new):
                head = new
            else:
                extra = len(new) - len(module.split("."))
                head = new[-max(1, cut + (extra if cut > 1 else 0)) :]
            return ".".join([*head, *self.tail(module, words[cut:])])
        classes = [f for f in self.named.get(words[0], ()) if f in self.project.classes]
        if len(classes) == 1:
            (full,) = classes
            return ".".join(self.tail(full.rpartition(".")[0], words))
        return match[0]

    def fits(self, module: str, rest: list[str]) -> bool:
        names = self.project.files[module].scope.names
        return (
            not rest
            or names.get(rest[0]) == f"{module}.{rest[0]}"
            or (module in self.project.packages and rest[0] in names)
        )

    def tail(self, module: str, rest: list[str]) -> list[str]:
        if not rest:
            return []
        full = self.project.canonical(f"{module}.{rest[0]}")
        out = [self.r.new_name(full) or rest[0]] if full.endswith(f".{rest[0]}") else [rest[0]]
        for name in rest[1:]:
            owners = self.project.owners(full, name) if full in self.project.classes else []
            full = f"{owners[0]}.{name}" if owners else ""
            out.append((self.r.new_name(full) if full else None) or name)
        return out

    def path(self, match: re.Match[str]) -> str:
        path, _, symbol = match[0].partition("::")
        for prefix in ("", "src/", "src/bursar/", "tests/", "tests/flows/", "tests/unit/"):
            old = prefix + path
            module = dotted(old)
            if module in self.project.files and self.project.files[module].path == old:
                new = self.r.table.paths.get(old, old) if self.r.step == "modules" else old
                new = new.removeprefix(prefix) if new.startswith(prefix) else new
                return new + (
                    ("::" + ".".join(self.tail(module, symbol.split(".")))) if symbol else ""
                )
        if self.r.step == "modules":
            for prefix in ("src/bursar/", ""):
                if (new := self.r.table.paths.get(prefix + path)) not in (None, "-"):
                    return new.removeprefix(prefix)
        return match[0]

    def single(self, match: re.Match[str]) -> str:
        found = self.named.get(match[0], set())
        if len(found) != 1 or not (match[0][0].isupper() or "_" in match[0]):
            return match[0]
        return self.r.new_name(next(iter(found))) or match[0]

    def change(self, text: str, *, prose: bool) -> str:
        text = PATH.sub(self.path, text)
        text = DOTTED.sub(lambda match: self.dotted(match, strict=not prose), text)
        return SINGLE.sub(self.single, text) if prose else text

    def run(self) -> dict[str, str]:
        changed = {}
        for path in self.project.listed:
            if path.startswith(SKIPPED) or path.startswith("locks/"):
                continue
            if path.endswith(TEXTS) or path.startswith("scripts/") or path == ".ci/run":
                text = (ROOT / path).read_text("utf-8")
                new = self.change(text, prose=path.endswith(".md") or path == "pyproject.toml")
                if new != text:
                    changed[path] = new
        return changed

    def python(self, file: File) -> None:
        """Edit comments and strings of *file*, beside the edits of names."""
        for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
            if token.type not in {tokenize.COMMENT, tokenize.STRING}:
                continue
            document = token.type == tokenize.COMMENT or token.string.endswith('"""')
            new = self.change(token.string, prose=document and "f" not in token.string[:2].lower())
            if new != token.string:
                lines = file.text.splitlines()
                start = len(lines[token.start[0] - 1][: token.start[1]].encode())
                end = len(lines[token.end[0] - 1][: token.end[1]].encode())
                clash = [
                    at for at in file.edits if (token.start[0], start) <= at < (token.end[0], end)
                ]
                if not clash:
                    file.edits[token.start[0], start] = (token.end[0], end, new)


# --- The steps ----------------------------------------------------------------------------------


def check(table: Table) -> None:
    project = Project()
    faults = [f"no such module: {old}" for old in table.paths if not (ROOT / old).exists()]
    targets = Counter(new for new in table.paths.values() if new != "-")
    faults += [f"target twice: {new}" for new, count in targets.items() if count > 1]
    after = {table.modules.get(m, m) for m in project.files}
    for (
        module
    ) in after:  # a module beside a package, or beside a name of its package, would shadow it
        if (
            module in project.folders
            and module not in project.packages
            and module in table.modules.values()
        ):
            faults.append(f"module shadows a folder: {module}")
    for old, new in table.symbols.items():
        owner, _, name = old.rpartition(".")
        inside = (
            project.files[owner].scope.names
            if owner in project.files
            else (project.classes[owner][0].names if owner in project.classes else {})
        )
        if name not in inside:
            faults.append(f"no such symbol: {old}")
        elif new in inside and f"{owner}.{new}" not in table.symbols:
            faults.append(f"target exists: {owner}.{new}")
    # Classes that leave their folder have a name of their own.
    users: defaultdict[str, set[str]] = defaultdict(set)
    for file in project.files.values():
        if not file.module.startswith("bursar."):
            continue
        for node in ast.walk(file.tree):
            full = project.resolve(file, node) if isinstance(node, ast.Name | ast.Attribute) else ""
            if (
                full in project.classes
                and project.module_of(full).rpartition(".")[0] != file.module.rpartition(".")[0]
            ):
                users[full].add(file.module)
    named: defaultdict[str, list[str]] = defaultdict(list)
    for full in project.classes:
        if (
            full.startswith("bursar.")
            and project.module_of(full) == full.rpartition(".")[0]
            and ".migrations." not in full
        ):
            named[table.symbols.get(full, full.rpartition(".")[2])].append(full)
    for name, fulls in sorted(named.items()):
        if len(fulls) > 1 and any(full in users for full in fulls) and not name.startswith("_"):
            faults.append(
                f"class {name}: " + ", ".join(f"{f}{'*' if f in users else ''}" for f in fulls)
            )
    print("\n".join(faults) or "the table holds")
    if faults:
        sys.exit(1)


def move(table: Table) -> None:
    for old, new in table.paths.items():
        if new == "-":
            subprocess.run(["git", "rm", "-q", "--cached", old], check=True, cwd=ROOT)
            (ROOT / old).unlink()
            continue
        (ROOT / new).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "mv", old, new], check=True, cwd=ROOT)


def main() -> None:
    table = read_table(Path(sys.argv[2])) if sys.argv[1] == "apply" else read_table()
    if sys.argv[1] == "check":
        check(table)
        return
    renamer = Renamer(table, step=sys.argv[1])
    texts = Texts(renamer)
    documents = texts.run()
    for file in renamer.project.files.values():
        if not file.path.startswith(SKIPPED):
            pass
    original = renamer.apply
    renamer.apply = lambda file: (texts.python(file), original(file))[1]  # type: ignore[method-assign]
    renamer.run()
    for path, text in documents.items():
        (ROOT / path).write_text(text, "utf-8")
    if sys.argv[1] == "modules":
        move(table)


if __name__ == "__main__":
    main()
