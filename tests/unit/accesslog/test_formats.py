"""Log formats from the servers' documentation."""

from __future__ import annotations

import pytest

from bursar.accesslog.parsing import field_parsers, format_detection, formats
from bursar.accesslog.parsing.formats import PRESETS, InvalidLogFormat, LogFormat, UnknownLogFormat
from tests.unit.accesslog import reference

_EPOCH = 1_764_064_800  # 2025-11-25T10:00:00Z
_TIME = b"[25/Nov/2025:11:00:00 +0100]"
_COMMON = b'192.0.2.7 - frank %b "GET /pay?id=1 HTTP/1.1" 402 87' % _TIME
_AGENTS = b' "https://shop.example/" "Mozilla/5.0 (\\"X\\")"'
_ALB = (
    b"https 2025-11-25T10:00:00.186641Z app/shop/50dc6c495c0c9188 [2001:db8::7]:46532 10.0.0.66:9000 "
    b'0.086 0.048 0.037 402 502 0 87 "GET https://shop.example:443/pay?id=1 HTTP/2.0" "Mozilla/5.0" '
    b'ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:x "Root=1-58337281" "shop.example" "-" 1 '
    b'2025-11-25T10:00:00.000000Z "forward" "-" "-" "10.0.0.66:9000" "502" "-" "-" TID_1'
)
_IIS = (
    b"#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n"
    b"#Date: 2025-11-25 00:00:00\r\n"
    b"#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip"
    b" cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken\r\n"
    b"2025-11-25 10:00:00 10.0.0.1 GET /pay id=1 443 - 192.0.2.7 Mozilla/5.0+(X) - 402 0 0 171\r\n"
)
_CLOUDFRONT = (
    b"#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem"
    b" sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type"
    b" x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for\n"
    b"2025-11-25\t10:00:00\tFRA2\t87\t192.0.2.7\tGET\td1.cloudfront.net\t/pay\t402\t-\tMozilla/5.0%20(X)"
    b"\tid=1\t-\tHit\tabc==\tshop.example\thttps\t23\t0.171\t203.0.113.9\n"
)


def _read(log_format: LogFormat, *lines: bytes) -> dict[str, object]:
    """Return the parsed fields of the last of *lines*."""
    block, finder, told = reference.find_columns(log_format, *lines)
    assert told.good.all()
    spans = dict(told.spans)
    if "request" in spans:
        spans["method"], spans["path"] = field_parsers.parse_requests(
            block, spans["request"], finder
        )
    spans["path"] = field_parsers.parse_paths(block, spans["path"], finder)
    spans["client"] = field_parsers.strip_ports(block, spans["client"], finder)
    words = "client method path referrer agent host forwarded".split()
    row: dict[str, object] = {
        name: reference.texts(block, spans[name])[-1] for name in words if name in spans
    }
    for name in ("status", "bytes"):
        if name in spans:
            row[name] = int(field_parsers.parse_integers(block, spans[name], default=-1)[-1])
    for name, numbers in (
        ("epoch", field_parsers.parse_epochs(block, spans, finder)),
        ("micros", field_parsers.parse_durations(block, spans, finder)),
    ):
        if numbers is not None:
            row[name] = int(numbers[-1])
    return row


_PAID = {"client": b"192.0.2.7", "method": b"GET", "path": b"/pay", "status": 402, "epoch": _EPOCH}
_SEEN = {"referrer": b"https://shop.example/", "agent": b'Mozilla/5.0 (\\"X\\")'}


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("common", _COMMON, {"bytes": 87}),
        ("combined", _COMMON + _AGENTS, {"bytes": 87, **_SEEN}),
        (
            "vhost",
            b"shop.example:443 " + _COMMON + _AGENTS,
            {"bytes": 87, **_SEEN, "host": b"shop.example"},
        ),
        ("combined_extra", _COMMON + _AGENTS + b' "203.0.113.9" 0.171', {"bytes": 87, **_SEEN}),
        (
            "alb",
            _ALB,
            {"client": b"2001:db8::7", "bytes": 87, "agent": b"Mozilla/5.0", "micros": 171_000},
        ),
    ],
)
def test_presets(name: str, line: bytes, expected: dict[str, object]) -> None:
    assert _read(PRESETS[name], line) == _PAID | expected
    assert format_detection.detect_format(line + b"\n" + line + b"\n", name="log").name == name


@pytest.mark.parametrize(
    ("log", "name", "expected"),
    [
        (_IIS, "w3c", {"agent": b"Mozilla/5.0+(X)", "referrer": b"-", "micros": 171_000}),
        (
            _CLOUDFRONT,
            "cloudfront",
            {
                "agent": b"Mozilla/5.0%20(X)",
                "referrer": b"-",
                "micros": 171_000,
                "bytes": 87,
                "host": b"d1.cloudfront.net",
                "forwarded": b"203.0.113.9",
            },
        ),
    ],
)
def test_logs_that_declare_their_fields(log: bytes, name: str, expected: dict[str, object]) -> None:
    declared = format_detection.detect_format(log, name="log")
    assert declared.name == name
    assert declared == formats.find_format(name, head=log)
    assert _read(declared, log.splitlines()[-1]) == _PAID | expected


