"""The two clocks; read only at the edges of the program and passed on as arguments."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time as an aware UTC datetime (microseconds)."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds of a monotonic clock; only differences are meaningful."""
    return time.monotonic()
