"""Fields of all lines of a block, compared with the reference parser."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.accesslog.parsing import columns, field_parsers, formats
from bursar.accesslog.parsing.columns import Finder
from bursar.accesslog.parsing.formats import PRESETS
from tests.unit.accesslog import reference

_LINE = (
    b'192.0.2.7 - frank [10/Oct/2000:13:55:36 -0700] "GET /pay?id=1 HTTP/1.1" 200 2326'
    b' "https://shop.example/" "Mozilla/5.0 (X11)"'
)

_pieces = st.one_of(
    st.sampled_from(
        [
            b" ",
            b'"',
            b"\\",
            b'\\"',
            b"[",
            b"]",
            b'] "',
            b'" "',
            b"-",
            b"\x00",
            b"\xff\xfe",
            b"\r",
            b"?",
            b"GET / HTTP/1.1",
            b"\x1b[31m",
            b"/",
            b"http://a/",
            b"\\\\",
            b"a" * 50,
        ]
    ),
    st.binary(max_size=12),
)
_field = st.lists(_pieces, max_size=5).map(lambda parts: b"".join(parts).replace(b"\n", b"."))
_plain = st.sampled_from([b"", b"-", b"192.0.2.7", b"2001:db8::1", b"a" * 90, b"frank", b"200"])
_any = st.one_of(_plain, _field)


def _assembled(fields: tuple[bytes, ...]) -> bytes:
    client, user, time, request, status, size, referrer, agent, tail = fields
    return b'%b - %b [%b] "%b" %b %b "%b" "%b"%b' % (
        client,
        user,
        time,
        request,
        status,
        size,
        referrer,
        agent,
        tail,
    )


_assembled_lines = st.tuples(
    _any, _any, _any, _any, _any, _any, _any, _any, st.sampled_from([b"", b"\r", b" x"])
).map(_assembled)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A valid line with one part replaced."""
    begin = draw(st.integers(0, len(_LINE)))
    end = draw(st.integers(begin, min(begin + 12, len(_LINE))))
    return _LINE[:begin] + draw(_field) + _LINE[end:]


_lines = st.one_of(_assembled_lines, _damaged(), _field, st.just(_LINE))


def _expected(line: bytes) -> dict[str, bytes] | None:
    told = reference.COMBINED.fullmatch(line)
    return dict(zip(reference.COMBINED_FIELDS, told.groups(), strict=True)) if told else None


def _without_return(line: bytes) -> bytes:
    return line[:-1] if line.endswith(b"\r") else line


@given(lines=st.lists(_lines, min_size=1, max_size=40))
def test_combined_lines_of_any_bytes_are_read_as_plainly(lines: list[bytes]) -> None:
    assert reference.rows(PRESETS["combined"], *lines) == [
        _expected(_without_return(line)) for line in lines
    ]


@given(lines=st.lists(_lines, min_size=1, max_size=40))
def test_a_line_has_a_client_if_it_is_whole_up_to_the_blank_behind_it(lines: list[bytes]) -> None:
    block, _, told = reference.find_columns(PRESETS["combined"], *lines)
    clients = reference.texts(block, told.spans["client"])
    expected = [
        line.partition(b" ")[0] if b" " in line else None for line in map(_without_return, lines)
    ]
    has = told.has_client.tolist()
    actual = [client if one else None for client, one in zip(clients, has, strict=True)]
    assert actual == expected


@given(
    lines=st.lists(_lines, min_size=1, max_size=40),
    block_bytes=st.integers(1, 400),
    tail=st.sampled_from([b"", b"\n"]),
)
def test_where_a_block_ends_changes_nothing(
    lines: list[bytes], block_bytes: int, tail: bytes
) -> None:
    data = b"\n".join(lines) + tail
    actual: list[bytes | None] = []
    for block in reference.blocks_of(data, block_bytes=block_bytes):
        told = columns.find_columns(block, PRESETS["combined"], Finder(block))
        agents = reference.texts(block, told.spans["agent"])
        actual += [
            agent if good else None for agent, good in zip(agents, told.good.tolist(), strict=True)
        ]
    whole = data.split(b"\n")
    whole = whole if whole[-1] else whole[:-1]
    expected = [_expected(_without_return(line)) for line in whole]
    assert actual == [row and row["agent"] for row in expected]


