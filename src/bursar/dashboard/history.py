"""
History of measurements, as buckets of five minutes, one hour and one day.

Each value is added to its bucket of every step at once, so no down-sampling runs later. The number
of rows is bounded: each step has its own retention, at most `ROWS_PER_SERIES_MAX` rows per series.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bursar import fields, group_commit, sql
from bursar.dashboard.models import HistoryBucket

#: The retention of buckets, by their step in seconds.
RETENTION_BY_STEP: Final[Mapping[int, timedelta]] = {
    300: timedelta(days=1),
    3_600: timedelta(days=30),
    86_400: timedelta(days=730),
}
ROWS_PER_SERIES_MAX: Final = sum(
    int(retention.total_seconds()) // step + 2 for step, retention in RETENTION_BY_STEP.items()
)

ADD = (
    "INSERT INTO bursar_historybucket "
    "(source_key, series, step_seconds, starts_at, count, min_value, max_value, total, last_value) "
    "VALUES (%s, %s, %s, %s, 1, %s, %s, %s, %s) "
    "ON CONFLICT (source_key, series, step_seconds, starts_at) DO UPDATE SET "
    "count = bursar_historybucket.count + 1, "
    "min_value = CASE WHEN excluded.min_value < bursar_historybucket.min_value "
    "THEN excluded.min_value ELSE bursar_historybucket.min_value END, "
    "max_value = CASE WHEN excluded.max_value > bursar_historybucket.max_value "
    "THEN excluded.max_value ELSE bursar_historybucket.max_value END, "
    "total = bursar_historybucket.total + excluded.total, last_value = excluded.last_value"
)
PRUNE = (
    "DELETE FROM bursar_historybucket WHERE id IN (SELECT id FROM bursar_historybucket "
    "WHERE step_seconds = %s AND starts_at < %s ORDER BY starts_at LIMIT %s)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One value of one series."""

    source_key: str
    series: str
    at: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """*count* values of a series in the step that begins at *starts_at*."""

    starts_at: datetime
    count: int
    min: float
    max: float
    mean: float
    last: float


def bucket_start(at: datetime, step_seconds: int) -> datetime:
    """Return the start of the bucket that contains *at*; buckets are aligned to 1970-01-01 UTC."""
    seconds = int(at.timestamp()) // step_seconds * step_seconds
    return datetime.fromtimestamp(seconds, UTC)


def add(points: Iterable[HistoryPoint]) -> None:
    """Add *points* to their buckets of every step. Needs an open transaction."""
    group_commit.require_transaction()
    # By key, so that two processes lock rows in the same order; then by time, for the last value.
    ordered = sorted(points, key=lambda p: (p.source_key, p.series, p.at))
    if ordered:
        rows = [
            [
                p.source_key,
                p.series,
                step,
                fields.to_db_datetime(bucket_start(p.at, step)),
                *[p.value] * 4,
            ]
            for p in ordered
            for step in RETENTION_BY_STEP
        ]
        sql.run_many(ADD, rows)


def prune(*, now: datetime, step_seconds: int, rows_max: int) -> int:
    """
    Delete up to *rows_max* expired buckets of one step, oldest first. Returns their number.

    Needs an open transaction.
    """
    group_commit.require_transaction()
    oldest = bucket_start(now - RETENTION_BY_STEP[step_seconds], step_seconds)
    return sql.run(PRUNE, [step_seconds, fields.to_db_datetime(oldest), rows_max])


def list_series(*, source_key: str) -> list[str]:
    """Return the names of the series of a source that have a history, sorted."""
    rows = HistoryBucket.objects.filter(source_key=source_key, step_seconds=max(RETENTION_BY_STEP))
    return sorted(set(rows.values_list("series", flat=True)))


def read(*, source_key: str, series: str, step_seconds: int, since: datetime) -> list[Bucket]:
    """Return the buckets of a series since *since*, oldest first, at most `ROWS_PER_SERIES_MAX`."""
    rows = HistoryBucket.objects.filter(
        source_key=source_key,
        series=series,
        step_seconds=step_seconds,
        starts_at__gte=bucket_start(since, step_seconds),
    ).order_by("starts_at")
    return [
        Bucket(
            starts_at=row.starts_at,
            count=row.count,
            min=row.min_value,
            max=row.max_value,
            mean=row.total / row.count,
            last=row.last_value,
        )
        for row in rows[:ROWS_PER_SERIES_MAX]
    ]
