"""Vectorized times, numbers and addresses, compared with the reference parsers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bursar.accesslog.parsing import field_parsers
from bursar.accesslog.parsing.blocks import Block
from bursar.accesslog.parsing.columns import Finder, Span
from tests.unit.accesslog import reference

_OCTOBER = b"10/Oct/2000:13:55:36 -0700"
_digits = st.integers(0, 99).map(b"%02d".__mod__)
_zones = st.sampled_from(
    [b"+0000", b"-0700", b"+0530", b"+1400", b"-9959", b"+0060", b"0000", b"Z"]
)
_months = st.sampled_from([b"Jan", b"Feb", b"Jun", b"Sep", b"Dec", b"jan", b"Fex", b"\xff\x00a"])
_common_times = st.tuples(
    _digits,
    _months,
    st.integers(1968, 2400).map(b"%04d".__mod__),
    _digits,
    _digits,
    _digits,
    _zones,
).map(lambda parts: b"%b/%b/%b:%b:%b:%b %b" % parts)
_iso_times = st.tuples(
    st.integers(1968, 2400).map(b"%04d".__mod__),
    _digits,
    _digits,
    st.sampled_from([b"T", b" ", b"x"]),
    _digits,
    _digits,
    _digits,
    st.sampled_from([b"", b".1", b".123456", b",5", b".", b".x"]),
    st.sampled_from(
        [b"", b"Z", b"+00:00", b"-07:00", b"+0530", b"+05", b"+5", b"z", b"+05:3", b"-99:00"]
    ),
).map(lambda parts: b"%b-%b-%b%b%b:%b:%b%b%b" % parts)


def _usual(month: int, day: int, second: int) -> bytes:
    return b"2026-%02d-%02dT23:59:%02d+00:00" % (month, day, second)


_usual_iso = st.builds(_usual, st.integers(0, 13), st.integers(0, 32), st.integers(0, 61))
_damaged_texts = st.tuples(
    st.sampled_from([_OCTOBER, b"2026-11-25T13:55:36.123+01:00", b"1700000000.123"]),
    st.integers(0, 28),
    st.binary(max_size=3).map(lambda one: one.replace(b"\n", b"")),
).map(lambda told: told[0][: told[1]] + told[2] + told[0][told[1] + 1 :])


def _held(texts: Sequence[bytes]) -> tuple[Block, Span, Finder]:
    """Lay *texts* in a block, each in brackets, as fields stand between literals."""
    block = reference.block_of(*(b"[%b]" % text for text in texts))
    return block, (block.starts + 1, block.ends - 1), Finder(block)


def _epochs(field: str, texts: Sequence[bytes]) -> list[int]:
    block, span, finder = _held(texts)
    told = field_parsers.parse_epochs(block, {field: span}, finder)
    assert told is not None
    return [max(one, field_parsers.NO_TIME) for one in told.tolist()]


@given(texts=st.lists(st.one_of(_common_times, _damaged_texts), min_size=1, max_size=30))
@example(texts=[_OCTOBER] * 9 + [b"29/Feb/2000:00:00:00 +0000", b"29/Feb/2100:00:00:00 +0000"])
@example(texts=[b"", _OCTOBER, b"31/Nov/2026:00:00:00 +0000"])
def test_common_times(texts: list[bytes]) -> None:
    assert _epochs("time", texts) == [reference.common_time(text) for text in texts]


@given(texts=st.lists(st.one_of(_iso_times, _usual_iso, _damaged_texts), min_size=1, max_size=30))
@example(texts=[b"", b"2026-11-25", b"2026-11-25T13:55:3", b"2026-02-29T00:00:00Z"])
@example(texts=[b"2026-11-25T13:55:36" + b".1" * 40 + b"Z", b"2026-11-25T13:55:36." + b"1" * 40])
def test_iso_times(texts: list[bytes]) -> None:
    assert _epochs("time_iso", texts) == [reference.iso_time(text) for text in texts]


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("time", b"10/Oct/2000:13:55:36 -0700", 971_211_336),
        ("time", b"01/Jan/1970:00:00:00 +0000", 0),
        ("time", b"01/Jan/1970:00:00:00 +0100", -1),
        ("time", b"-", -1),
        ("time_iso", b"2000-10-10T13:55:36-07:00", 971_211_336),
        ("time_iso", b"2000-10-10T13:55:36-0700", 971_211_336),
        ("time_iso", b"2000-10-10T13:55:36-07", 971_211_336),
        ("time_iso", b"2000-10-10T20:55:36.186641Z", 971_211_336),
        ("time_iso", b"2000-10-10T20:55:36", 971_211_336),
        ("epoch", b"971211336.123", 971_211_336),
        ("epoch", b"971211336", 971_211_336),
        ("epoch", b"now", -1),
    ],
)
def test_times_by_example(field: str, text: bytes, expected: int) -> None:
    assert _epochs(field, [text, b"", text]) == [expected, -1, expected]


def test_date_and_time_of_day() -> None:
    rows = [
        (b"2000-10-10", b"20:55:36"),
        (b"2000-10-10", b"-"),
        (b"-", b"20:55:36"),
        (b"2000-10-100", b"20:55:36"),
        (b"2000-10-10", b"20:55:36.25"),
    ]
    block = reference.block_of(*(b"%b\t%b\tx" % row for row in rows))
    finder = Finder(block)
    gap = finder.find_first(block.starts, ord("\t"))
    spans = {
        "date": (block.starts, gap),
        "time_of_day": (gap + 1, finder.find_first(gap + 1, ord("\t"))),
    }
    told = field_parsers.parse_epochs(block, spans, finder)
    assert told is not None
    assert told.tolist() == [971_211_336, -1, -1, -1, 971_211_336]


def test_a_log_without_times_has_none() -> None:
    block, _, finder = _held([b"x"])
    assert field_parsers.parse_epochs(block, {}, finder) is None
    assert field_parsers.parse_durations(block, {}, finder) is None


_numbers = st.one_of(
    st.integers(0, 10**18).map(b"%d".__mod__),
    st.text("0123456789", max_size=18).map(str.encode),
    st.binary(max_size=18).map(lambda text: text.replace(b"\n", b"")),
    st.sampled_from([b"-", b"", b"200", b"-1", b"+1", b"1 2", b"\xfa1", b"/0", b":9", b"0x1"]),
)


@given(texts=st.lists(_numbers, min_size=1, max_size=30))
def test_whole_numbers(texts: list[bytes]) -> None:
    block, span, _ = _held(texts)
    told = field_parsers.parse_integers(block, span, default=-1)
    assert told.tolist() == [reference.integer(text, otherwise=-1) for text in texts]


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("micros", b"1500", 1_500),
        ("millis", b"15", 15_000),
        ("seconds", b"2", 2_000_000),
        ("seconds", b"0.015", 15_000),
        ("seconds", b"12.000001", 12_000_001),
        ("seconds", b"0.0000019", 1),
        ("seconds", b"-1", 0),
        ("seconds", b"-", 0),
        ("seconds", b"", 0),
        ("seconds", b"9999999999999999", 0),
        ("micros", b"9999999999999999", 0),
    ],
)
def test_durations(field: str, text: bytes, expected: int) -> None:
    block, span, finder = _held([text, b"1", text])
    told = field_parsers.parse_durations(block, {field: span}, finder)
    assert told is not None
    assert told[[0, 2]].tolist() == [expected, expected]


@given(micros=st.lists(st.integers(0, 10**12), min_size=1))
def test_seconds_with_six_decimals_are_exact(micros: list[int]) -> None:
    block, span, finder = _held([b"%d.%06d" % divmod(one, 10**6) for one in micros])
    assert field_parsers.parse_micros(block, span, 10**6, finder).tolist() == micros


def test_the_parts_of_a_duration_are_summed_and_one_that_is_none_adds_nothing() -> None:
    block, span, finder = _held([b"0.001", b"-1", b"0.5"])
    spans = dict.fromkeys(("seconds", "seconds_2", "seconds_3"), span)
    told = field_parsers.parse_durations(block, spans, finder)
    assert told is not None
    assert told.tolist() == [3_000, 0, 1_500_000]


def test_ports_and_brackets_are_cut_off() -> None:
    texts = [
        b"192.0.2.7:443",
        b"192.0.2.7",
        b"[2001:db8::1]:443",
        b"[2001:db8::1]",
        b"2001:db8::1",
        b"::1",
        b"",
        b"-",
        b":",
        b"[",
        b"[]",
        b"192.0.2.7:",
    ]
    block, span, finder = _held(texts)
    assert reference.texts(block, field_parsers.strip_ports(block, span, finder)) == [
        b"192.0.2.7",
        b"192.0.2.7",
        b"2001:db8::1",
        b"2001:db8::1",
        b"2001:db8::1",
        b"::1",
        b"",
        b"-",
        b"",
        b"",
        b"",
        b"192.0.2.7",
    ]


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        (b"GET /pay?card=1 HTTP/1.1", (b"GET", b"/pay")),
        (b"GET /pay HTTP/1.1", (b"GET", b"/pay")),
        (b"GET /pay", (b"GET", b"/pay")),
        (b"GET / with blanks HTTP/1.1", (b"GET", b"/")),
        (b"GET http://shop.example/pay?x HTTP/1.1", (b"GET", b"/pay")),
        (b"GET http:\x0f\x0fa/b HTTP/1.1", (b"GET", b"http:\x0f\x0fa/b")),
        (b"GET http\x1a//a/b HTTP/1.1", (b"GET", b"http\x1a//a/b")),
        (b"https\x1a\x0f\x0fa/b", (b"", b"https\x1a\x0f\x0fa/b")),
        (b"GET HTTPS://shop.example/pay HTTP/1.1", (b"GET", b"/pay")),
        (b"OPTIONS * HTTP/1.1", (b"OPTIONS", b"*")),
        (b"\\x16\\x03\\x01", (b"", b"\\x16\\x03\\x01")),
        (b"-", (b"", b"-")),
        (b"", (b"", b"")),
        (b"A" * 21 + b" /", (b"", b"A" * 21 + b" /")),
        (b"UPDATEREDIRECTREF /pay HTTP/1.1", (b"UPDATEREDIRECTREF", b"/pay")),
    ],
)
def test_requests_by_example(request_line: bytes, expected: tuple[bytes, bytes]) -> None:
    block, span, finder = _held([request_line] * 3)
    told = field_parsers.parse_requests(block, span, finder)
    paths = reference.texts(block, field_parsers.parse_paths(block, told.path, finder))
    assert list(zip(reference.texts(block, told.method), paths, strict=True)) == [expected] * 3
    assert reference.request(request_line) == expected


def test_what_is_far_away_is_found_in_few_lines_and_in_many() -> None:
    near, far = b"GET / x", b"GET /%b x" % (b"a" * 5_000)
    for texts in ([near] * 40 + [far], [far] * 40):
        block, span, finder = _held(texts)
        told = field_parsers.parse_requests(block, span, finder)
        assert reference.texts(block, told.path) == [text.split()[1] for text in texts]


def test_a_byte_that_is_nowhere_is_beyond_every_line() -> None:
    _, (starts, ends), finder = _held([b"a" * 5_000] * 3 + [b"a"] * 300)
    nowhere = finder.find_first(starts, ord("\t"))
    assert np.all(nowhere > ends.max())
    for byte in b'a"?:':
        assert np.all(finder.find_first(nowhere + 1, byte) > ends.max())
