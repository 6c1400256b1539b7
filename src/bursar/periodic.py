"""
Declarations of periodic jobs: what a feature has to do again and again, and at which times.

A feature lists its jobs as `PERIODIC` in its own folder; `bursar.job_handlers` collects them, and the
queue's scheduler enqueues each run. A schedule is a pure function of time, so that all processes
compute the same runs without asking each other.
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
    At every whole multiple of *interval* since 1970-01-01 00:00 UTC.

    *interval* is a whole number of minutes. `Every(timedelta(minutes=10))` runs at :00, :10, :20.
    """

    interval: timedelta

    def __post_init__(self) -> None:
        if self.interval < _MINUTE or self.interval % _MINUTE:
            raise ValueError(f"interval: {self.interval} is not a whole number of minutes")

    def next_after(self, at: datetime) -> datetime:
        """The first run later than *at* (aware), in UTC."""
        return _EPOCH + ((at - _EPOCH) // self.interval + 1) * self.interval

    def __str__(self) -> str:
        unit, size = next(each for each in _UNITS if not self.interval % each[1])
        count = self.interval // size
        return f"every {unit}" if count == 1 else f"every {count} {unit}s"


@dataclass(frozen=True, slots=True)
class Daily:
    """
    Once for each calendar day of *zone* (an IANA name), at the local time *at*.

    When clocks change, the rule is that of RFC 5545, 3.3.5: a local time that is skipped is taken
    with the UTC offset before the gap (02:30 becomes 03:30), and of a local time that comes twice
    the first is meant. So each day has one run.
    """

    at: time
    zone: str

    def __post_init__(self) -> None:
        if self.at.tzinfo is not None or self.at.second or self.at.microsecond:
            raise ValueError(f"at: {self.at} is not a local time in hours and minutes")
        ZoneInfo(self.zone)

    def next_after(self, at: datetime) -> datetime:
        """The first run later than *at* (aware), in UTC."""
        zone = ZoneInfo(self.zone)
        today = at.astimezone(zone).date()
        # The day before and a third day, because an offset may change by up to a day.
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
    A job that runs by itself at the times of *schedule*.

    *handler* is called with the time at which the run begins; it opens its own transactions by
    `group_commit` and must be safe to run twice. What it raises is handled as for any job: it is
    tried again with growing pauses, then becomes a dead letter. *name* is unique among all jobs.
    """

    name: str
    schedule: Schedule
    handler: Callable[[datetime], Awaitable[None]]

    def __post_init__(self) -> None:
        if len(self.name) > NAME_LETTERS_MAX or not _NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} is not a short snake_case name")
