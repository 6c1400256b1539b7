"""Periodic jobs of access."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from bursar import retention, settings
from bursar.access import idempotency, sessions
from bursar.periodic import Daily, Every, PeriodicJob


async def prune_idempotency_records(now: datetime) -> None:
    """Delete idempotency records older than `idempotency.RETENTION`."""
    await retention.delete_in_batches(
        lambda rows_max: idempotency.prune(now=now, rows_max=rows_max), what="idempotency records"
    )


async def prune_sessions(now: datetime) -> None:
    """Delete expired sessions of the back office."""
    await retention.delete_in_batches(
        lambda rows_max: sessions.prune(now=now, rows_max=rows_max), what="sessions"
    )


PERIODIC = (
    PeriodicJob("prune_idempotency_records", Every(timedelta(hours=1)), prune_idempotency_records),
    PeriodicJob("prune_sessions", Daily(time(3, 10), settings.current.time_zone), prune_sessions),
)
