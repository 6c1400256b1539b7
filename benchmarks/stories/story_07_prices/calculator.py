"""
A small price calculator, right or with one planted mistake, which `MUTANT` names.

The real one is `bursar.pricing.calculator`; this one fits on a page with its mistakes.
"""

from __future__ import annotations

import os
import re

MUTANTS = (
    "half up", "rounded down", "tax of one unit", "negative price", "quantity zero", "whole rates",
    "float", "one unit too few",
)  # fmt: skip
_PLANTED = os.environ.get("MUTANT", "")


def price(unit: str, quantity: int, rate: str) -> int:
    """
    Cents for *quantity* units at *unit* (major units, net) with *rate* percent tax, half to even.

    :raises ValueError: if the price is no plain amount from 0, or the quantity not from 1.
    """
    sign = "-?" if _PLANTED == "negative price" else ""
    if not re.fullmatch(sign + r"[0-9]+(\.[0-9]{1,2})?", unit) or not re.fullmatch(
        r"[0-9]{1,2}(\.[0-9]{1,2})?", rate
    ):
        raise ValueError("a price or a rate is not one")
    if quantity < (0 if _PLANTED == "quantity zero" else 1):
        raise ValueError("a quantity is a whole number from 1")
    whole, _, part = unit.partition(".")
    cents = int(whole + part.ljust(2, "0"))
    points = int(rate.partition(".")[0] + rate.partition(".")[2].ljust(2, "0"))
    if _PLANTED == "whole rates":
        points = points // 100 * 100
    if _PLANTED == "float":
        return round(float(unit) * 100 * quantity * (1 + float(rate) / 100))
    if _PLANTED == "one unit too few" and quantity > 10:
        quantity -= 1
    if _PLANTED == "tax of one unit":
        return cents * quantity + _divided(cents * points) * quantity
    return cents * quantity + _divided(cents * quantity * points)


def _divided(value: int) -> int:
    quotient, rest = divmod(value, 10_000)
    if _PLANTED == "rounded down":
        return quotient
    if _PLANTED == "half up":
        return quotient + (2 * rest >= 10_000)
    return quotient + (2 * rest > 10_000 or (2 * rest == 10_000 and quotient % 2))
