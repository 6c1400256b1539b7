"""Options of `bursar traffic`: parsing, and errors that name the option."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from bursar.accesslog import filters
from bursar.accesslog.inputs import paths
from bursar.accesslog.output import saved_reports
from bursar.accesslog.parsing import decompression
from tests import accesslogs

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOON = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2h", NOON - 7_200),
        ("7d", NOON - 604_800),
        ("2026-11-25", NOON - 43_200),
        ("2026-11-25T13:00+02:00", NOON - 3_600),
        ("2026-11-25T12:00:01", NOON + 1),
        ("2026-11-25T12:00Z", NOON),
    ],
)
def test_moments(text: str, at: int) -> None:
    assert filters.parse_time(text, option="--since", now=NOW) == at


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "999999999w", "-2h"])
def test_what_is_no_moment_is_told_with_its_option(text: str) -> None:
    with pytest.raises(filters.InvalidOption, match="is not a time") as told:
        filters.parse_time(text, option="--until", now=NOW)
    assert str(told.value).startswith(f"--until: {text!r} is not a time")


def test_filters_say_what_they_leave() -> None:
    found = filters.parse_filters(
        since="2h",
        until="2026-11-25T12:00:01Z",
        statuses=["404,5xx"],
        path="/v1/*",
        networks=["192.0.2.7/24", "2001:db8::1"],
        now=NOW,
    )
    assert found == filters.Filters(
        since=NOON - 7_200,
        until=NOON + 1,
        statuses=(range(404, 405), range(500, 600)),
        path="/v1/*",
        networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::1/128")),
    )
    assert found.describe() == [
        "since 2026-11-25 10:00 UTC",
        "until 2026-11-25 12:00:01 UTC",
        "status 404 or 5xx",
        "path /v1/*",
        "address in 192.0.2.0/24 or 2001:db8::1/128",
    ]
    assert filters.parse_filters(now=NOW).describe() == []


@pytest.mark.parametrize("text", ["600", "4x", "abc", "99", "0xx"])
def test_what_is_no_status(text: str) -> None:
    with pytest.raises(filters.InvalidOption, match="--status"):
        filters.parse_status(text)


def test_sizes_tables_and_spans() -> None:
    assert (filters.parse_memory("128MB"), filters.parse_memory("1GiB")) == (128_000_000, 2**30)
    for text in ("1MB", "much", "128XB"):
        with pytest.raises(filters.InvalidOption, match="--memory"):
            filters.parse_memory(text)
    assert filters.parse_tables(["addresses,signals"]) == {"addresses", "signals"}
    assert filters.parse_tables([]) == set(filters.TABLE_NAMES)
    with pytest.raises(filters.InvalidOption, match="--tables: 'cats' is not a table"):
        filters.parse_tables(["cats"])
    with pytest.raises(filters.InvalidOption, match="--until: '3h' is not after --since '2h'"):
        filters.parse_filters(since="2h", until="3h", now=NOW)


def test_rotated_logs_come_the_oldest_first(tmp_path: Path) -> None:
    oldest_first = [
        "access.log.10.gz",
        "access.log.2.gz",
        "access.log.1",
        "access.log",
        "error.log-20261123.gz",
        "error.log-20261124",
        "error.log",
    ]
    for name in [*reversed(oldest_first), "notes.txt"]:
        (tmp_path / name).touch()
    assert [path.name for path in paths.expand([str(tmp_path)])] == oldest_first
    assert [path.name for path in paths.expand([f"{tmp_path}/error*"])] == oldest_first[4:]
    assert paths.expand(["-", "none"]) == [Path("-"), Path("none")]
    with pytest.raises(decompression.LogUnreadable, match="no log file found"):
        paths.expand([f"{tmp_path}/*.zip"])


def test_a_kept_report_is_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "traffic"
    saved_reports.save(accesslogs.hostile(), name="own", folder=folder)
    assert saved_reports.list_names(folder) == ["own"]
    assert saved_reports.load("own", folder=folder) == accesslogs.hostile()
    (folder / "half.json").write_text('{"bursar_version":')
    for name in ("half", "none"):
        with pytest.raises(saved_reports.ReportNotFound):
            saved_reports.load(name, folder=folder)
    for name in ("../own", "", "a/b", ".own", "a" * 65):
        with pytest.raises(saved_reports.InvalidReportName):
            saved_reports.report_path(name, folder=folder)
