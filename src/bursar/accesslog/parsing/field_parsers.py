"""Parse times, numbers and requests of all lines of a block at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bursar.accesslog.parsing import byte_search
from bursar.accesslog.parsing.blocks import Block
from bursar.accesslog.parsing.byte_search import Ints, Mask, U, Words, repeat_byte
from bursar.accesslog.parsing.columns import Finder, Span

#: Result of `parse_epochs` for a text that is not a time.
NO_TIME = -1
#: Maximum duration of a request (more than eleven days).
MICROS_MAX = 10**12
_ZEROS, _SIXES, _HIGH_HALVES = repeat_byte(0x30), repeat_byte(0x06), repeat_byte(0xF0)
_BLANK, _QUESTION, _SLASH, _DOT, _COLON, _OPEN, _CLOSE = b" ?/.:[]"
_MONTHS = tuple(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_BETWEEN, _POINTS = np.frombuffer(b"T ", np.uint8), np.frombuffer(b".,", np.uint8)
_TWO_BYTES, _SEVEN_BYTES = U(0xFFFF), U(0x00FFFFFFFFFFFFFF)
_HTTP, _HTTPS = (U(int.from_bytes(text, "little")) for text in (b"http://", b"https://"))
#: The bit that makes a letter lower case, in the letters of `http` and of `https`.
_FOUR_CASES, _FIVE_CASES = U(0x20202020), U(0x2020202020)
#: Maximum length of a method; RFC 9110 has no limit, registered methods have up to 17 letters.
_METHOD_BYTES_MAX = 20


class RequestSpans(NamedTuple):
    """Spans of method and path; an invalid request has an empty method and is its own path."""

    method: Span
    path: Span


def parse_requests(block: Block, span: Span, finder: Finder) -> RequestSpans:
    """Split `GET /path?query HTTP/1.1` (RFC 9112 section 3) into method and path."""
    starts, ends = span
    gap = finder.find_first(starts, _BLANK)
    first = block.bytes[starts]
    is_one = (gap < ends) & (gap - starts <= _METHOD_BYTES_MAX) & (first >= 0x41) & (first <= 0x5A)
    path_starts = np.where(is_one, gap + 1, starts)
    path_ends = np.where(is_one, np.minimum(finder.find_first(path_starts, _BLANK), ends), ends)
    return RequestSpans((starts, np.where(is_one, gap, starts)), (path_starts, path_ends))


def parse_paths(block: Block, span: Span, finder: Finder) -> Span:
    """Remove the query, and scheme and host of the absolute form (`http://host/path`)."""
    starts, ends = span
    ends = np.maximum(np.minimum(ends, finder.find_first(starts, _QUESTION)), starts)
    absolute = np.flatnonzero((block.bytes[starts] != _SLASH) & (ends - starts > len("http://")))
    if len(absolute):
        words = byte_search.words_at(block.raw, starts[absolute], 1)[:, 0]
        # Only letters are lowered; in other bytes the same bit would turn 0x1a into a colon.
        is_http = (words | _FOUR_CASES) & _SEVEN_BYTES == _HTTP
        is_http |= words | _FIVE_CASES == _HTTPS
        absolute = absolute[is_http]
        root = finder.find_first(starts[absolute] + len("https://"), _SLASH)
        starts = starts.copy()
        starts[absolute] = np.minimum(root, ends[absolute])
    return starts, ends


def strip_ports(block: Block, span: Span, finder: Finder) -> Span:
    """Remove the port of addresses: `192.0.2.1:443`, `[2001:db8::1]:443`."""
    starts, ends = span
    colon = finder.find_first(starts, _COLON)
    alone = (colon < ends) & (finder.find_first(colon + 1, _COLON) >= ends)
    in_brackets = block.bytes[starts] == _OPEN
    ends = np.where(
        in_brackets,
        np.minimum(ends, finder.find_first(starts, _CLOSE)),
        np.where(alone, colon, ends),
    )
    return starts + in_brackets, np.maximum(ends, starts + in_brackets)


def parse_integers(block: Block, span: Span, *, default: int) -> Ints:
    """Return integers of up to 16 digits; *default* for any other text ("-", empty, longer)."""
    starts, ends = span
    length = ends - starts
    words = byte_search.words_at(block.raw, np.maximum(ends - 16, 0), 2)
    high = _zero_padded(words[:, 0], length - 8)
    low = _zero_padded(words[:, 1], length)
    bad = _not_digits(high) | _not_digits(low)
    number = _eight_digits(high) * U(10**8) + _eight_digits(low)
    valid = (bad == 0) & (length >= 1) & (length <= 16)
    return np.where(valid, number.astype(np.int64), default)


def _zero_padded(word: Words, count: Ints) -> Words:
    """Keep the last *count* bytes of each word, and replace the others by the digit zero."""
    drop = byte_search.first_bytes(8 - np.clip(count, 0, 8))
    return (word & ~drop) | (_ZEROS & drop)


def _not_digits(word: Words) -> Words:
    return ((word & _HIGH_HALVES) | (((word + _SIXES) & _HIGH_HALVES) >> U(4))) ^ repeat_byte(0x33)


def _eight_digits(word: Words) -> Words:
    """Parse eight digits, the first in the lowest byte (D. Lemire, "Quickly parsing eight digits")."""
    word = word - _ZEROS
    word = (word * U(10)) + (word >> U(8))
    pairs = U(0x000000FF000000FF)
    high = (word & pairs) * U(0x000F424000000064)
    return (high + ((word >> U(16)) & pairs) * U(0x0000271000000001)) >> U(32)


def parse_micros(block: Block, span: Span, unit: int, finder: Finder) -> Ints:
    """
    Return decimals in a *unit* (in microseconds) as microseconds.

    The result is 0 for other texts and above `MICROS_MAX`.
    """
    starts, ends = span
    dot = np.minimum(finder.find_first(starts, _DOT), ends)
    units = parse_integers(block, (starts, dot), default=0)
    digits = np.clip(ends - dot - 1, 0, 6)
    after = parse_integers(block, (dot + 1, dot + 1 + digits), default=0)
    total = np.minimum(units, MICROS_MAX // unit + 1) * unit + after * unit // 10**digits
    return np.where(total <= MICROS_MAX, total, 0)


_DURATIONS = {
    "micros": 1,
    "millis": 1_000,
    "seconds": 10**6,
    "seconds_2": 10**6,
    "seconds_3": 10**6,
}


def parse_durations(block: Block, spans: Mapping[str, Span], finder: Finder) -> Ints | None:
    """Return the duration of each request in microseconds, None if the log has no durations."""
    durations = [
        parse_micros(block, spans[name], unit, finder)
        for name, unit in _DURATIONS.items()
        if name in spans
    ]
    return sum(durations[1:], durations[0]) if durations else None


def parse_epochs(block: Block, spans: Mapping[str, Span], finder: Finder) -> Ints | None:
    """Return the time of each line in epoch seconds (`NO_TIME` if invalid), None if the log has no times."""
    if "time" in spans:
        return _common_times(block, spans["time"])
    if "time_iso" in spans:
        starts, ends = spans["time_iso"]
        between = block.bytes[starts + len("2026-11-25")]
        return _iso_times(
            block, starts, starts + len("2026-11-25T"), ends, bad=~np.isin(between, _BETWEEN)
        )
    if "date" in spans and "time_of_day" in spans:
        starts, ends = spans["date"]
        return _iso_times(
            block, starts, *spans["time_of_day"], bad=ends - starts != len("2026-11-25")
        )
    if "epoch" in spans:
        starts, ends = spans["epoch"]
        dot = np.minimum(finder.find_first(starts, _DOT), ends)
        return parse_integers(block, (starts, dot), default=NO_TIME)
    return None


Letters = NDArray[np.int32]


def _letters(block: Block, starts: Ints, words: int) -> Letters:
    return (
        byte_search.words_at(block.raw, starts, words)
        .view(np.uint8)
        .reshape(len(starts), -1)
        .astype(np.int32)
    )


def _number(letters: Letters, at: int, digits: int, bad: Mask) -> Ints:
    """Parse *digits* digits of each row; rows with another character are marked *bad*."""
    number = np.zeros(len(letters), np.int64)
    for column in range(at, at + digits):
        digit = letters[:, column] - ord("0")
        bad |= (digit < 0) | (digit > 9)
        number = number * 10 + digit
    return number


def _common_times(block: Block, span: Span) -> Ints:
    """Parse `10/Oct/2000:13:55:36 -0700`; consecutive equal times are parsed once."""
    starts, ends = span
    words = byte_search.words_at(block.raw, starts, 4)
    words[:, 3] &= _TWO_BYTES
    fresh = np.ones(len(words), np.bool_)
    fresh[1:] = (words[1:] != words[:-1]).any(1)
    epochs = _common_time(words[fresh].view(np.uint8).reshape(-1, 32).astype(np.int32))
    return np.where(
        ends - starts == len("10/Oct/2000:13:55:36 -0700"), epochs[np.cumsum(fresh) - 1], NO_TIME
    )


def _common_time(letters: Letters) -> Ints:
    bad = np.zeros(len(letters), np.bool_)
    for at, letter in ((2, "/"), (6, "/"), (11, ":"), (14, ":"), (17, ":"), (20, " ")):
        bad |= letters[:, at] != ord(letter)
    name = letters[:, 3] << 16 | letters[:, 4] << 8 | letters[:, 5]
    month = np.zeros(len(name), np.int64)
    for number, text in enumerate(_MONTHS, start=1):
        month[name == int.from_bytes(text, "big")] = number
    day, year = _number(letters, 0, 2, bad), _number(letters, 7, 4, bad)
    clock = [_number(letters, at, 2, bad) for at in (12, 15, 18)]
    zone = _zone(letters[:, 21:], minutes_at=3, bad=bad)
    return _epoch(year, month, day, clock, zone, bad)


def _zone(letters: Letters, *, minutes_at: int, bad: Mask) -> Ints:
    """Parse a sign, two digits of hours and, if *minutes_at* is not 0, two of minutes; return seconds."""
    sign = letters[:, 0]
    hours = _number(letters, 1, 2, bad)
    minutes = _number(letters, minutes_at, 2, bad) if minutes_at else np.zeros_like(hours)
    bad |= ((sign != ord("-")) & (sign != ord("+"))) | (hours > 23) | (minutes > 59)
    seconds = hours * 3600 + minutes * 60
    return np.where(sign == ord("-"), -seconds, seconds)


def _iso_times(block: Block, dates: Ints, clocks: Ints, ends: Ints, *, bad: Mask) -> Ints:
    """Parse ISO 8601 times: date, time (a fraction is dropped) and zone (default UTC)."""
    date, clock = (_letters(block, at, 2) for at in (dates, clocks))
    after = clocks + len("13:55:36")
    bad = bad | (after > ends)
    bad |= (date[:, 4] != ord("-")) | (date[:, 7] != ord("-"))
    bad |= (clock[:, 2] != ord(":")) | (clock[:, 5] != ord(":"))
    year, month, day = (_number(date, at, digits, bad) for at, digits in ((0, 4), (5, 2), (8, 2)))
    parts = [_number(clock, at, 2, bad) for at in (0, 3, 6)]
    zone, size = _iso_zones(_letters(block, np.maximum(ends - 8, 0), 1), ends - after)
    digits = parse_integers(block, (after + 1, ends - size), default=-1)
    bad |= (after + size != ends) & ((digits < 0) | ~np.isin(clock[:, 8], _POINTS))
    return _epoch(year, month, day, parts, zone, bad)


def _iso_zones(last: Letters, room: Ints) -> tuple[Ints, Ints]:
    """Parse `Z`, `+07:00`, `+0700` or `+07` in the last eight characters; return seconds and length."""
    zone, size = np.zeros_like(room), ((room > 0) & (last[:, 7] == ord("Z"))).astype(np.int64)
    for length, minutes_at in ((6, 4), (5, 3), (3, 0)):
        letters = last[:, 8 - length :]
        bad = room < length
        if length == 6:
            bad |= letters[:, 3] != ord(":")
        seconds = _zone(letters, minutes_at=minutes_at, bad=bad)
        zone, size = np.where(bad, zone, seconds), np.where(bad, size, length)
    return zone, size


def _epoch(year: Ints, month: Ints, day: Ints, clock: list[Ints], zone: Ints, bad: Mask) -> Ints:
    """Return epoch seconds (days by H. Hinnant, "chrono-compatible low-level date algorithms")."""
    hour, minute, second = clock
    leaps = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    bad = bad | (month < 1) | (month > 12) | (day < 1) | (year < 1970)
    bad |= day > _MONTH_DAYS[np.clip(month, 0, 12)] + leaps
    bad |= (hour > 23) | (minute > 59) | (second > 60)
    year = year - (month <= 2)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return np.where(bad, NO_TIME, days * 86_400 + hour * 3600 + minute * 60 + second - zone)
