"""History: every value is in its five minutes, hour and day; rows are bounded, and pruned by age."""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bursar.dashboard import history, periodic
from bursar.dashboard.history import RETENTION_BY_STEP, Bucket, HistoryPoint
from bursar.dashboard.models import HistoryBucket
from tests.conftest import Database
from tests.flows.dashboard.stage import NOON
from tests.shop import commit


def point(seconds: float, value: float, series: str = "n") -> HistoryPoint:
    at = NOON + timedelta(seconds=seconds)
    return HistoryPoint(source_key="api:a", series=series, at=at, value=value)


def test_spans_are_what_their_values_make(database: Database) -> None:
    points = [point(n * 37.0, float(n * 7919 % 101)) for n in range(200)]
    for start in range(0, len(points), 30):  # several in one commit, and several commits
        commit(functools.partial(history.add, points[start : start + 30]))
    for step in RETENTION_BY_STEP:
        spans: dict[datetime, list[float]] = defaultdict(list)
        for one in points:
            spans[history.bucket_start(one.at, step)].append(one.value)
        expected = [
            Bucket(
                starts_at=at, count=len(v), min=min(v), max=max(v), mean=sum(v) / len(v), last=v[-1]
            )
            for at, v in spans.items()
        ]
        found = history.read(source_key="api:a", series="n", step_seconds=step, since=NOON)
        assert found == expected
    assert history.list_series(source_key="api:a") == ["n"]


@given(st.integers(0, 10**10), st.sampled_from([*RETENTION_BY_STEP]))
def test_a_span_begins_before_what_it_holds(seconds: int, step: int) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    began = history.bucket_start(at, step)
    assert began <= at < began + timedelta(seconds=step)
    assert history.bucket_start(began, step) == began


def _day_by_day(days: int) -> None:
    for hour in range(24 * days):
        history.add([point(hour * 3600.0, 1.0), point(hour * 3600.0, 2.0, "m")])


def test_what_is_old_is_pruned_and_rows_stay_bounded(database: Database) -> None:
    commit(lambda: _day_by_day(40))
    now = NOON + timedelta(days=40)
    asyncio.run(periodic.prune_histories(now))
    rows = {
        step: HistoryBucket.objects.filter(series="n", step_seconds=step).count()
        for step in RETENTION_BY_STEP
    }
    # One a step at most, and what is kept of each width; the days are all there.
    assert rows == {300: 24, 3600: 30 * 24, 86_400: 41}
    assert sum(rows.values()) <= history.ROWS_PER_SERIES_MAX
    assert history.ROWS_PER_SERIES_MAX == 1744
    for step in RETENTION_BY_STEP:
        prune = functools.partial(history.prune, now=now, step_seconds=step, rows_max=10)
        assert commit(prune) == 0
