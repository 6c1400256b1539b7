"""What a tile makes of what was known: shown at once, told more slowly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bursar.dashboard import evaluation
from bursar.dashboard.checks.base import MonitorCheck, RawMeasurement, failing_source
from bursar.dashboard.evaluation import Evaluation, MonitorState
from bursar.dashboard.fetching.results import FetchResult, FetchStatus
from bursar.dashboard.live_state import SPARKLINE_POINTS_MAX
from bursar.dashboard.thresholds import FlapDamping, Thresholds

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WATCH = MonitorCheck(
    key="api:a",
    title="A",
    group="g",
    kind="api",
    source=failing_source("api:a", ""),
    interval_seconds=60.0,
    alert_after_seconds=180.0,
    stale_level="critical",
    flap_damping=FlapDamping(failure_threshold=2, success_threshold=2),
    thresholds={"n": Thresholds(warning_above=100.0)},
)


def tile(value: float | None, minute: int, *, reason: str = "HTTP 503") -> FetchResult[Any]:
    if value is None:
        return FetchResult(
            key="api:a",
            state=FetchStatus.FAILED,
            value=None,
            as_of=None,
            seconds=0.5,
            reason=reason,
        )
    at = NOON + timedelta(minutes=minute)
    return FetchResult(
        key="api:a",
        state=FetchStatus.OK,
        value=(RawMeasurement(name="n", value=value),),
        as_of=at,
        seconds=0.1,
    )


def watched(values: list[float | None], **more: Any) -> list[Evaluation]:
    known: MonitorState | None = None
    seen = []
    for minute, value in enumerate(values):
        now = NOON + timedelta(minutes=minute)
        seen.append(evaluation.evaluate(WATCH, tile(value, minute, **more), known, now=now))
        known = seen[-1].state
    return seen


def test_a_state_lasts_since_it_began() -> None:
    views = [seen.state.status for seen in watched([1.0, 2.0, None, None, 3.0, 101.0, 96.0, 94.0])]
    assert [(view.state, (view.state_since - NOON).seconds // 60) for view in views] == [
        ("ok", 0),
        ("ok", 0),
        ("stale", 2),
        ("stale", 2),
        ("ok", 4),
        ("warning", 5),
        ("warning", 5),
        ("ok", 7),
    ]


def test_what_cannot_be_asked_shows_what_it_told_before() -> None:
    view = watched([7.0, None])[1].state.status
    assert (view.measurements[0].value, view.last_success_at, view.reason) == (
        7.0,
        NOON,
        "HTTP 503",
    )
    assert (view.duration_seconds, view.sparkline) == (0.5, (7.0,))


def test_silence_is_counted_from_the_last_good_value_or_from_the_beginning() -> None:
    told = [seen.level_change for seen in watched([1.0, None, None, None, None])]
    assert told == [None, None, None, ("ok", "critical"), None]
    told = [seen.level_change for seen in watched([None, None, None, None, None])]
    assert told == [None, None, None, ("ok", "critical"), None]


def test_the_history_has_the_values_and_the_time_it_took_but_of_answers_only() -> None:
    seen = watched([7.0, None])
    assert [one.history_values for one in seen] == [{"duration_seconds": 0.1, "n": 7.0}, {}]


@given(st.text(max_size=400))
def test_a_reason_is_what_any_database_takes(reason: str) -> None:
    told = watched([None], reason=reason)[0].state.status.reason
    assert told.isprintable()
    assert 0 < len(told) <= evaluation.REASON_CHARACTERS_MAX


@given(st.lists(st.none() | st.floats(0, 200), min_size=1, max_size=SPARKLINE_POINTS_MAX + 20))
def test_whatever_comes_views_are_whole_and_alerts_follow_each_other(
    values: list[float | None],
) -> None:
    seen = watched(values)
    told = "ok"
    for one, value in zip(seen, values, strict=True):
        view = one.state.status
        assert (view.last_success_at is None) == (view.state == "failed")
        assert (value is None) == (view.state in {"failed", "stale"})
        assert len(view.sparkline) <= SPARKLINE_POINTS_MAX
        if one.level_change is not None:
            assert one.level_change[0] == told != one.level_change[1]
            told = one.level_change[1]
        assert one.state.alert_state.level == told
    numbers = [value for value in values if value is not None]
    assert seen[-1].state.status.sparkline == tuple(numbers[-SPARKLINE_POINTS_MAX:])
    readings = seen[-1].state.status.measurements
    assert (
        evaluation.deserialize_measurements(evaluation.serialize_measurements(readings)) == readings
    )
