"""Reports of arbitrary bytes equal the expected reports of `oracle`."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.accesslog import analysis
from bursar.accesslog.parsing import decompression
from bursar.accesslog.report import AccessLogReport
from tests import thoroughness
from tests.unit.accesslog import oracle

_ONLY_ADDRESSES = frozenset({"addresses"})
_MANY = 1_000_000

_octets = st.integers(0, 300).map(str)
_groups = st.one_of(
    st.integers(0, 0xFFFF).map(lambda number: f"{number:x}"),
    st.sampled_from(["0", "00", "ABCD", ""]),
)
_written = st.one_of(
    st.lists(_octets, min_size=3, max_size=5).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda one: one.compressed),
    st.ip_addresses(v=6).map(lambda one: one.exploded.upper()),
    st.ip_addresses(v=4).map(lambda one: f"::ffff:{one}"),
    st.lists(_groups, min_size=2, max_size=9).map(":".join),
    st.sampled_from(
        ["", "-", "localhost", "127.0.0.01", "1.2.3.4.5", "::", "::1", "fe80::1%eth0", "1" * 70]
    ),
).map(str.encode)
_noise = st.binary(max_size=40).map(lambda text: text.replace(b"\n", b" "))


@st.composite
def _misspelt(draw: st.DrawFn) -> bytes:
    """An address with a byte replaced or inserted."""
    text = draw(_written)
    at = draw(st.integers(0, len(text)))
    letter = draw(
        st.sampled_from([b"/", b"-", b":", b"\0", b"\t", b"g", b"\xb0"])
        | _noise.map(lambda one: one[:1])
    )
    return text[:at] + letter + text[at + draw(st.integers(0, 1)) :]


_addresses = st.one_of(_written, _written, _misspelt())
_quoted = st.one_of(
    st.sampled_from(
        [b"-", b"Mozilla/5.0 (X11)", rb"a \"quoted\" word", rb"ends \\", rb"odd \x22", b""]
    ),
    _noise.map(lambda text: text.replace(b"\\", b"/").replace(b'"', rb"\"")),
)
_times = st.one_of(
    st.datetimes(
        min_value=__import__("datetime").datetime(1990, 1, 1),
        max_value=__import__("datetime").datetime(2100, 1, 1),
    ).map(lambda at: at.strftime("%d/%b/%Y:%H:%M:%S +0130").encode()),
    st.sampled_from([b"31/Dez/2020:00:00:00 +0000", b"", b"01/Jan/2020:25:00:00 +0000"]),
)
_requests = st.one_of(
    st.sampled_from(
        [
            b"GET / HTTP/1.1",
            b"POST /hooks/stripe?x=1 HTTP/1.1",
            b"GET",
            b"-",
            b"\\x16\\x03\\x01",
            b"HEAD  HTTP/1.0",
            b"GET http://shop.example/a/b?c HTTP/1.1",
            b"get /x",
            b"GET /a b c HTTP/1.1",
            b"GET https://h",
        ]
    ),
    _noise.map(lambda text: text.replace(b"\\", b"/").replace(b'"', b"'")),
)


@st.composite
def _lines(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        return draw(_noise)
    line = b'%s - %s [%s] "%s" %s %s "%s" "%s"' % (
        draw(_addresses),
        draw(st.sampled_from([b"-", b"frank"])),
        draw(_times),
        draw(_requests),
        draw(st.sampled_from([b"200", b"404", b"500", b"-", b"2x0", b"20000", b""])),
        draw(st.sampled_from([b"0", b"12", b"-", b"99999999999", b"1" * 17])),
        draw(_quoted),
        draw(_quoted),
    )
    if draw(st.integers(0, 9)) == 0:
        line = line[: draw(st.integers(0, len(line)))]
    return line + draw(st.sampled_from([b"", b"", b"", b"\r"]))


_logs = (
    st.lists(_lines(), max_size=30)
    .flatmap(lambda lines: st.sampled_from([b"\n".join(lines), b"\n".join([*lines, b""])]))
    .filter(
        lambda log: not decompression.compression_of(log)
    )  # it would be taken for a compressed one
)
_each = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def _read(folder: Path, log: bytes, **options: object) -> AccessLogReport:
    path = folder / "access.log"
    path.write_bytes(log)
    return analysis.analyze([path], log_format="combined", top=_MANY, processes=1, **options)  # type: ignore[arg-type]


def _counts(report: AccessLogReport) -> dict[str, int]:
    return {row["address"]: row["requests"] for row in report["addresses"]["top"]}


@_each
@given(log=_logs)
def test_addresses_alone(tmp_path: Path, log: bytes) -> None:
    report = _read(tmp_path, log, tables=_ONLY_ADDRESSES)
    expected = oracle.clients(log)
    assert _counts(report) == expected
    assert report["addresses"]["distinct"] == len(expected)
    lines = len(oracle.lines(log))
    counted = expected.total()
    assert report["lines"] == {
        "read": lines,
        "counted": counted,
        "unparsed": lines - counted,
        "too_long": 0,
        "filtered": 0,
    }


@_each
@given(log=_logs)
def test_every_table(tmp_path: Path, log: bytes) -> None:
    report = _read(tmp_path, log)
    expected = oracle.Expected(log)
    assert _counts(report) == oracle.clients(log)
    assert (report["lines"]["read"], report["lines"]["counted"]) == (
        expected.read,
        expected.counted,
    )
    keys = {
        "methods": "method",
        "paths": "path",
        "agents": "agent",
        "referrers": "referrer",
        "statuses": "status",
        "hours": "hour",
    }
    for table, key in keys.items():
        told = {
            row[key]: [
                row[name] for name in ("requests", "bytes", "client_errors", "server_errors")
            ]
            for row in report[table]["top"]  # type: ignore[literal-required]
        }
        assert told == expected.tables[table], table


def _made_up(seed: int, *, count: int, addresses: int) -> bytes:
    rng = random.Random(seed)
    lines = []
    for _ in range(count):
        number = int(rng.random() ** 2 * addresses)
        client = (
            f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            if number % 3
            else f"2001:db8::{number + 1:x}"
        )
        path = rng.choice(
            ["/", "/checkout", f"/orders/{rng.randrange(5000)}", f"/p/{rng.randrange(9)}?q=1"]
        )
        lines.append(
            f'{client} - - [25/Nov/2026:{rng.randrange(24):02}:00:00 +0000] "GET {path} HTTP/1.1"'
            f' {rng.choice([200, 200, 404, 502])} {rng.randrange(9999)} "-" "agent {rng.randrange(300)}"'
        )
    return "\n".join([*lines, ""]).encode()


@pytest.mark.parametrize("processes", [1, 2])
def test_tables_that_spill_are_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr(analysis, "_ROWS_MIN", 64)
    monkeypatch.setattr(analysis, "_ROWS_MAX", 64)
    monkeypatch.setattr("bursar.accesslog.inputs.sources.PIECE_BYTES", 100_000)
    log = _made_up(7, count=8_000, addresses=3_000)
    path = tmp_path / "access.log"
    path.write_bytes(log)
    told = oracle.Expected(log)
    for only in (_ONLY_ADDRESSES, analysis.ALL_TABLES):
        report = analysis.analyze([path], tables=only, top=_MANY, processes=processes)
        assert _counts(report) == oracle.clients(log)
    assert {row["path"]: row["requests"] for row in report["paths"]["top"]} == {
        key: row[0] for key, row in told.tables["paths"].items()
    }
    assert {row["route"] for row in report["routes"]["top"]} == {
        "/",
        "/checkout",
        "/orders/{id}",
        "/p/{id}",
    }


def _many_spellings(addresses: int) -> bytes:
    """*addresses* IPv4 and IPv6 addresses, each in four or five spellings, far apart in the log."""
    v4 = [(192, 0, number >> 8, number & 255) for number in range(addresses)]
    spellings = [
        *(f"{a}.{b}.{c}.{d}" for a, b, c, d in v4),
        *(f"2001:db8::{number:x}:0:1" for number in range(addresses)),
        *(f"::ffff:{a}.{b}.{c}.{d}" for a, b, c, d in v4),
        *(f"2001:0DB8:0:0:0:{number:04X}:0:1" for number in range(addresses)),
        *(f"0:0:0:0:0:FFFF:{a:02x}{b:02x}:{c:x}{d:02X}" for a, b, c, d in v4),
        *(f"2001:db8::{number:x}:0.0.0.1" for number in range(addresses)),
        *(f"::ffff:{a:x}{b:02x}:{c:02x}{d:02x}" for a, b, c, d in v4),
        *("2001:db8::" + f"{number:04x}:0000:0001" for number in range(addresses)),
    ]
    return "".join(
        f'{one} - - [25/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'
        for one in spellings
    ).encode()


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("only", [_ONLY_ADDRESSES, analysis.ALL_TABLES], ids=["alone", "beside"])
def test_one_address_written_in_several_ways_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, only: frozenset[str]
) -> None:
    monkeypatch.setattr(analysis, "_ROWS_MIN", 64)
    monkeypatch.setattr(analysis, "_ROWS_MAX", 64)
    monkeypatch.setattr("bursar.accesslog.inputs.sources.PIECE_BYTES", 10_000)
    path, part, log = (
        tmp_path / "access.log",
        tmp_path / "a.part",
        _many_spellings(thoroughness.examples(400)),
    )
    path.write_bytes(log)
    expected = oracle.clients(log)
    assert len(expected) == 2 * thoroughness.examples(400)
    for partial in (None, part):
        report = analysis.analyze(
            [path], tables=only, top=_MANY, processes=processes, partial=partial
        )
        assert _counts(report) == expected
    assert _counts(analysis.merge([part, part], top=_MANY)) == {
        address: 2 * count for address, count in expected.items()
    }
    # A run that goes on finds the other ways to write what the first one kept.
    half = log.index(b"\n", len(log) // 2) + 1
    for known in (log[:half], log):
        path.write_bytes(known)
        report = analysis.analyze(
            [path], tables=only, top=_MANY, processes=processes, state=tmp_path / "state"
        )
        assert _counts(report) == oracle.clients(known)


def test_the_first_of_many_come_by_requests_then_by_address(tmp_path: Path) -> None:
    log = _made_up(3, count=3_000, addresses=2_500)
    report = _read(tmp_path, log)
    rows = [(row["requests"], row["address"]) for row in report["addresses"]["top"]]
    order = sorted(rows, key=lambda row: (-row[0], ":" in row[1], _sort_key(row[1])))
    assert rows == order
    (tmp_path / "access.log").write_bytes(log)
    first = analysis.analyze([tmp_path / "access.log"], tables=_ONLY_ADDRESSES, top=7)
    assert [(row["requests"], row["address"]) for row in first["addresses"]["top"]] == order[:7]


def _sort_key(address: str) -> object:
    return address if ":" in address else tuple(map(int, address.split(".")))


def test_estimates_count_one_address_written_in_several_ways_once(tmp_path: Path) -> None:
    log = _many_spellings(3)
    report = _read(tmp_path, log, tables=_ONLY_ADDRESSES, approximate=True)
    assert report["addresses"]["distinct"] == 6
    assert _counts(report) == oracle.clients(log)


def test_estimates_stay_within_their_bound(tmp_path: Path) -> None:
    log = b"".join(
        b"10.%d.%d.%d - \n" % (number >> 16, number >> 8 & 255, number & 255)
        for number in range(150_000)
    )
    report = _read(
        tmp_path, log + b"192.0.2.1 - \n" * 5_000, tables=_ONLY_ADDRESSES, approximate=True
    )
    bound = report["error_bound"]
    assert bound <= 0.02
    assert abs(report["addresses"]["distinct"] - 150_001) <= bound * 150_001
    first = report["addresses"]["top"][0]
    assert first["address"] == "192.0.2.1"
    assert 5_000 <= first["requests"] < 5_100


def test_the_real_log(tmp_path: Path) -> None:
    folder = os.environ.get("BURSAR_REAL_DATA")
    if not folder:
        pytest.skip("BURSAR_REAL_DATA names no folder of real data")
    packed = Path(folder) / "logs" / "apache_combined.log.gz"
    log = gzip.decompress(packed.read_bytes())
    report = analysis.analyze([packed], top=_MANY)
    told = oracle.Expected(log)
    assert (report["lines"]["read"], report["lines"]["counted"]) == (told.read, told.counted)
    assert _counts(report) == oracle.clients(log)
    for table, key in (
        ("paths", "path"),
        ("agents", "agent"),
        ("referrers", "referrer"),
        ("statuses", "status"),
    ):
        assert {row[key]: row["requests"] for row in report[table]["top"]} == {  # type: ignore[literal-required]
            key: row[0] for key, row in told.tables[table].items()
        }
