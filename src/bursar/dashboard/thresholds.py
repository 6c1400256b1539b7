"""
Thresholds and alert rules: the level of a value, and when a change of level becomes an alert. Pure.

Two kinds of hysteresis prevent flapping: a level ends only when the value is clear of its threshold
by a margin, and an alert begins (or ends) only after a number of consecutive worse (or better)
checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bursar.dashboard.live_state import Level

RANKS: Final[Mapping[Level, int]] = {"ok": 0, "warning": 1, "critical": 2}
LEVELS: Final[tuple[Level, ...]] = ("ok", "warning", "critical")
#: The default margin, as a share of the threshold.
MARGIN_SHARE: Final = 0.05


def worst_level(levels: Iterable[Level]) -> Level:
    """Return the worst of *levels*; ok if there are none."""
    return max(levels, key=lambda level: RANKS[level], default="ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """
    Limits of a measurement, in its unit; None is no limit.

    *margin* is the distance from the threshold at which a level ends; None: `MARGIN_SHARE` of the
    threshold.
    """

    warning_above: float | None = None
    warning_below: float | None = None
    critical_above: float | None = None
    critical_below: float | None = None
    margin: float | None = None

    def level_of(self, value: float, previous: Level = "ok") -> Level:
        """Return the level of *value* after a measurement of level *previous*."""
        level = self._level(value, is_recovering=False)
        if RANKS[level] >= RANKS[previous]:
            return level
        # Not better than with the thresholds moved by the margin, not worse than the previous level.
        return min(previous, self._level(value, is_recovering=True), key=lambda level: RANKS[level])

    def _level(self, value: float, *, is_recovering: bool) -> Level:
        critical, warning = (
            (self.critical_above, self.critical_below),
            (self.warning_above, self.warning_below),
        )
        if self._exceeds(value, *critical, is_recovering=is_recovering):
            return "critical"
        if self._exceeds(value, *warning, is_recovering=is_recovering):
            return "warning"
        return "ok"

    def _exceeds(
        self, value: float, above: float | None, below: float | None, *, is_recovering: bool
    ) -> bool:
        too_high = above is not None and value > above - self._margin(
            above, is_recovering=is_recovering
        )
        too_low = below is not None and value < below + self._margin(
            below, is_recovering=is_recovering
        )
        return too_high or too_low

    def _margin(self, threshold: float, *, is_recovering: bool) -> float:
        if not is_recovering:
            return 0.0
        return abs(threshold) * MARGIN_SHARE if self.margin is None else self.margin


NO_THRESHOLDS: Final = Thresholds()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlapDamping:
    """The numbers of consecutive checks that begin (or worsen) an alert, and that end it."""

    failure_threshold: int = 2
    success_threshold: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """
    The last alerted *level*, and the run of consecutive checks that may change it.

    *candidate* is the mildest of a run of worse checks, or the worst of a run of better ones;
    *count* is the length of the run, 0 if the last check had the alerted level.
    """

    level: Level = "ok"
    candidate: Level = "ok"
    count: int = 0


def advance(
    current: AlertState, observed: Level, damping: FlapDamping, *, is_immediate: bool = False
) -> AlertState:
    """
    Return the alert state after a check of level *observed*; a changed `level` is an alert.

    With *is_immediate* one check is enough, as for a source that has been stale long enough.
    """
    if observed == current.level:
        return AlertState(level=current.level, candidate=current.level)
    is_worse = RANKS[observed] > RANKS[current.level]
    is_continued = current.count > 0 and is_worse == (
        RANKS[current.candidate] > RANKS[current.level]
    )
    run = (current.candidate, observed) if is_continued else (observed,)
    pick = min if is_worse else max
    candidate = pick(run, key=lambda level: RANKS[level])
    count = current.count + 1 if is_continued else 1
    if is_immediate:
        return AlertState(level=observed, candidate=observed)
    if count >= (damping.failure_threshold if is_worse else damping.success_threshold):
        return AlertState(level=candidate, candidate=candidate)
    return AlertState(level=current.level, candidate=candidate, count=count)
