"""Thresholds and alerts with hysteresis, for every sequence of values."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dashboard import thresholds
from bursar.dashboard.live_state import Level
from bursar.dashboard.thresholds import (
    LEVELS,
    RANKS,
    AlertState,
    FlapDamping,
    Thresholds,
    advance,
    worst_level,
)

HOT = Thresholds(warning_above=100.0, critical_above=200.0)
NUMBERS = st.floats(-1e6, 1e6)
PATIENCE = st.builds(
    FlapDamping, failure_threshold=st.integers(1, 5), success_threshold=st.integers(1, 5)
)


@pytest.mark.parametrize(
    ("value", "before", "level"),
    [
        (100.0, "ok", "ok"),
        (100.1, "ok", "warning"),
        (200.1, "ok", "critical"),
        (96.0, "warning", "warning"),
        (95.0, "warning", "ok"),
        (199.0, "critical", "critical"),
        (190.0, "critical", "warning"),
        (97.0, "critical", "warning"),
        (94.0, "critical", "ok"),
    ],
)
def test_a_level_is_left_only_when_clear_of_its_threshold(
    value: float, before: Level, level: Level
) -> None:
    assert HOT.level_of(value, before) == level


@pytest.mark.parametrize(
    ("value", "before", "level"),
    [
        (10.0, "ok", "ok"),
        (9.9, "ok", "warning"),
        (10.4, "warning", "warning"),
        (10.6, "warning", "ok"),
        (-1.0, "ok", "critical"),
    ],
)
def test_too_low_is_as_bad_as_too_high(value: float, before: Level, level: Level) -> None:
    low = Thresholds(warning_below=10.0, critical_below=0.0, margin=0.5)
    assert low.level_of(value, before) == level


def test_without_thresholds_nothing_is_bad() -> None:
    assert {
        thresholds.NO_THRESHOLDS.level_of(v, b) for v in (-1e300, 0.0, 1e300) for b in LEVELS
    } == {"ok"}


def test_the_worst_of_levels() -> None:
    assert worst_level([]) == "ok"
    assert worst_level(["ok", "critical", "warning"]) == "critical"


@given(st.lists(NUMBERS), st.sampled_from(LEVELS))
def test_a_level_is_never_better_than_the_thresholds_say(values: list[float], level: Level) -> None:
    for value in values:
        plain = HOT.level_of(value)
        before, level = level, HOT.level_of(value, level)
        assert RANKS[level] >= RANKS[plain]
        assert RANKS[level] <= max(RANKS[plain], RANKS[before])


@given(st.lists(st.floats(96.0, 104.0), min_size=1))
def test_a_value_that_trembles_at_its_threshold_changes_its_level_at_most_once(
    values: list[float],
) -> None:
    levels: list[Level] = ["ok"]
    for value in values:
        levels.append(HOT.level_of(value, levels[-1]))
    assert sum(a != b for a, b in itertools.pairwise(levels)) <= 1


def run(observed: list[Level], patience: FlapDamping, standing: AlertState) -> list[AlertState]:
    stands = [standing]
    for level in observed:
        stands.append(advance(stands[-1], level, patience))
    return stands


OBSERVED = st.lists(st.sampled_from(LEVELS), max_size=40)


@given(OBSERVED, PATIENCE)
def test_an_alert_needs_its_run_of_observations(
    observed: list[Level], patience: FlapDamping
) -> None:
    stands = run(observed, patience, AlertState())
    for number, (before, after) in enumerate(itertools.pairwise(stands)):
        if before.level == after.level:
            continue
        worse = RANKS[after.level] > RANKS[before.level]
        count = patience.failure_threshold if worse else patience.success_threshold
        recent = observed[max(0, number + 1 - count) : number + 1]
        assert len(recent) == count
        if worse:
            assert all(RANKS[level] >= RANKS[after.level] for level in recent)
        else:
            assert all(RANKS[level] <= RANKS[after.level] for level in recent)


@given(OBSERVED, PATIENCE)
def test_alerts_are_no_more_than_runs(observed: list[Level], patience: FlapDamping) -> None:
    told = [stand.level for stand in run(observed, patience, AlertState())]
    alerts = sum(a != b for a, b in itertools.pairwise(told))
    assert alerts <= len(observed) / min(patience.failure_threshold, patience.success_threshold)


@given(OBSERVED, st.sampled_from(LEVELS), PATIENCE)
def test_what_stays_is_told_in_the_end(
    observed: list[Level], last: Level, patience: FlapDamping
) -> None:
    lasting = [last] * (2 * max(patience.failure_threshold, patience.success_threshold))
    assert run(observed + lasting, patience, AlertState())[-1] == AlertState(
        level=last, candidate=last
    )


@given(st.integers(1, 30))
def test_what_comes_and_goes_is_not_told(times: int) -> None:
    flapping: list[Level] = ["critical", "ok"] * times
    assert (
        run(flapping, FlapDamping(failure_threshold=2, success_threshold=3), AlertState())[-1].level
        == "ok"
    )


def test_a_run_of_worse_ones_tells_the_mildest_of_them_first() -> None:
    patience = FlapDamping(failure_threshold=2, success_threshold=2)
    stands = run(["warning", "critical", "critical", "critical"], patience, AlertState())
    assert [stand.level for stand in stands] == ["ok", "ok", "warning", "warning", "critical"]
    stands = run(["ok", "warning", "ok", "ok"], patience, stands[-1])
    assert [stand.level for stand in stands] == ["critical", "critical", "warning", "warning", "ok"]


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS), PATIENCE)
def test_what_is_sure_is_told_at_once(told: Level, observed: Level, patience: FlapDamping) -> None:
    found = advance(AlertState(level=told, candidate=told), observed, patience, is_immediate=True)
    assert found == AlertState(level=observed, candidate=observed)
