"""
Observing: what a tile makes of what was known of its source. Pure.

The board shows each observation at once; people are alerted by `thresholds.advance`, more slowly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bursar.dashboard import thresholds
from bursar.dashboard.checks.base import Answer, MonitorCheck, RawMeasurement
from bursar.dashboard.fetching import results
from bursar.dashboard.fetching.results import FetchResult
from bursar.dashboard.live_state import SPARK_MAX, Level, Measurement, SourceStatus, State
from bursar.dashboard.thresholds import AlertState

REASON_LETTERS_MAX: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousState:
    """What is remembered of a source: its view, what people were told, and since when it is watched."""

    view: SourceStatus
    standing: AlertState
    first_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """
    What a tile made of it: *known* from now on, the numbers for the history by series, and the
    level that people are to be alerted of, if that changed.
    """

    known: PreviousState
    numbers: Mapping[str, float] = field(default_factory=dict)
    alert: tuple[Level, Level] | None = None


#: The series of how long calls take.
SECONDS: Final = "seconds"


def evaluate(
    watch: MonitorCheck, tile: FetchResult[Answer], known: PreviousState | None, *, now: datetime
) -> Evaluation:
    """What *tile*, gathered now, makes of what was *known*."""
    first_at = now if known is None else known.first_at
    standing = AlertState() if known is None else known.standing
    answered = tile.state is results.FetchStatus.OK and tile.value is not None
    readings = _readings(watch, tile.value or (), known) if answered else _before(known)
    as_of = tile.as_of if answered else (known.view.as_of if known else None)
    state = _state(readings, answered=answered, as_of=as_of)
    numbers = _numbers(readings, tile.seconds) if answered else {}
    view = SourceStatus(
        key=watch.key,
        title=watch.title,
        group=watch.group,
        kind=watch.kind,
        state=state,
        readings=readings,
        as_of=as_of,
        since=known.view.since if known is not None and known.view.state == state else now,
        reason="" if answered else _printable(tile.reason) or "no answer",
        seconds=tile.seconds,
        interval_seconds=watch.interval_seconds,
        spark=_spark(known, readings, numbers),
    )
    after = _judged(watch, view, standing, as_of or first_at, answered=answered, now=now)
    return Evaluation(
        known=PreviousState(view=view, standing=after, first_at=first_at),
        numbers=numbers,
        alert=(standing.told, after.told) if after.told != standing.told else None,
    )


def _printable(reason: str) -> str:
    """A reason that any database takes: it may repeat what a foreign API said."""
    letters = (letter if letter.isprintable() else " " for letter in reason[:REASON_LETTERS_MAX])
    return "".join(letters).strip()


def _judged(
    watch: MonitorCheck,
    view: SourceStatus,
    standing: AlertState,
    good_at: datetime,
    *,
    answered: bool,
    now: datetime,
) -> AlertState:
    if answered:
        level = thresholds.worst(reading.level for reading in view.readings)
        return thresholds.advance(standing, level, watch.patience)
    if (now - good_at).total_seconds() < watch.silence_seconds:
        return standing  # silence tells nothing yet, neither good nor bad
    level = thresholds.worst([watch.stale_level, standing.told])
    return thresholds.advance(standing, level, watch.patience, sure=True)


def _state(readings: tuple[Measurement, ...], *, answered: bool, as_of: datetime | None) -> State:
    if answered:
        return thresholds.worst(reading.level for reading in readings)
    return "failed" if as_of is None else "stale"


def _before(known: PreviousState | None) -> tuple[Measurement, ...]:
    return known.view.readings if known is not None else ()


def _readings(
    watch: MonitorCheck, answer: Answer, known: PreviousState | None
) -> tuple[Measurement, ...]:
    levels = {reading.name: reading.level for reading in _before(known)}
    return tuple(_reading(watch, raw, levels.get(raw.name, "ok")) for raw in answer)


def _reading(watch: MonitorCheck, raw: RawMeasurement, before: Level) -> Measurement:
    level = raw.level
    limits = watch.limits.get(raw.name)
    if limits is not None and isinstance(raw.value, float):
        level = thresholds.worst([level, limits.level_of(raw.value, before)])
    return Measurement(name=raw.name, value=raw.value, unit=raw.unit, level=level)


def _numbers(readings: tuple[Measurement, ...], seconds: float) -> dict[str, float]:
    numbers = {each.name: each.value for each in readings if isinstance(each.value, float)}
    return {SECONDS: seconds, **numbers}


def _spark(
    known: PreviousState | None, readings: tuple[Measurement, ...], numbers: Mapping[str, float]
) -> tuple[float, ...]:
    before = known.view.spark if known is not None else ()
    if not numbers:
        return before
    first = next((each.name for each in readings if isinstance(each.value, float)), SECONDS)
    return (*before, numbers[first])[-SPARK_MAX:]


def to_json(readings: tuple[Measurement, ...]) -> list[dict[str, Any]]:
    """Readings as they are kept."""
    return [
        {"name": each.name, "value": each.value, "unit": each.unit, "level": each.level}
        for each in readings
    ]


def from_json(kept: list[dict[str, Any]]) -> tuple[Measurement, ...]:
    """Readings as they were kept."""
    return tuple(
        Measurement(
            name=each["name"], value=_number(each["value"]), unit=each["unit"], level=each["level"]
        )
        for each in kept
    )


def _number(value: Any) -> float | str | None:
    # JSON keeps 3.0 as 3.0 in Python, but a database may give it back as 3.
    return float(value) if isinstance(value, int) else value
