"""Schedules: when the next run is, on ordinary days and when clocks change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar import job_handlers
from bursar.periodic import Daily, Every, PeriodicJob
from bursar.queue.scheduler import PeriodicHandler

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
#: Half an hour of summer time, a gap at midnight, a day that never was, winter time in summer.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Apia",
]

_FIRST, _LAST = datetime(1975, 1, 1), datetime(2037, 12, 1)  # noqa: DTZ001  (Hypothesis's way)
instants = st.datetimes(_FIRST, _LAST, timezones=st.just(UTC))
clock_times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
schedules = st.one_of(
    st.builds(lambda minutes: Every(minutes * MINUTE), st.integers(1, 5_000)),
    st.builds(Daily, clock_times, st.sampled_from(ZONES)),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_every_runs_at_whole_multiples() -> None:
    every = Every(timedelta(minutes=10))
    assert every.next_after(utc("2026-03-01 12:09:59")) == utc("2026-03-01 12:10")
    assert every.next_after(utc("2026-03-01 12:10")) == utc("2026-03-01 12:20")
    six_hours = Every(timedelta(hours=6))
    assert six_hours.next_after(utc("2026-03-01 12:00:01")) == utc("2026-03-01 18:00")


@pytest.mark.parametrize(
    ("after", "runs"),
    [
        # An ordinary winter day: UTC+1.
        ("2026-01-10 00:00", ["2026-01-10 01:30", "2026-01-11 01:30"]),
        # Exactly at a run the next one is meant.
        ("2026-01-10 01:30", ["2026-01-11 01:30"]),
        # 29 March: 02:30 is skipped, so it is taken with UTC+1, as 03:30 summer time.
        ("2026-03-28 12:00", ["2026-03-29 01:30", "2026-03-30 00:30"]),
        # 25 October: 02:30 comes twice, the first (UTC+2) is meant and the second is not.
        ("2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
    ],
)
def test_daily_when_clocks_change(after: str, runs: list[str]) -> None:
    at, daily = utc(after), Daily(time(2, 30), "Europe/Berlin")
    for run in runs:
        at = daily.next_after(at)
        assert at == utc(run)


def test_a_day_that_never_was_has_no_run_of_its_own() -> None:
    """Samoa went from 29 to 31 December 2011."""
    daily = Daily(time(3, 15), "Pacific/Apia")
    first = daily.next_after(utc("2011-12-29 00:00"))
    second, third = daily.next_after(first), daily.next_after(daily.next_after(first))
    assert [first, second, third] == [
        utc("2011-12-29 13:15"),
        utc("2011-12-30 13:15"),
        utc("2011-12-31 13:15"),
    ]


@given(schedules, instants)
def test_the_next_run_is_later_and_nothing_is_left_out(
    schedule: Every | Daily, at: datetime
) -> None:
    following = schedule.next_after(at)
    assert following > at
    assert following.tzinfo is UTC
    # Seen from anywhere before it, it is the next: so nobody who looks later skips one.
    between = at + (following - at) / 2
    assert schedule.next_after(between) == following
    assert schedule.next_after(following - timedelta(microseconds=1)) == following


@given(st.integers(1, 5_000), instants)
def test_every_has_one_distance(minutes: int, at: datetime) -> None:
    every = Every(minutes * MINUTE)
    first = every.next_after(at)
    assert first - at <= minutes * MINUTE
    assert every.next_after(first) - first == minutes * MINUTE
    assert (first - datetime(1970, 1, 1, tzinfo=UTC)) % (minutes * MINUTE) == timedelta(0)


def _minute_by_minute(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The run of *day*, found by looking at a clock on the wall every minute."""
    wanted = datetime.combine(day, at)
    instant = wanted.replace(tzinfo=UTC) - timedelta(hours=26)
    end = instant + timedelta(hours=52)
    while instant < end:
        shown = instant.astimezone(zone).replace(tzinfo=None)
        if shown == wanted:
            return instant
        following = (instant + MINUTE).astimezone(zone).replace(tzinfo=None)
        if shown < wanted < following:  # the gap: as if the clock had not been changed
            return instant + (wanted - shown)
        instant += MINUTE
    raise AssertionError(f"no run on {day}")


#: Days on which clocks change, and the days around them.
CHANGES = {
    "Europe/Berlin": [date(2026, 3, 29), date(2026, 10, 25)],
    "America/New_York": [date(2026, 3, 8), date(2026, 11, 1)],
    "America/Sao_Paulo": [date(2018, 11, 4), date(2018, 2, 18)],
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],
    "Pacific/Apia": [date(2011, 12, 29), date(2011, 12, 31)],
}


def _days() -> Iterator[tuple[str, date]]:
    for zone, days in CHANGES.items():
        for day in days:
            yield from ((zone, day + timedelta(days=n)) for n in (-1, 0, 1))


@given(st.sampled_from([*_days()]), clock_times)
def test_daily_is_what_a_clock_on_the_wall_shows(case: tuple[str, date], at: time) -> None:
    name, day = case
    expected = _minute_by_minute(day, at, ZoneInfo(name))
    daily = Daily(at, name)
    assert daily.next_after(expected - timedelta(microseconds=1)) == expected
    # Each day has one run: from this one to the next there is no other.
    following = _minute_by_minute(day + timedelta(days=1), at, ZoneInfo(name))
    if following == expected:  # of the day that never was and the day after it
        following = _minute_by_minute(day + timedelta(days=2), at, ZoneInfo(name))
    assert daily.next_after(expected) == following


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Every(MINUTE), "every minute"),
        (Every(10 * MINUTE), "every 10 minutes"),
        (Every(90 * MINUTE), "every 90 minutes"),
        (Every(HOUR), "every hour"),
        (Every(timedelta(days=2)), "every 2 days"),
        (Daily(time(3, 15), "Europe/Berlin"), "daily at 03:15 Europe/Berlin"),
    ],
)
def test_schedules_in_words(schedule: Every | Daily, text: str) -> None:
    assert str(schedule) == text


@pytest.mark.parametrize(
    "interval", [timedelta(0), timedelta(seconds=30), timedelta(seconds=90), -HOUR]
)
def test_an_interval_is_whole_minutes(interval: timedelta) -> None:
    with pytest.raises(ValueError, match="interval"):
        Every(interval)


def test_a_zone_that_nobody_knows_is_refused() -> None:
    with pytest.raises(Exception, match="Mars/Phobos"):
        Daily(time(3, 0), "Mars/Phobos")
    with pytest.raises(ValueError, match="local time"):
        Daily(time(3, 0, 1), "UTC")


@pytest.mark.parametrize("name", ["", "Prune", "prune-it", "x" * 61])
def test_a_name_that_is_no_job_name_is_refused(name: str) -> None:
    async def handler(now: datetime) -> None:
        return None

    with pytest.raises(ValueError, match="name"):
        PeriodicJob(name, Every(HOUR), handler)


def test_every_periodic_job_has_its_handler_and_a_name_of_its_own() -> None:
    names = [job.name for job in job_handlers.PERIODIC]
    assert len(names) == len(set(names))
    for job in job_handlers.PERIODIC:
        handler = job_handlers.HANDLERS[job.name]
        assert isinstance(handler, PeriodicHandler)
        assert handler.job is job
    ordinary = [
        name for name, h in job_handlers.HANDLERS.items() if not isinstance(h, PeriodicHandler)
    ]
    assert "charge" in ordinary
    assert set(ordinary).isdisjoint(names)
