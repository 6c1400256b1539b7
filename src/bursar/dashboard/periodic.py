"""Periodic jobs of the dashboard."""

from __future__ import annotations

import functools
from datetime import datetime, time, timedelta

from bursar import retention, settings
from bursar.dashboard import history
from bursar.dashboard.alerts import creation
from bursar.periodic import Daily, Every, PeriodicJob


async def prune_histories(now: datetime) -> None:
    """Delete expired history buckets; each step has its own retention."""
    for step_seconds in history.RETENTION_BY_STEP:
        await retention.delete_in_batches(
            functools.partial(_prune_buckets, now, step_seconds),
            what=f"history buckets of {step_seconds} s",
        )


def _prune_buckets(now: datetime, step_seconds: int, rows_max: int) -> int:
    return history.prune(now=now, step_seconds=step_seconds, rows_max=rows_max)


async def prune_alerts(now: datetime) -> None:
    """Delete the alerts that are older than 400 days."""
    await retention.delete_in_batches(
        lambda rows_max: creation.prune(now=now, rows_max=rows_max), what="alerts"
    )


PERIODIC = (
    PeriodicJob("prune_histories", Every(timedelta(hours=1)), prune_histories),
    PeriodicJob("prune_alerts", Daily(time(3, 30), settings.current.time_zone), prune_alerts),
)
