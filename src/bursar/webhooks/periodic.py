"""Periodic jobs of webhooks."""

from __future__ import annotations

from datetime import datetime, time

from bursar import retention, settings
from bursar.periodic import Daily, PeriodicJob
from bursar.webhooks import raw_bodies


async def prune_raw_bodies(now: datetime) -> None:
    """Delete webhook bodies older than 90 days."""
    await retention.delete_in_batches(
        lambda rows_max: raw_bodies.prune(now=now, rows_max=rows_max),
        what="webhook bodies",
        batch_rows_max=raw_bodies.BATCH_ROWS_MAX,
    )


PERIODIC = (
    PeriodicJob(
        "prune_raw_bodies", Daily(time(3, 20), settings.current.time_zone), prune_raw_bodies
    ),
)
