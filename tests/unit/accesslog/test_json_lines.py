"""JSON lines of several servers, and hostile ones, converted to fields."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.accesslog import analysis
from bursar.accesslog.parsing import format_detection, json_lines
from bursar.accesslog.parsing.formats import PRESETS
from tests.unit.accesslog import reference

_PAID = {
    "client": b"192.0.2.7",
    "epoch": b"1764064800",
    "method": b"GET",
    "path": b"/pay?id=1",
    "status": b"402",
    "bytes": b"87",
    "micros": b"171000",
    "agent": b"curl/8",
}
_NGINX = {
    "time_iso8601": "2025-11-25T11:00:00+01:00",
    "remote_addr": "192.0.2.7",
    "request": "GET /pay?id=1 H",
    "status": "402",
    "body_bytes_sent": "87",
    "request_time": "0.171",
    "http_user_agent": "curl/8",
}
_CADDY = {
    "level": "info",
    "ts": 1764064800.123,
    "logger": "http.log.access",
    "msg": "handled request",
    "request": {
        "remote_ip": "192.0.2.7",
        "remote_port": "41342",
        "proto": "HTTP/2.0",
        "method": "GET",
        "host": "shop.example",
        "uri": "/pay?id=1",
        "headers": {"User-Agent": ["curl/8"]},
    },
    "duration": 0.171,
    "size": 87,
    "status": 402,
}
_TRAEFIK = {
    "ClientHost": "192.0.2.7",
    "ClientAddr": "192.0.2.7:4711",
    "StartUTC": "2025-11-25T10:00:00.123456789Z",
    "RequestMethod": "GET",
    "RequestPath": "/pay?id=1",
    "DownstreamStatus": 402,
    "Duration": 171000000,
    "DownstreamContentSize": 87,
    "request_User-Agent": "curl/8",
    "RequestHost": "shop.example",
}
_OWN = {
    "time": "2025-11-25T10:00:00Z",
    "client": "192.0.2.7",
    "method": "GET",
    "path": "/pay?id=1",
    "status": 402,
    "bytes": 87,
    "milliseconds": 171.0,
    "agent": "curl/8",
}


def _rows(*lines: bytes) -> list[dict[str, bytes] | None]:
    block = json_lines.to_tab_separated(reference.block_of(*lines))
    return reference.rows(PRESETS["json"], *reference.texts(block, (block.starts, block.ends)))


@pytest.mark.parametrize("told", [_NGINX, _CADDY, _TRAEFIK, _OWN])
def test_servers(told: dict[str, object]) -> None:
    line = json.dumps(told).encode()
    row = _rows(b"", line)[1]
    assert row is not None
    assert _PAID.items() <= row.items()
    assert format_detection.detect_format(line + b"\n", name="log").name == "json"


def test_what_is_no_object_is_no_line() -> None:
    bad = [b"", b"[]", b"1", b'{"client"', b'{"client": "\xff"}', b"{} {}", b" {}", b'{"a":' * 5000]
    assert _rows(*bad, json.dumps(_OWN).encode())[:-1] == [None] * len(bad)


@pytest.mark.parametrize(
    ("request_line", "method", "path"),
    [
        ("GET /pay HTTP/1.1", b"GET", b"/pay"),
        ("\\x16\\x03 /x", b"", b"\\x16\\x03 /x"),
        ("", b"", b""),
        ("A" * 30 + " /", b"", b"A" * 30 + b" /"),
    ],
)
def test_a_request_that_is_none_has_no_method(
    request_line: str, method: bytes, path: bytes
) -> None:
    row = _rows(json.dumps({**_NGINX, "request": request_line}).encode())[0]
    assert row is not None
    assert (row["method"], row["path"]) == (method, path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1764064800, b"1764064800"),
        (1764064800.9, b"1764064800"),
        (1764064800900, b"1764064800"),
        ("1764064800.123", b"1764064800"),
        (1764064799999999999, b"1764064799"),
        ("25/Nov/2025:11:00:00 +0100", b"1764064800"),
        ("2025-11-25T10:00:00", b"1764064800"),
        ("2025-11-25 10:00:00+00", b"1764064800"),
        ("yesterday", b""),
        (-1, b""),
        (10**30, b""),
        (True, b""),
        ([1], b""),
        ("\u00b2", b""),
    ],
)
def test_times(value: object, expected: bytes) -> None:
    row = _rows(json.dumps({**_OWN, "time": value}).encode())[0]
    assert row is not None
    assert row["epoch"] == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"request_time": "0.003"}, b"3000"),
        ({"request_time": "-"}, b""),
        ({"request_time": "nan"}, b""),
        ({"request_time": "inf"}, b""),
        ({"request_time": 1e300}, b""),
        ({"request_time": True}, b""),
        ({"request_time": 10**400}, b""),
        ({"request_time": "", "duration_ms": 2}, b"2000"),
        ({"duration_us": 7.4}, b"7"),
    ],
)
def test_durations(told: dict[str, object], expected: bytes) -> None:
    row = _rows(json.dumps({"client": "::1", **told}).encode())[0]
    assert row is not None
    assert row["micros"] == expected


_simple = st.one_of(
    st.text(max_size=20),
    st.integers(),
    st.sampled_from([10**400, 1e300, True, None, "\t\n\r\x0b\x85\u2028"]),
)
_values = st.one_of(
    _simple,
    st.lists(_simple, max_size=2),
    st.dictionaries(st.text(max_size=5), _simple, max_size=2),
)
_names = st.sampled_from(sorted({*_NGINX, *_CADDY, *_TRAEFIK, *_OWN, "http_referer", "forwarded"}))


@given(told=st.lists(st.dictionaries(_names, _values, max_size=6), min_size=1, max_size=4))
def test_no_value_makes_a_line_or_a_field_of_its_own(told: list[dict[str, object]]) -> None:
    lines = [json.dumps(one).encode() for one in told]
    block = json_lines.to_tab_separated(reference.block_of(*lines))
    texts = reference.texts(block, (block.starts, block.ends))
    assert len(texts) == len(lines)
    tabs = len(PRESETS["json"].steps) - 1
    for text in texts:
        assert text.count(b"\t") in (0, tabs)
        assert not any(byte < 32 and byte != 9 for byte in text)


@given(agent=st.text(max_size=60))
def test_texts_come_through_but_for_control_characters(agent: str) -> None:
    row = _rows(json.dumps({**_OWN, "agent": agent}).encode("utf-8", "replace"))[0]
    assert row is not None
    expected = "".join(" " if one < " " or one == "\x7f" else one for one in agent)
    assert row["agent"] == expected.encode()


def test_a_log_of_bursar_is_read_for_its_requests(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [
        {"event": "job_done", "job": "charge", "timestamp": "2026-11-25T07:00:00Z"}
    ] * 4
    lines += [
        {
            "event": "request",
            "client": "192.0.2.7",
            "method": "POST",
            "path": "/v1/orders",
            "status": 201,
            "milliseconds": 12.5,
            "timestamp": "2026-11-25T07:00:01.5Z",
        }
    ]
    path = tmp_path / "bursar.log"
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    report = analysis.analyze([path])
    assert report["lines"] == {"read": 5, "counted": 1, "unparsed": 4, "too_long": 0, "filtered": 0}
    assert report["routes"]["top"] == [
        {
            "route": "/v1/orders",
            "requests": 1,
            "bytes": 0,
            "client_errors": 0,
            "server_errors": 0,
            "mean_ms": 12.5,
            "max_ms": 12.5,
        }
    ]
    assert report["first_at"] == "2026-11-25T07:00:01Z"
