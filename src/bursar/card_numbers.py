"""
Card numbers: recognise them in free text, so that none is accepted, stored or logged.

The rules are those of numbers as issuers give them (ISO/IEC 7812): length, first digits, check
digit. A primary account number is the term of PCI DSS for what is recognised here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

_GAP = "[ \\t\u00a0\u2009\u202f\u2010-\u2015\u2212-]"
#: Thirteen digits or more, of any script, with at most two blanks or dashes between them.
_DIGIT_RUN = re.compile(rf"(?<!\d)\d(?:{_GAP}{{0,2}}\d){{12,}}")
_DIGIT_GROUP = re.compile(r"\d+")
#: Length by issuer prefix (ISO/IEC 7812): it spares dates, barcodes and most order numbers.
_ISSUED = re.compile(
    r"4[0-9]{12,18}|3[0-9]{13,18}|(?:2[2-7]|5[0-9]|6[0-9]|8[12])[0-9]{13,17}|9792[0-9]{12}"
)
DIGITS_MIN, DIGITS_MAX = 13, 19


def contains_card_number(text: str) -> bool:
    """
    Tell whether a payment card's number stands anywhere in *text*.

    That is 13 to 19 digits, also in groups parted by blanks or dashes, which begin as the card
    schemes' numbers do and whose last digit is right (ISO/IEC 7812-1 annex B, Luhn). A barcode of
    13 digits (GTIN-13, GS1 General Specifications 7.9) is none: nobody issues cards of that length
    any more. About one other number in ten of such a length and beginning is taken for one.
    """
    return any(_holds_card(run[0]) for run in _DIGIT_RUN.finditer(text))


def mask_card_numbers(text: str, mask: str) -> str:
    """Return *text* with each run of digits and separators that holds a card number as *mask*."""
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
