"""Rounding to whole numbers, and parsing of plain decimals and percentages."""

from __future__ import annotations

import functools
import re
from enum import StrEnum

from bursar import errors
from bursar.money import InvalidAmount

#: Scale of a percentage as an integer: 100 % is 1,000,000 and 0.0001 % is 1.
PERCENT_SCALE = 1_000_000
# [0-9], not \d, which also matches digits of other scripts.
_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,4}))?")
_DECIMAL = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,12}))?")


class HalfRounding(StrEnum):
    """How halves are rounded: to even (IEEE 754 roundTiesToEven), or away from zero."""

    EVEN = "half_even"
    UP = "half_up"


def divide(numerator: int, denominator: int, half: HalfRounding = HalfRounding.EVEN) -> int:
    """Return *numerator* / *denominator* (> 0) rounded to an integer, symmetric around zero."""
    quotient, rest = divmod(abs(numerator), denominator)
    over = 2 * rest - denominator
    if over > 0 or (over == 0 and (half is HalfRounding.UP or quotient % 2)):
        quotient += 1
    return quotient if numerator >= 0 else -quotient


@functools.lru_cache(maxsize=1024)
def parse_percent(text: str) -> int:
    """
    Parse a percentage from 0 to 100 with at most four decimals. Returns millionths of one.

    :raises errors.ValidationError: if it is invalid.
    """
    match = _PERCENT.fullmatch(text)
    parts = int(match[1] + (match[2] or "").ljust(4, "0")) if match else -1
    if not 0 <= parts <= PERCENT_SCALE:
        raise errors.ValidationError(f"{text[:40]!r} is not a percentage such as 19 or 5.5")
    return parts


@functools.lru_cache(maxsize=4096)
def parse_decimal(text: str) -> tuple[int, int]:
    """
    Parse a plain decimal from 0 with at most 12 decimals. Returns its digits and their decimals.

    :raises InvalidAmount: if it is invalid.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise InvalidAmount(
            f"{text[:40]!r} is not a plain decimal from 0 such as 12.30, with at most 12 decimals"
        )
    fraction = match[2] or ""
    return int(match[1] + fraction), len(fraction)
