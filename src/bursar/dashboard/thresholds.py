"""
Judging: how bad a value is, and when that is worth an alert. Pure.

Two kinds of hysteresis keep a value at its threshold from ringing all night: a level is left only
when the value is clear of its threshold by a margin, and an alert begins (ends) only when so many
observations in a row are worse (better).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bursar.dashboard.live_state import Level

RANKS: Final[Mapping[Level, int]] = {"ok": 0, "warning": 1, "critical": 2}
LEVELS: Final[tuple[Level, ...]] = ("ok", "warning", "critical")
#: How far a value must be clear of a threshold to count as better, as a share of the threshold.
MARGIN_SHARE: Final = 0.05


def worst(levels: Iterable[Level]) -> Level:
    """The worst of *levels*; ok if there are none."""
    return max(levels, key=lambda level: RANKS[level], default="ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """
    Beyond which values a reading is a warning, or critical; None: never.

    *margin* is how far it must come back, in the reading's unit; None: `MARGIN_SHARE` of the
    threshold.
    """

    warning_above: float | None = None
    warning_below: float | None = None
    critical_above: float | None = None
    critical_below: float | None = None
    margin: float | None = None

    def level_of(self, value: float, before: Level = "ok") -> Level:
        """The level of *value* after a reading of level *before*."""
        level = self._level(value, back=False)
        if RANKS[level] >= RANKS[before]:
            return level
        # Never better than with the thresholds moved inwards, never worse than it was.
        return min(before, self._level(value, back=True), key=lambda each: RANKS[each])

    def _level(self, value: float, *, back: bool) -> Level:
        if self._beyond(value, self.critical_above, self.critical_below, back=back):
            return "critical"
        if self._beyond(value, self.warning_above, self.warning_below, back=back):
            return "warning"
        return "ok"

    def _beyond(
        self, value: float, above: float | None, below: float | None, *, back: bool
    ) -> bool:
        too_high = above is not None and value > above - (self._margin(above) if back else 0.0)
        too_low = below is not None and value < below + (self._margin(below) if back else 0.0)
        return too_high or too_low

    def _margin(self, threshold: float) -> float:
        return abs(threshold) * MARGIN_SHARE if self.margin is None else self.margin


NEVER: Final = Thresholds()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlapDamping:
    """How many observations in a row begin (or worsen) an alert, and how many end it."""

    worse: int = 2
    better: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """
    What people were told last (*told*), and the run of observations that may change it.

    *candidate* is the mildest of a run of worse ones, the worst of a run of better ones; *count*
    is the run's length, 0 where the last observation was as told.
    """

    told: Level = "ok"
    candidate: Level = "ok"
    count: int = 0


def advance(
    standing: AlertState, observed: Level, patience: FlapDamping, *, sure: bool = False
) -> AlertState:
    """
    What *observed* makes of *standing*; if `told` differs afterwards, that is an alert.

    With *sure* the observation needs no company: it has lasted by itself, as silence has.
    """
    if observed == standing.told:
        return AlertState(told=standing.told, candidate=standing.told)
    worse = RANKS[observed] > RANKS[standing.told]
    goes_on = standing.count > 0 and worse == (RANKS[standing.candidate] > RANKS[standing.told])
    run = (standing.candidate, observed) if goes_on else (observed,)
    pick = min if worse else max
    candidate = pick(run, key=lambda level: RANKS[level])
    count = standing.count + 1 if goes_on else 1
    if sure:
        return AlertState(told=observed, candidate=observed)
    if count >= (patience.worse if worse else patience.better):
        return AlertState(told=candidate, candidate=candidate)
    return AlertState(told=standing.told, candidate=candidate, count=count)
