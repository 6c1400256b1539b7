"""Reading JSON strictly: what two parsers could read differently is refused, and so are card numbers."""

from __future__ import annotations

import json
import math
from typing import Any

from bursar import card_numbers, fields
from bursar.api import problem_details

DEPTH_MAX = 12


def parse(body: bytes) -> Any:
    """
    Read JSON (RFC 8259, narrowed as RFC 7493 advises).

    :raises problem_details.InvalidJson: for bad UTF-8, duplicate keys, NaN, infinities, numbers without end,
        lone surrogates, NUL, or nesting deeper than `DEPTH_MAX`;
    :raises fields.CardNumberDetected: for a text with what looks like a card number, naming it.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
        )
    except (ValueError, RecursionError) as error:
        told = str(error) if not isinstance(error, UnicodeDecodeError) else "it is not UTF-8"
        raise problem_details.InvalidJson(
            f"the body is not JSON that we take: {told[:200]}"
        ) from None
    _check(value, "", 1)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:40]!r} is there twice")
    return made


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _check(value: object, where: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise problem_details.InvalidJson(f"the body is nested deeper than {DEPTH_MAX}")
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
    Check a text from outside, wherever it is going.

    :raises problem_details.InvalidJson: for NUL and lone surrogates; :raises fields.CardNumberDetected: as it says.
    """
    if "\x00" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
        raise problem_details.InvalidJson("NUL and lone surrogates cannot be stored")
    if card_numbers.contains_card_number(text):
        # The place may hold the number itself, as a key.
        shown = where if not card_numbers.contains_card_number(where) else "a key"
        raise fields.CardNumberDetected(
            "this looks like a card number, which is never taken", param=shown
        )