def test_a_log_without_a_header_is_not_taken_for_w3c() -> None:
    with pytest.raises(InvalidLogFormat, match="must start with a #Fields: line"):
        formats.find_format("w3c", head=_COMMON)


def test_a_header_without_fields_declares_nothing() -> None:
    assert formats.parse_fields_line(b"#Fields:") is None
    assert formats.parse_fields_line(b"#Date: 2025-11-25") is None


_FORMATS = [
    ('%h %l %u %t "%r" %>s %b', _COMMON, {"bytes": 87}),
    ('%a %l %u %t \\"%r\\" %>s %O', _COMMON, {"bytes": 87}),
    (
        '%v:%p %h %l %u %t "%r" %>s %B %D',
        b"shop.example:443 " + _COMMON + b" 171000",
        {"bytes": 87, "host": b"shop.example", "micros": 171_000},
    ),
    (
        '%h %t "%m %U%q %H" %s %T',
        b'192.0.2.7 %b "GET /pay?id=1 HTTP/1.1" 402 2' % _TIME,
        {"micros": 2_000_000},
    ),
    (
        '%{ms}T %400,501{User-agent}i|%h %{sec}t "%r" %s',
        b'171 curl|192.0.2.7 1764064800 "GET /pay H" 402',
        {"micros": 171_000, "agent": b"curl"},
    ),
    (
        "100%% %h\\t%{%Y-%m-%dT%H:%M:%S%z}t\\t%m\\t%U\\t%>s\\t%{X-Forwarded-For}i\\t%{Host}i",
        b"100% 192.0.2.7\t2025-11-25T11:00:00+0100\tGET\t/pay\t402\t203.0.113.9, 10.0.0.1\tshop.example",
        {"forwarded": b"203.0.113.9, 10.0.0.1", "host": b"shop.example"},
    ),
    (
        (
            '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer"'
            ' "$http_user_agent"'
        ),
        _COMMON + _AGENTS,
        {"bytes": 87, **_SEEN},
    ),
    (
        "$msec|${remote_addr}|$request_method|$uri$is_args$args|$status|$request_time|$upstream_response_time",
        b"1764064800.123|192.0.2.7|GET|/pay?id=1|402|0.171|0.100, 0.071",
        {"micros": 171_000},
    ),
    (
        "$time_iso8601 $remote_addr $host $request_method $request_uri $status $bytes_sent",
        b"2025-11-25T11:00:00+01:00 192.0.2.7 shop.example GET /pay?id=1 402 87",
        {"bytes": 87, "host": b"shop.example"},
    ),
]


@pytest.mark.parametrize(("text", "line", "expected"), _FORMATS)
def test_formats_as_servers_take_them(text: str, line: bytes, expected: dict[str, object]) -> None:
    assert _read(formats.find_format(text), line) == _PAID | expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%l %t", "no client address"),
        ("plain %%", "no client address"),
        ("%h%l %t", "no text between field 1 and field 2"),
        ("$remote_addr $status$body_bytes_sent", "no text between field 2 and field 3"),
        ("%h" + "-" * 33 + "%s", "more than 32 bytes between two fields"),
        ("-" * 33 + "%h", "more than 32 bytes between two fields"),
        ("apache", "unknown format 'apache'"),
    ],
)
def test_formats_that_nobody_can_read(text: str, message: str) -> None:
    with pytest.raises(InvalidLogFormat, match=message):
        formats.find_format(text)


def test_the_same_field_twice_is_taken_once() -> None:
    rows = reference.rows(formats.parse_format("%h %a %s"), b"192.0.2.7 10.0.0.1 200")
    assert rows == [{"client": b"192.0.2.7", "status": b"200"}]


def test_most_lines_decide_and_empty_ones_do_not_count() -> None:
    good = _COMMON + _AGENTS
    head = b"\n\n%b\nx\n\n%b" % (good, good)
    assert format_detection.detect_format(head, name="log").name == "combined"
    assert format_detection.detect_format(b"", name="log").name == "combined"


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        (b"x\n" * 3 + _COMMON, "'x'"),
        (b"\x1b[2J\x00\xff" + b"a" * 500, "x1b"),
        (b'{"level": "info"}\n', "level"),
        (b"[1, 2]\n", "1, 2"),
    ],
)
def test_an_unknown_format_shows_the_first_line_and_the_option(head: bytes, shown: str) -> None:
    with pytest.raises(UnknownLogFormat) as told:
        format_detection.detect_format(head, name="log")
    message = told.value.message
    assert shown in message
    assert "--format" in message
    assert len(message) < 400
    assert message.isprintable()
