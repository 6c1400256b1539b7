"""Fees for a payment method, plain or grossed up to cover the provider's fee."""

from __future__ import annotations

import msgspec

from bursar.money import Money
from bursar.pricing import rounding
from bursar.pricing.rounding import PERCENT_SCALE, HalfRounding


class Fee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Fee that the buyer pays for *method*: *percent* of the total plus *fixed* major units.

    With *gross_up* it is the least fee for which the total without it remains after the provider
    deducts *percent* of the total payment and *fixed*. The fee includes its own tax (*tax_rate*, or
    *tax_category* at the place of taxation).
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
        """Whether the fee applies to a method and currency."""
        return self.method == method and self.currency in {"", currency}

    def on(self, total: Money) -> int:
        """Return the fee on *total* in minor units, with its own tax."""
        parts = rounding.parse_percent(self.percent)
        fixed = Money.parse(self.fixed, total.currency).amount_minor if self.fixed else 0
        amount_due = total.amount_minor
        if not self.gross_up:
            return rounding.divide(amount_due * parts, PERCENT_SCALE, HalfRounding.UP) + fixed

        def received(fee: int) -> int:
            paid = amount_due + fee
            return paid - rounding.divide(paid * parts, PERCENT_SCALE, HalfRounding.UP) - fixed

        # (amount_due + fixed) / (1 - share) - amount_due, rounded down; the least fee is near it.
        fee = (amount_due * parts + fixed * PERCENT_SCALE) // (PERCENT_SCALE - parts)
        while received(fee) < amount_due:
            fee += 1
        while fee and received(fee - 1) >= amount_due:
            fee -= 1
        return fee
