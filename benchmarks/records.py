"""What every benchmark is told and gives back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    quick: bool
    peers: bool
    #: Orders, or calls, and rounds; None for a benchmark's own number.
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
    """One measured value (a median), and a peer's beside it; *ratio* is value / peer_value."""

    benchmark: str
    measure: str
    unit: str
    value: float
    peer: str = ""
    peer_value: float | None = None

    def as_dict(self) -> dict[str, Any]:
        ratio = self.value / self.peer_value if self.peer_value else None
        return {**dataclasses.asdict(self), "ratio": ratio}
