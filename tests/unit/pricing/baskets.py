"""Baskets and rules of a few words, and the longer run of the properties."""

from __future__ import annotations

import os
from datetime import date
from typing import Any

from bursar.pricing import calculator, rules
from bursar.pricing.baskets import Basket, Line
from bursar.pricing.quotes import Quote

DAY = date(2026, 11, 24)
#: The test command draws few examples of each property; PROPERTY_EXAMPLES=10000 is the long run.
EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "40"))


def line(price: str = "", rate: str = "", units: int = 1, sku: str = "a", **told: Any) -> Line:
    return Line(sku=sku, unit_price=price, tax_rate=rate, quantity=units, **told)


def basket(*lines: Line, currency: str = "EUR", **told: Any) -> Basket:
    return Basket(currency=currency, lines=lines, **told)


def quote(wanted: Basket, text: str = "", *, day: date = DAY, **redeemed: int) -> Quote:
    """The price of *wanted* by the rules in *text*."""
    return calculator.price(
        wanted, day=day, rules=rules.parse(text, name="rules.toml"), coupon_use_counts=redeemed
    )


def mode(name: str) -> str:
    return f'[rounding]\nmode = "{name}"\n'


def totals(quoted: Quote) -> tuple[str, str, str]:
    """Net, tax and gross in major units."""
    return tuple(f"{each.amount:f}" for each in (quoted.net, quoted.tax, quoted.total))  # type: ignore[return-value]
