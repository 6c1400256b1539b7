"""Strict JSON: reject what two parsers could read differently, and card numbers."""

from __future__ import annotations

import json
import math
from typing import Any

from bursar import card_numbers, fields
from bursar.api import problem_details

DEPTH_MAX = 12


def parse(body: bytes) -> Any:
    """
    Parse JSON (RFC 8259 with the restrictions of RFC 7493).

    :raises problem_details.InvalidJson: for invalid UTF-8, duplicate keys, NaN, infinities, too long
        numbers, lone surrogates, NUL, or nesting deeper than `DEPTH_MAX`;
    :raises fields.CardNumberRefused: for text that looks like a card number; names its place.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
        )
    except (ValueError, RecursionError) as error:
        reason = str(error) if not isinstance(error, UnicodeDecodeError) else "it is not UTF-8"
        raise problem_details.InvalidJson(f"Invalid JSON: {reason[:200]}") from None
    _check(value, "", 1)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"duplicate key {duplicate[:40]!r}")
    return members


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _check(value: object, where: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise problem_details.InvalidJson(f"Invalid JSON: nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, str):
        check_text(value, where)
    elif isinstance(value, dict):
        for name, inner in value.items():
            check_text(name, where)
            _check(inner, f"{where}.{name}" if where else name, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check(inner, f"{where}[{number}]", depth + 1)


def check_text(text: str, where: str) -> None:
    """
    Check one text of a request; *where* is its path in the body.

    :raises problem_details.InvalidJson: for NUL and lone surrogates;
    :raises fields.CardNumberRefused: for what looks like a card number.
    """
    if "\x00" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
        raise problem_details.InvalidJson("Invalid JSON: NUL and lone surrogates are not accepted")
    if card_numbers.contains_card_number(text):
        # The path itself may contain the number, as a key.
        param = where if not card_numbers.contains_card_number(where) else "a key"
        raise fields.CardNumberRefused(
            "looks like a card number; send the provider's token instead", param=param
        )
