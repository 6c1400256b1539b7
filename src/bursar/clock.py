"""The two clocks; read by the edges only, handed down as arguments."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock as an aware UTC datetime (microseconds)."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that is never set back; only differences mean something."""
    return time.monotonic()
