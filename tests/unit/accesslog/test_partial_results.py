"""Partial results, state files, filters, trusted proxies and signals."""

from __future__ import annotations

import gzip
import ipaddress
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bursar.accesslog import analysis, filters, partial_aggregates
from bursar.accesslog.report import AccessLogReport

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_SAME = ("lines", "first_at", "last_at", "totals", *analysis.ALL_TABLES - {"signals"})


def _line(
    number: int, *, status: int = 200, path: str = "/", hour: int = 7, client: str = ""
) -> bytes:
    client = client or (
        f"192.0.2.{number % 200}" if number % 2 else f"2001:db8::{number % 500 + 1:x}"
    )
    return (
        f'{client} - - [25/Nov/2026:{hour:02}:00:00 +0000] "GET {path} HTTP/1.1" {status} {number} "-"'
        f' "agent {number % 7}"\n'
    ).encode()


def _log(path: Path, numbers: Sequence[int]) -> Path:
    rng = random.Random(len(numbers))
    path.write_bytes(
        b"".join(
            _line(
                number,
                status=rng.choice([200, 404, 500]),
                path=f"/orders/{number % 97}",
                hour=number % 24,
            )
            for number in numbers
        )
    )
    return path


def _same(one: AccessLogReport, other: AccessLogReport) -> None:
    for name in _SAME:
        assert one.get(name) == other.get(name), name


def test_parts_merge_to_what_one_run_tells(tmp_path: Path) -> None:
    logs = [_log(tmp_path / f"{name}.log", range(name, 3_000, name + 1)) for name in range(3)]
    for log in logs:
        analysis.analyze([log], partial=tmp_path / f"{log.stem}.part")
    parts = [tmp_path / f"{log.stem}.part" for log in logs]
    whole = analysis.analyze(logs, top=1_000)
    _same(analysis.merge(parts, top=1_000), whole)
    analysis.merge(parts[:2], partial=tmp_path / "two.part")
    _same(analysis.merge([tmp_path / "two.part", parts[2]], top=1_000), whole)


def test_two_processes_write_the_same_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar.accesslog.inputs.sources.PIECE_BYTES", 20_000)
    log = _log(tmp_path / "a.log", range(3_000))
    analysis.analyze([log], partial=tmp_path / "a.part", processes=2)
    _same(
        analysis.merge([tmp_path / "a.part"], top=1_000),
        analysis.analyze([log], top=1_000, processes=1),
    )


def test_parts_of_other_questions_do_not_merge(tmp_path: Path) -> None:
    log = _log(tmp_path / "a.log", range(50))
    analysis.analyze([log], partial=tmp_path / "all.part")
    analysis.analyze([log], tables={"addresses"}, partial=tmp_path / "some.part")
    with pytest.raises(
        partial_aggregates.PartialAggregateMismatch,
        match=r"some\.part was written with other tables",
    ):
        analysis.merge([tmp_path / "all.part", tmp_path / "some.part"])
    with pytest.raises(partial_aggregates.PartialAggregateMismatch, match="do not contain paths"):
        analysis.merge([tmp_path / "some.part"], tables={"paths"})
    assert set(analysis.merge([tmp_path / "some.part"])) >= {"addresses", "lines"}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "none"])
def test_a_damaged_part_is_refused(tmp_path: Path, damage: str) -> None:
    part = tmp_path / "a.part"
    analysis.analyze([_log(tmp_path / "a.log", range(500))], partial=part)
    whole = bytearray(part.read_bytes())
    middle = len(whole) // 2
    match damage:
        case "cut":
            part.write_bytes(whole[: middle * 2 - 3])
        case "flipped":
            whole[middle] ^= 1
            part.write_bytes(whole)
        case "empty":
            part.write_bytes(b"")
        case "text":
            part.write_bytes(b"192.0.2.1 - -\n" * 9)
        case _:
            part.unlink()
    with pytest.raises(partial_aggregates.PartialAggregateCorrupt, match=r"a\.part"):
        analysis.merge([part])


