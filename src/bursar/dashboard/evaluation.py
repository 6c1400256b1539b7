"""
Evaluation of fetch results: from a result and the previous state of a monitor to its new state. Pure.

The dashboard shows each status at once; alerts follow more slowly, by `thresholds.advance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bursar.dashboard import thresholds
from bursar.dashboard.checks.base import CheckResult, MonitorCheck, RawMeasurement
from bursar.dashboard.fetching import results
from bursar.dashboard.fetching.results import FetchResult
from bursar.dashboard.live_state import (
    SPARKLINE_POINTS_MAX,
    Level,
    Measurement,
    SourceStatus,
    State,
)
from bursar.dashboard.thresholds import AlertState

REASON_CHARACTERS_MAX: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorState:
    """The latest status of a source, its alert state, and when its monitoring began."""

    status: SourceStatus
    alert_state: AlertState
    monitored_since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """
    The outcome of one check: the new *state*, the *history_values* by series, and the
    *level_change* (previous and new alerted level), None without an alert.
    """

    state: MonitorState
    history_values: Mapping[str, float] = field(default_factory=dict)
    level_change: tuple[Level, Level] | None = None


#: The series of call durations, in seconds.
DURATION_SECONDS: Final = "duration_seconds"


def evaluate(
    check: MonitorCheck,
    result: FetchResult[CheckResult],
    previous: MonitorState | None,
    *,
    now: datetime,
) -> Evaluation:
    """Evaluate *result*, fetched at *now*, against the *previous* state (None for the first check)."""
    monitored_since = now if previous is None else previous.monitored_since
    alert_state = AlertState() if previous is None else previous.alert_state
    is_ok = result.state is results.FetchStatus.OK and result.value is not None
    measurements = (
        _measurements(check, result.value or (), previous)
        if is_ok
        else _previous_measurements(previous)
    )
    last_success_at = (
        result.as_of if is_ok else (previous.status.last_success_at if previous else None)
    )
    state = _state(measurements, is_ok=is_ok, last_success_at=last_success_at)
    history_values = _history_values(measurements, result.seconds) if is_ok else {}
    is_same_state = previous is not None and previous.status.state == state
    status = SourceStatus(
        key=check.key,
        title=check.title,
        group=check.group,
        kind=check.kind,
        state=state,
        measurements=measurements,
        last_success_at=last_success_at,
        state_since=previous.status.state_since if previous is not None and is_same_state else now,
        reason="" if is_ok else _printable(result.reason) or "no response",
        duration_seconds=result.seconds,
        interval_seconds=check.interval_seconds,
        sparkline=_sparkline(previous, measurements, history_values),
    )
    new_alert_state = _next_alert_state(
        check, status, alert_state, last_success_at or monitored_since, is_ok=is_ok, now=now
    )
    is_alert = new_alert_state.level != alert_state.level
    return Evaluation(
        state=MonitorState(
            status=status, alert_state=new_alert_state, monitored_since=monitored_since
        ),
        history_values=history_values,
        level_change=(alert_state.level, new_alert_state.level) if is_alert else None,
    )


def _printable(reason: str) -> str:
    """Make *reason*, which may quote an external API, a text that every database accepts."""
    characters = (c if c.isprintable() else " " for c in reason[:REASON_CHARACTERS_MAX])
    return "".join(characters).strip()


def _next_alert_state(
    check: MonitorCheck,
    status: SourceStatus,
    alert_state: AlertState,
    success_at: datetime,
    *,
    is_ok: bool,
    now: datetime,
) -> AlertState:
    if is_ok:
        level = thresholds.worst_level(each.level for each in status.measurements)
        return thresholds.advance(alert_state, level, check.flap_damping)
    if (now - success_at).total_seconds() < check.alert_after_seconds:
        return alert_state  # a failure counts neither way until it has lasted
    level = thresholds.worst_level([check.stale_level, alert_state.level])
    return thresholds.advance(alert_state, level, check.flap_damping, is_immediate=True)


def _state(
    measurements: tuple[Measurement, ...], *, is_ok: bool, last_success_at: datetime | None
) -> State:
    if is_ok:
        return thresholds.worst_level(each.level for each in measurements)
    return "failed" if last_success_at is None else "stale"


def _previous_measurements(previous: MonitorState | None) -> tuple[Measurement, ...]:
    return previous.status.measurements if previous is not None else ()


def _measurements(
    check: MonitorCheck, values: CheckResult, previous: MonitorState | None
) -> tuple[Measurement, ...]:
    levels = {each.name: each.level for each in _previous_measurements(previous)}
    return tuple(_measurement(check, raw, levels.get(raw.name, "ok")) for raw in values)


def _measurement(check: MonitorCheck, raw: RawMeasurement, previous_level: Level) -> Measurement:
    level = raw.level
    limits = check.thresholds.get(raw.name)
    if limits is not None and isinstance(raw.value, float):
        level = thresholds.worst_level([level, limits.level_of(raw.value, previous_level)])
    return Measurement(
        name=raw.name, value=raw.value, unit=raw.unit, level=level, decimals=raw.decimals
    )


def _history_values(
    measurements: tuple[Measurement, ...], duration_seconds: float
) -> dict[str, float]:
    values = {each.name: each.value for each in measurements if isinstance(each.value, float)}
    return {DURATION_SECONDS: duration_seconds, **values}


def _sparkline(
    previous: MonitorState | None,
    measurements: tuple[Measurement, ...],
    history_values: Mapping[str, float],
) -> tuple[float, ...]:
    points = previous.status.sparkline if previous is not None else ()
    if not history_values:
        return points
    numeric = (each.name for each in measurements if isinstance(each.value, float))
    return (*points, history_values[next(numeric, DURATION_SECONDS)])[-SPARKLINE_POINTS_MAX:]


def serialize_measurements(measurements: tuple[Measurement, ...]) -> list[dict[str, Any]]:
    """Return measurements as JSON for the database and for alerts."""
    return [
        {
            "name": each.name,
            "value": each.value,
            "unit": each.unit,
            "level": each.level,
            "decimals": each.decimals,
        }
        for each in measurements
    ]


def deserialize_measurements(stored: list[dict[str, Any]]) -> tuple[Measurement, ...]:
    """Return the measurements of `serialize_measurements`."""
    return tuple(
        Measurement(
            name=each["name"],
            value=_value(each["value"]),
            unit=each["unit"],
            level=each["level"],
            decimals=each["decimals"],
        )
        for each in stored
    )


def _value(value: Any) -> float | str | None:
    # Python writes 3.0 to JSON as 3.0, but a database may return it as 3.
    return float(value) if isinstance(value, int) else value
