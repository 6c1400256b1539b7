"""Bursar's own price calculator, right or with one planted mistake, which `MUTANT` names."""

from __future__ import annotations

import os
from datetime import date

from bursar import errors
from bursar.pricing import calculator, rounding, rules
from bursar.pricing.baskets import Basket, Line

MUTANTS = (
    "half up",
    "rounded down",
    "tax of one unit",
    "negative price",
    "quantity zero",
    "whole rates",
    "float",
    "one unit too few",
)
_PLANTED = os.environ.get("MUTANT", "")
_RULES = rules.parse(
    '[rounding]\nhalf = "half_up"\n' if _PLANTED == "half up" else "", name="story"
)


def _down(numerator: int, denominator: int, half: object = None) -> int:
    return numerator // denominator


if _PLANTED == "rounded down":
    rounding.divide = _down


def price(unit: str, quantity: int, rate: str) -> int:
    """
    Cents for *quantity* units at *unit* (major units, net) with *rate* percent tax, half to even.

    :raises ValueError: if the price is no plain amount from 0, or the quantity not from 1.
    """
    sign = 1
    if _PLANTED == "negative price" and unit.startswith("-"):
        unit, sign = unit[1:], -1
    if _PLANTED == "quantity zero" and quantity == 0:
        return 0
    if _PLANTED == "whole rates":
        rate = rate.partition(".")[0]
    if _PLANTED == "one unit too few" and quantity > 10:
        quantity -= 1
    exact = _gross(unit, quantity, rate)
    if _PLANTED == "float":
        return round(float(unit) * 100 * quantity * (1 + float(rate) / 100))
    if _PLANTED == "tax of one unit":
        return _gross(unit, quantity, "0") + quantity * (
            _gross(unit, 1, rate) - _gross(unit, 1, "0")
        )
    return sign * exact


def _gross(unit: str, quantity: int, rate: str) -> int:
    line = Line(sku="a", unit_price=unit, quantity=quantity, tax_rate=rate)
    basket = Basket(currency="EUR", lines=(line,))
    try:
        quote = calculator.price(basket, day=date(2026, 1, 1), rules=_RULES)
    except errors.ValidationError as error:
        raise ValueError(error.message) from error
    return quote.total.amount_minor