def test_a_run_goes_on_where_the_last_ended(tmp_path: Path) -> None:
    log, state = tmp_path / "access.log", tmp_path / "state"
    lines = [_line(number, path=f"/orders/{number}") for number in range(60)]

    def run(*logs: Path) -> AccessLogReport:
        return analysis.analyze(logs, state=state, top=1_000)

    log.write_bytes(b"".join(lines[:20]) + lines[20][:30])
    assert run(log)["lines"]["read"] == 20  # the last line is still being written
    assert run(log)["lines"]["read"] == 20
    with log.open("ab") as file:
        file.write(lines[20][30:] + b"".join(lines[21:30]))
    assert run(log)["lines"]["read"] == 30
    # Rotated, compressed, and written anew:
    with log.open("ab") as file:
        file.write(lines[30])
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.write_bytes(b"".join(lines[31:40]))
    report = run(tmp_path / "access.log.1.gz", log)
    assert report["lines"]["read"] == 40
    # Cut to nothing in place, and written again:
    log.write_bytes(b"".join(lines[40:45]))
    whole = tmp_path / "whole.log"
    whole.write_bytes(b"".join(lines[:45]))
    _same(run(tmp_path / "access.log.1.gz", log), analysis.analyze([whole], top=1_000))


def test_a_state_of_other_questions_is_refused(tmp_path: Path) -> None:
    log = _log(tmp_path / "a.log", range(9))
    analysis.analyze([log], state=tmp_path / "state")
    with pytest.raises(partial_aggregates.PartialAggregateMismatch, match="use another file"):
        analysis.analyze([log], tables={"paths"}, state=tmp_path / "state")


def _told(tmp_path: Path, **options: object) -> tuple[list[str], AccessLogReport]:
    log = tmp_path / "a.log"
    log.write_bytes(
        _line(0, client="192.0.2.1", status=200, path="/a?x=1", hour=1)
        + _line(0, client="192.0.2.77", status=404, path="/b/c", hour=2)
        + _line(0, client="2001:db8::5", status=503, path="/b/d", hour=3)
        + b"no line\n"
    )
    chosen_filters = filters.parse_filters(now=_NOW, **options)  # type: ignore[arg-type]
    report = analysis.analyze([log], filters=chosen_filters)
    return sorted(row["address"] for row in report["addresses"]["top"]), report


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"since": "2026-11-25T02:00"}, ["192.0.2.77", "2001:db8::5"]),
        ({"until": "2026-11-25T02:00Z"}, ["192.0.2.1"]),
        ({"since": "10h"}, ["192.0.2.77", "2001:db8::5"]),
        ({"statuses": ["4xx", "503"]}, ["192.0.2.77", "2001:db8::5"]),
        ({"path": "/b/*"}, ["192.0.2.77", "2001:db8::5"]),
        ({"path": "/a"}, ["192.0.2.1"]),
        ({"networks": ["192.0.2.0/26"]}, ["192.0.2.1"]),
        ({"networks": ["2001:db8::/32"], "statuses": ["5xx"]}, ["2001:db8::5"]),
    ],
)
def test_filters(tmp_path: Path, options: dict[str, object], expected: list[str]) -> None:
    addresses, report = _told(tmp_path, **options)
    assert addresses == expected
    lines = report["lines"]
    assert (lines["counted"], lines["filtered"], lines["unparsed"]) == (
        len(expected),
        3 - len(expected),
        1,
    )
    assert report["totals"]["requests"] == len(expected)
    assert len(report["filters"]) == len(options)


_FORWARDED = '%h %l %u %t "%r" %>s %b "%{X-Forwarded-For}i"'


