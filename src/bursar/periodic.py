"""
Declarations of periodic jobs and their schedules.

A feature declares its jobs as `PERIODIC` in its own folder; `bursar.job_handlers` collects them and
`queue.scheduler` enqueues their runs. A schedule is a pure function of time, so all processes
compute the same runs.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

NAME_LETTERS_MAX: Final = 60
_NAME: Final = re.compile("[a-z][a-z0-9_]*")
_MINUTE: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = (
    ("day", timedelta(days=1)),
    ("hour", timedelta(hours=1)),
    ("minute", _MINUTE),
)


@dataclass(frozen=True, slots=True)
class Every:
    """
    Runs at every whole multiple of *interval* since 1970-01-01 00:00 UTC.

    *interval* is a whole number of minutes. `Every(timedelta(minutes=10))` runs at :00, :10, :20.
    """

    interval: timedelta

    def __post_init__(self) -> None:
        if self.interval < _MINUTE or self.interval % _MINUTE:
            raise ValueError(f"interval: {self.interval} is not a whole number of minutes")

    def next_after(self, at: datetime) -> datetime:
        """Return the first run after *at* (aware), in UTC."""
        return _EPOCH + ((at - _EPOCH) // self.interval + 1) * self.interval

    def __str__(self) -> str:
        unit, size = next(each for each in _UNITS if not self.interval % each[1])
        count = self.interval // size
        return f"every {unit}" if count == 1 else f"every {count} {unit}s"


@dataclass(frozen=True, slots=True)
class Daily:
    """
    Runs once per calendar day of *zone* (an IANA name), at the local time *at*.

    When clocks change, RFC 5545, 3.3.5 applies: a skipped local time is interpreted with the UTC
    offset before the gap (02:30 becomes 03:30), and an ambiguous local time is its first
    occurrence. So each day has one run.
    """

    at: time
    zone: str

    def __post_init__(self) -> None:
        if self.at.tzinfo is not None or self.at.second or self.at.microsecond:
            raise ValueError(f"at: {self.at} is not a local time in hours and minutes")
        ZoneInfo(self.zone)

    def next_after(self, at: datetime) -> datetime:
        """Return the first run after *at* (aware), in UTC."""
        zone = ZoneInfo(self.zone)
        today = at.astimezone(zone).date()
        # From the day before to the third day after: an offset may change by up to a day.
        runs = (
            datetime.combine(today + timedelta(days=days), self.at, zone).astimezone(UTC)
            for days in range(-1, 4)
        )
        return min(run for run in runs if run > at)

    def __str__(self) -> str:
        return f"daily at {self.at:%H:%M} {self.zone}"


Schedule = Every | Daily


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """
    A job that runs at the times of *schedule*.

    *handler* is called with the start time of the run; it opens its own transactions by
    `group_commit` and must be idempotent. If it raises, the run is retried with backoff and
    finally becomes a dead letter, like any job. *name* is unique among all jobs.
    """

    name: str
    schedule: Schedule
    handler: Callable[[datetime], Awaitable[None]]

    def __post_init__(self) -> None:
        if len(self.name) > NAME_LETTERS_MAX or not _NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} is not a short snake_case name")
