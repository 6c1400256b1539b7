"""What the watcher needs of a source, whatever it is: how to ask it, how often, what is bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bursar import errors
from bursar.dashboard.fetching.sources import CoroutineSource, Source
from bursar.dashboard.live_state import Kind, Level
from bursar.dashboard.thresholds import FlapDamping, Thresholds

#: The longest text that is shown of a source.
TEXT_LETTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMeasurement:
    """One value as it came; *level* is the least it is worth, whatever the thresholds say."""

    name: str
    value: float | str | None
    unit: str = ""
    level: Level = "ok"


#: What every source gives.
Answer = tuple[RawMeasurement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorCheck:
    """A source on the board."""

    key: str
    title: str
    group: str
    kind: Kind
    source: Source
    interval_seconds: float
    silence_seconds: float
    stale_level: Level
    patience: FlapDamping
    limits: Mapping[str, Thresholds] = field(default_factory=dict)


def unable(key: str, reason: str) -> CoroutineSource[Answer]:
    """A source that cannot be asked at all, for people to see why."""

    async def refuse() -> Answer:
        raise errors.ValidationError(reason)

    return CoroutineSource(key=key, function=refuse)
