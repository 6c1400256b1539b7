"""Plan and records of benchmarks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure."""

    quick: bool
    peers: bool
    #: Orders or calls, and rounds; None for the benchmark's default.
    orders: int | None
    calls: int | None
    rounds: int | None
    databases: tuple[str, ...]
    #: Of accesslog: megabytes of its logs, None for their own; rows wanted, none for all; whether
    #: its long row too; where its logs lie, None for the system's temporary folder.
    size_mb: float | None = None
    only: tuple[str, ...] = ()
    long: bool = False
    folder: Path | None = None
    #: Of dashboard-page: how long its memory is watched, None for its own while.
    minutes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One measured value (a median) with that of a peer; *ratio* is value / peer_value."""

    benchmark: str
    measure: str
    unit: str
    value: float
    peer: str = ""
    peer_value: float | None = None

    def as_dict(self) -> dict[str, Any]:
        ratio = self.value / self.peer_value if self.peer_value else None
        return {**dataclasses.asdict(self), "ratio": ratio}
