"""The two clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bursar import clock


def test_now_is_aware_and_in_utc() -> None:
    before = datetime.now(UTC)
    now = clock.now()
    assert now.tzinfo is UTC
    assert timedelta(0) <= now - before <= timedelta(minutes=1)


def test_the_monotonic_clock_is_never_set_back() -> None:
    read = [clock.monotonic() for _ in range(1_000)]
    assert read == sorted(read)
