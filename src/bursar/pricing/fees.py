"""Fees for a payment method, as they are or grossed up so that what is left is the asked amount."""

from __future__ import annotations

import msgspec

from bursar.money import Money
from bursar.pricing import rounding
from bursar.pricing.rounding import PERCENT_SCALE, HalfRounding


class Fee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What paying by *method* costs the buyer: *percent* of the total and *fixed* major units.

    Grossed up it is so much that, after the provider took *percent* of all and *fixed*, the total
    without the fee is left. It includes its own tax (*tax_rate*, or *tax_category* at the place).
    """

    method: str
    name: str
    percent: str = "0"
    fixed: str = ""
    currency: str = ""
    gross_up: bool = False
    tax_rate: str = ""
    tax_category: str = ""

    def is_for(self, method: str, currency: str) -> bool:
        """Whether it is due for a method and currency."""
        return self.method == method and self.currency in {"", currency}

    def on(self, total: Money) -> int:
        """The fee on a total, its own tax included, in minor units."""
        parts = rounding.parse_percent(self.percent)
        fixed = Money.parse(self.fixed, total.currency).amount_minor if self.fixed else 0
        amount_due = total.amount_minor
        if not self.gross_up:
            return rounding.divide(amount_due * parts, PERCENT_SCALE, HalfRounding.UP) + fixed

        def received(fee: int) -> int:
            paid = amount_due + fee
            return paid - rounding.divide(paid * parts, PERCENT_SCALE, HalfRounding.UP) - fixed

        # (asked + fixed) / (1 - share) - asked, rounded down; the least that suffices is near it.
        fee = (amount_due * parts + fixed * PERCENT_SCALE) // (PERCENT_SCALE - parts)
        while received(fee) < amount_due:
            fee += 1
        while fee and received(fee - 1) >= amount_due:
            fee -= 1
        return fee
