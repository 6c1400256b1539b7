"""A check as the scheduler needs it, whatever the source is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bursar import errors
from bursar.dashboard.fetching.sources import CoroutineSource, Source
from bursar.dashboard.live_state import Kind, Level
from bursar.dashboard.thresholds import FlapDamping, Thresholds

#: The longest text value of a measurement; longer ones are truncated.
TEXT_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMeasurement:
    """One value before its thresholds are applied; *level* is its minimum level."""

    name: str
    value: float | str | None
    unit: str = ""
    level: Level = "ok"
    decimals: int | None = None


#: The value of every source.
CheckResult = tuple[RawMeasurement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorCheck:
    """A monitor: its *source*, its interval, and the rules for its level; *thresholds* by measurement."""

    key: str
    title: str
    group: str
    kind: Kind
    source: Source
    interval_seconds: float
    alert_after_seconds: float
    stale_level: Level
    flap_damping: FlapDamping
    thresholds: Mapping[str, Thresholds] = field(default_factory=dict)


def failing_source(key: str, reason: str) -> CoroutineSource[CheckResult]:
    """Return a source that always fails with *reason*, for a monitor that is not usable."""

    async def refuse() -> CheckResult:
        raise errors.ValidationError(reason)

    return CoroutineSource(key=key, function=refuse)