@pytest.mark.parametrize(
    ("client", "forwarded", "expected"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "forged, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "-", "10.0.0.1"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
    ],
)
def test_forwarded_addresses_are_believed_of_trusted_proxies_only(
    tmp_path: Path, client: str, forwarded: str, expected: str
) -> None:
    log = tmp_path / "a.log"
    log.write_text(
        f'{client} - - [25/Nov/2026:07:00:00 +0000] "GET / HTTP/1.1" 200 1 "{forwarded}"\n'
    )
    trusted = [ipaddress.ip_network("10.0.0.0/8")]
    for only in ({"addresses"}, analysis.ALL_TABLES):
        report = analysis.analyze(
            [log], tables=only, log_format=_FORWARDED, trusted_proxies=trusted
        )
        assert [row["address"] for row in report["addresses"]["top"]] == [expected]
    report = analysis.analyze([log], log_format=_FORWARDED)
    assert [row["address"] for row in report["addresses"]["top"]] == [client]


def test_what_a_merchant_should_look_at(tmp_path: Path) -> None:
    def lines(client: str, method: str, path: str, statuses: Sequence[int]) -> bytes:
        return b"".join(
            f'{client} - - [25/Nov/2026:07:00:{at % 60:02} +0000] "{method} {path.format(at)} HTTP/1.1"'
            f' {status} 9 "-" "-"\n'.encode()
            for at, status in enumerate(statuses)
        )

    log = tmp_path / "a.log"
    log.write_bytes(
        lines("192.0.2.1", "POST", "/v1/charges", [402] * 29 + [201])
        + lines("192.0.2.2", "POST", "/orders/{}/pay", [201] * 20 + [402] * 6)
        + lines("192.0.2.3", "POST", "/hooks/stripe", [401] * 3)
        + lines("192.0.2.4", "POST", "/admin/login/", [200] * 12)
        + lines("192.0.2.5", "GET", "/.env", [404])
        + lines("192.0.2.5", "GET", "/wp-login.php", [404])
        + lines("192.0.2.5", "GET", "/.git/config", [403])
        + lines("192.0.2.6", "GET", "/nothing/{}", [404] * 31)
        + lines("192.0.2.7", "GET", "/favicon.ico", [404] * 500)
        + lines("192.0.2.8", "POST", "/admin/login/", [302] * 12)
    )
    told = {
        (one["kind"], one["subject"]): one["values"] for one in analysis.analyze([log])["signals"]
    }
    assert told[("card_testing", "192.0.2.1")]["declined"] == 29
    assert told[("card_testing", "192.0.2.1")]["attempts"] == 30
    assert told[("declined_payments", "192.0.2.2")] == {
        "declined": 6,
        "attempts": 26,
        "paths": 26,
        "declined_per_minute": 14.4,
    }
    assert told[("webhook_signatures", "192.0.2.3")] == {"rejected": 3}
    assert told[("credential_stuffing", "192.0.2.4")] == {"failed": 12}
    assert told[("scanner", "192.0.2.5")] == {"missing": 2, "probes": 3}
    assert told[("scanner", "192.0.2.6")] == {"missing": 31, "probes": 0}
    assert len(told) == 6


def test_a_sudden_change_is_told_against_the_period_before(tmp_path: Path) -> None:
    def day(name: str, errors: int) -> Path:
        path = tmp_path / name
        path.write_bytes(
            b"".join(
                _line(1, status=500 if at < errors else 200, hour=at % 24) for at in range(960)
            )
        )
        return path

    analysis.analyze([day("before.log", 10)], partial=tmp_path / "before.part")
    report = analysis.analyze([day("after.log", 200)], compare_to=tmp_path / "before.part")
    assert [(one["kind"], one["subject"]) for one in report["signals"]] == [
        ("change", "server errors")
    ]
    assert report["signals"][0]["values"] == {"expected": 10.0, "actual": 200}
    assert (
        analysis.analyze([day("same.log", 12)], compare_to=tmp_path / "before.part")["signals"]
        == []
    )
