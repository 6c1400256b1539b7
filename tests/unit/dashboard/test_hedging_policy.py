"""What is late, and how often one may ask twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dashboard.fetching.hedging_policy import (
    HEDGED_SHARE_MAX,
    SAMPLES_MIN,
    HedgeBudget,
    LatencyEstimator,
)


def test_a_steady_source_is_late_soon_after_its_time() -> None:
    habit = LatencyEstimator()
    known = []
    for _ in range(SAMPLES_MIN):
        known.append(habit.is_ready)
        habit.observe(0.2)
    assert known == [False] * SAMPLES_MIN
    assert habit.is_ready
    assert habit.mean == 0.2
    assert 0.2 < habit.typical_seconds < 0.22
    assert habit.typical_seconds < habit.hedge_after_seconds < 0.26
    assert habit.abandon_after_seconds == 1.5 * habit.hedge_after_seconds


def test_a_source_that_becomes_slow_is_soon_expected_to_be() -> None:
    habit = LatencyEstimator()
    for _ in range(20):
        habit.observe(0.1)
    for _ in range(5):
        habit.observe(1.0)
    assert habit.hedge_after_seconds > 1.0


def test_nothing_is_late_within_twenty_milliseconds() -> None:
    habit = LatencyEstimator()
    for _ in range(SAMPLES_MIN):
        habit.observe(0.001)
    assert (habit.typical_seconds, habit.hedge_after_seconds) == (0.02, 0.02)


@given(st.lists(st.booleans(), max_size=400))
def test_extra_calls_never_exceed_their_share(asked_twice: list[bool]) -> None:
    allowance = HedgeBudget()
    for twice in asked_twice:
        allowance.calls += 1
        if twice:
            allowance.try_acquire()
        assert allowance.hedges <= HEDGED_SHARE_MAX * allowance.calls + 1e-9


@pytest.mark.parametrize(
    ("calls", "extra"), [(1, 1), (19, 1), (20, 1), (40, 2), (100, 5), (500, 25)]
)
def test_a_board_may_spend_its_share_or_one(calls: int, extra: int) -> None:
    assert HedgeBudget().limit_for(calls) == extra


def test_without_a_share_nothing_is_asked_twice() -> None:
    allowance = HedgeBudget(share=0.0)
    allowance.calls = 1_000
    assert (allowance.limit_for(100), allowance.try_acquire()) == (0, False)