@given(lines=st.lists(_lines, min_size=1, max_size=20))
def test_requests_are_taken_apart_as_plainly(lines: list[bytes]) -> None:
    block, finder, told = reference.find_columns(PRESETS["combined"], *lines)
    request = field_parsers.parse_requests(block, told.spans["request"], finder)
    methods = reference.texts(block, request.method)
    paths = reference.texts(block, field_parsers.parse_paths(block, request.path, finder))
    requests = reference.texts(block, told.spans["request"])
    for number in np.flatnonzero(told.good).tolist():
        assert (methods[number], paths[number]) == reference.request(requests[number])


@pytest.mark.parametrize("count", range(6))
def test_a_quote_is_escaped_behind_an_odd_number_of_backslashes(count: int) -> None:
    line = _LINE.replace(b"(X11)", b"\\" * count + b'" x')
    is_whole = count % 2 == 1
    assert (reference.rows(PRESETS["combined"], line)[0] is not None) == is_whole
    ending = _LINE.replace(b"(X11)", b"\\" * count)
    assert (reference.rows(PRESETS["combined"], ending)[0] is not None) == (not is_whole)


def test_a_block_full_of_escaped_quotes() -> None:
    agent = b'\\"' * 30_000
    line = _LINE.replace(b"Mozilla/5.0 (X11)", agent)
    row = reference.rows(PRESETS["combined"], _LINE, line, _LINE)[1]
    assert row is not None
    assert row["agent"] == agent


@pytest.mark.parametrize("bytes_long", [1, 15, 16, 17, 63, 64, 65, 66, 127, 129, 1000, 60_000])
def test_fields_of_any_length_are_found(bytes_long: int) -> None:
    text = b"a" * bytes_long
    line = b'%b - %b [%b] "GET /%b HTTP/1.1" %b %b "-" "%b"' % ((text[:9_000],) * 7)
    row = reference.rows(PRESETS["combined"], _LINE, line, line)[2]
    expected = text[:9_000]
    assert row is not None
    assert {row[name] for name in ("client", "time", "status", "bytes", "agent")} == {expected}
    assert row["request"] == b"GET /%b HTTP/1.1" % expected


def test_what_follows_the_last_number_of_a_common_line_makes_it_no_common_line() -> None:
    line = _LINE[: _LINE.index(b' "https')]
    common = PRESETS["common"]
    assert [row and row["bytes"] for row in reference.rows(common, line, line + b" 1", _LINE)] == [
        b"2326",
        None,
        None,
    ]


def test_more_columns_than_declared_make_no_line_of_a_w3c_log() -> None:
    declared = formats.parse_fields_line(b"#Fields: date time c-ip sc-status time-taken x-other")
    assert declared is not None
    whole = b"2026-11-25 09:00:00 192.0.2.7 200 12 y"
    assert [row is not None for row in reference.rows(declared, whole, whole + b" more")] == [
        True,
        False,
    ]


def test_the_real_log_is_read_as_plainly() -> None:
    folder = os.environ.get("BURSAR_REAL_DATA")
    if not folder:
        pytest.skip("BURSAR_REAL_DATA is not set: the real access log is not read")
    data = gzip.decompress((Path(folder) / "logs" / "apache_combined.log.gz").read_bytes())
    lines = data.splitlines()
    block, finder, told = reference.find_columns(PRESETS["combined"], *lines)
    assert reference.rows(PRESETS["combined"], *lines) == [_expected(line) for line in lines]
    rows = [row for line in lines if (row := _expected(line)) is not None]
    good = told.good
    epochs = field_parsers.parse_epochs(block, told.spans, finder)
    sizes = field_parsers.parse_integers(block, told.spans["bytes"], default=0)
    statuses = field_parsers.parse_integers(block, told.spans["status"], default=-1)
    assert epochs is not None
    assert epochs[good].tolist() == [reference.common_time(row["time"]) for row in rows]
    assert sizes[good].tolist() == [reference.integer(row["bytes"], otherwise=0) for row in rows]
    assert statuses[good].tolist() == [int(row["status"]) for row in rows]
    assert int(good.sum()) == len(rows) > 9_900
