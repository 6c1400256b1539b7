"""
Detect card numbers (PCI DSS: primary account numbers) in free text.

Used so that none is accepted, stored or logged. A card number is recognized by length, issuer
prefix and check digit (ISO/IEC 7812).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

_GAP = "[ \\t\u00a0\u2009\u202f\u2010-\u2015\u2212-]"
#: Thirteen digits or more, of any script, with at most two spaces or dashes between them.
_DIGIT_RUN = re.compile(rf"(?<!\d)\d(?:{_GAP}{{0,2}}\d){{12,}}")
_DIGIT_GROUP = re.compile(r"\d+")
#: Length by issuer prefix (ISO/IEC 7812); excludes dates, barcodes and most order numbers.
_ISSUED = re.compile(
    r"4[0-9]{12,18}|3[0-9]{13,18}|(?:2[2-7]|5[0-9]|6[0-9]|8[12])[0-9]{13,17}|9792[0-9]{12}"
)
DIGITS_MIN, DIGITS_MAX = 13, 19


def contains_card_number(text: str) -> bool:
    """
    Return whether *text* contains a payment card number.

    That is 13 to 19 digits, also in groups separated by spaces or dashes, with an issuer prefix of
    a card scheme and a valid check digit (ISO/IEC 7812-1 annex B, Luhn). A valid 13-digit barcode
    (GTIN-13, GS1 General Specifications 7.9) is not one: cards of that length are no longer issued.
    About one in ten other numbers of such length and prefix is a false positive.
    """
    return any(_holds_card(run[0]) for run in _DIGIT_RUN.finditer(text))


def mask_card_numbers(text: str, mask: str) -> str:
    """Replace each run of digits and separators that contains a card number by *mask*."""
    if len(text) < DIGITS_MIN or _DIGIT_RUN.search(text) is None:
        return text
    return _DIGIT_RUN.sub(lambda run: mask if _holds_card(run[0]) else run[0], text)


def _holds_card(run: str) -> bool:
    groups = ["".join(str(int(digit)) for digit in group) for group in _DIGIT_GROUP.findall(run)]
    return any(
        _ISSUED.fullmatch(digits) is not None and _luhn(digits) and not _is_barcode(digits)
        for start in range(len(groups))
        for digits in _joined(groups, start)
    )


def _joined(groups: list[str], start: int) -> Iterator[str]:
    digits = ""
    for group in islice(groups, start, None):
        digits += group
        if len(digits) > DIGITS_MAX:
            return
        if len(digits) >= DIGITS_MIN:
            yield digits


def _luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def _is_barcode(digits: str) -> bool:
    weighed = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return len(digits) == 13 and weighed % 10 == 0
