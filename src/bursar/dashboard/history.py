"""
History: every value goes into its span of five minutes, of an hour and of a day at once.

So nothing has to be down-sampled later, a crash in between loses nothing, and the rows are bounded:
each width of span is kept for a time of its own, at most `ROWS_MAX_A_SERIES` rows a series.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bursar import fields, group_commit, sql
from bursar.dashboard.models import HistoryBucket

#: For how long spans of so many seconds are kept.
KEPT: Final[Mapping[int, timedelta]] = {
    300: timedelta(days=1),
    3_600: timedelta(days=30),
    86_400: timedelta(days=730),
}
ROWS_MAX_A_SERIES: Final = sum(int(kept.total_seconds()) // step + 2 for step, kept in KEPT.items())

ADD = (
    "INSERT INTO bursar_historybucket "
    "(source_key, series, step_seconds, at, count, low, high, total, last) "
    "VALUES (%s, %s, %s, %s, 1, %s, %s, %s, %s) "
    "ON CONFLICT (source_key, series, step_seconds, at) DO UPDATE SET "
    "count = bursar_historybucket.count + 1, "
    "low = CASE WHEN excluded.low < bursar_historybucket.low THEN excluded.low "
    "ELSE bursar_historybucket.low END, "
    "high = CASE WHEN excluded.high > bursar_historybucket.high THEN excluded.high "
    "ELSE bursar_historybucket.high END, "
    "total = bursar_historybucket.total + excluded.total, last = excluded.last"
)
PRUNE = (
    "DELETE FROM bursar_historybucket WHERE id IN (SELECT id FROM bursar_historybucket "
    "WHERE step_seconds = %s AND at < %s ORDER BY at LIMIT %s)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of one series."""

    source_key: str
    series: str
    at: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What a series was from *at* on, for one step: *mean* of *count* values, lowest, highest."""

    at: datetime
    count: int
    low: float
    high: float
    mean: float
    last: float


def bucket_start(at: datetime, step_seconds: int) -> datetime:
    """When the span that holds *at* began, in whole steps since 1970."""
    whole = int(at.timestamp()) // step_seconds * step_seconds
    return datetime.fromtimestamp(whole, UTC)


def add(points: Iterable[Point]) -> None:
    """Count *points* into their spans; needs an open transaction."""
    group_commit.require_transaction()
    # By key, so that two processes would lock rows in one order; then by time, for the last.
    ordered = sorted(points, key=lambda p: (p.source_key, p.series, p.at))
    if ordered:
        several = [
            [
                p.source_key,
                p.series,
                step,
                fields.to_db_datetime(bucket_start(p.at, step)),
                *[p.value] * 4,
            ]
            for p in ordered
            for step in KEPT
        ]
        sql.run_many(ADD, several)


def prune(*, now: datetime, step_seconds: int, rows_max: int) -> int:
    """Delete up to *rows_max* spans of one width that are too old, oldest first; how many."""
    group_commit.require_transaction()
    oldest = bucket_start(now - KEPT[step_seconds], step_seconds)
    return sql.run(PRUNE, [step_seconds, fields.to_db_datetime(oldest), rows_max])


def series_of(*, source_key: str) -> list[str]:
    """Of which series of a source there is a history."""
    rows = HistoryBucket.objects.filter(source_key=source_key, step_seconds=max(KEPT))
    return sorted(set(rows.values_list("series", flat=True)))


def read(*, source_key: str, series: str, step_seconds: int, since: datetime) -> list[Bucket]:
    """The spans of a series, oldest first; as many as are kept at most."""
    rows = HistoryBucket.objects.filter(
        source_key=source_key,
        series=series,
        step_seconds=step_seconds,
        at__gte=bucket_start(since, step_seconds),
    ).order_by("at")
    return [
        Bucket(
            at=row.at,
            count=row.count,
            low=row.low,
            high=row.high,
            mean=row.total / row.count,
            last=row.last,
        )
        for row in rows[:ROWS_MAX_A_SERIES]
    ]
