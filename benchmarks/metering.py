"""Time and CPU of a stretch of work, in this process, its children and a database server."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")


def task() -> dict[str, Any]:
    """Return the task of a contestant: its only argument, as JSON."""
    options: dict[str, Any] = json.loads(sys.argv[1])
    return options


class Meter:
    """Starts when created; `read` returns seconds and CPU seconds (user + system) since then."""

    def __init__(self, server_pid: int) -> None:
        self._server_pid = server_pid
        self._began = self._now()

    def read(self) -> dict[str, float]:
        return {name: value - self._began[name] for name, value in self._now().items()}

    def _now(self) -> dict[str, float]:
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "seconds": time.perf_counter(),
            "cpu": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
            "server_cpu": _tree_cpu(self._server_pid) if self._server_pid else 0.0,
        }


def _tree_cpu(postmaster: int) -> float:
    """CPU seconds of a PostgreSQL server: the postmaster, its children, and those that ended."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, (_, rest) = int(path.parent.name), path.read_text().rsplit(")", 1)
        except (OSError, ValueError):
            continue
        fields = rest.split()
        if pid == postmaster:
            ticks += sum(map(int, fields[11:15]))
        elif int(fields[1]) == postmaster:
            ticks += sum(map(int, fields[11:13]))
    return ticks / _TICK
