"""Views for boards: a usual one, many of all kinds, and those whose texts mean harm."""

from __future__ import annotations

import dataclasses
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bursar.dashboard.live_state import Measurement, SourceStatus, State

AT: Final = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
GROUPS: Final = ("Payments", "Shipping", "Tax", "Mail", "Shop", "Stock", "Search", "Currencies")
HOSTILE: Final = (
    '<img src=x onerror="alert(1)">',
    "</script><script>alert(1)</script>",
    "\u202eevil\u202c\u0000\x1b[31mred",
    "'\"><svg/onload=alert(1)>",
    "x" * 300,
)


def view(key: str = "fx", **different: Any) -> SourceStatus:
    """A source that is well, but for what is *different*."""
    usual = SourceStatus(
        key=key,
        title="Exchange rates",
        group="Currencies",
        kind="api",
        state="ok",
        measurements=(Measurement(name="EUR/USD", value=1.0831, unit="USD"),),
        last_success_at=AT,
        state_since=AT,
        reason="",
        duration_seconds=0.18,
        interval_seconds=30.0,
        sparkline=(1.0, 1.5, 1.25),
    )
    return dataclasses.replace(usual, **different)


def many(count: int, *, at: datetime = AT, seed: int = 2026) -> list[SourceStatus]:
    """So many sources in eight groups, about one in ten of them in some trouble."""
    draw = random.Random(seed)
    return [_one(number, draw, at) for number in range(count)]


def _one(number: int, draw: random.Random, at: datetime) -> SourceStatus:
    states: list[State] = ["ok", "warning", "critical", "stale", "failed"]
    state = draw.choices(states, [90, 4, 2, 2, 2])[0]
    reasons = {"failed": "no response within 2.5 s", "stale": "HTTP 503"}
    spark = tuple(round(draw.lognormvariate(5, 0.3), 1) for _ in range(60))
    return view(
        f"source-{number}",
        title=f"{draw.choice(('Rates', 'Orders', 'Labels', 'Stock', 'Login'))} {number}",
        group=GROUPS[number % len(GROUPS)],
        state=state,
        measurements=(
            Measurement(name="latency", value=spark[-1], unit="ms"),
            Measurement(name="queue", value=draw.randrange(50)),
        ),
        last_success_at=at - timedelta(seconds=draw.randrange(30)),
        state_since=at - timedelta(minutes=draw.randrange(600)),
        reason=reasons.get(state, ""),
        sparkline=spark,
    )
