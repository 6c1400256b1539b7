"""Periodic jobs of access."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from bursar import retention, settings
from bursar.access import idempotency, sessions
from bursar.periodic import Daily, Every, PeriodicJob


async def prune_idempotent_answers(now: datetime) -> None:
    """Delete the answers to idempotency keys that are older than a day."""
    await retention.delete_in_batches(
        lambda rows_max: idempotency.prune(now=now, rows_max=rows_max), what="idempotent answers"
    )


async def prune_sessions(now: datetime) -> None:
    """Delete the sessions of the back office that have expired."""
    await retention.delete_in_batches(
        lambda rows_max: sessions.prune(now=now, rows_max=rows_max), what="sessions"
    )


PERIODIC = (
    PeriodicJob("prune_idempotent_answers", Every(timedelta(hours=1)), prune_idempotent_answers),
    PeriodicJob("prune_sessions", Daily(time(3, 10), settings.current.time_zone), prune_sessions),
)
