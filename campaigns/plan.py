"""Planned orders: order number *n* of a seed is the same in every process and every life."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

from bursar.orders.operations import NewOrder
from bursar.pricing.baskets import Line

PLACED_AT = datetime(2026, 1, 1, tzinfo=UTC)
#: Digits behind the point, and percent of tax, by currency.
CURRENCIES = {"EUR": (2, "19"), "JPY": (0, "10"), "KWD": (3, "0")}
#: Another provider's currencies, where it does not take these, and its names of the methods.
CURRENCIES_OF = {"stripe": {"EUR": (2, "19"), "JPY": (0, "10"), "USD": (2, "0")}}
METHODS_OF = {
    "stripe": {
        "tok_visa": "pm_card_visa",
        "tok_duplicate_response": "pm_card_mastercard",
        "tok_timeout_after_charge": "pm_card_visa__timeout_after",
        "tok_declined_soft": "pm_card_chargeDeclinedInsufficientFunds",
        "tok_declined_hard": "pm_card_chargeDeclinedLostCard",
        "tok_reset_mid_response": "pm_card_visa__reset",
        "tok_garbage_response": "pm_card_visa__garbage",
    }
}
#: What goes wrong for sure, by the order's number modulo 30; all others are approved.
METHODS = {
    4: "tok_timeout_after_charge",
    7: "tok_declined_soft",
    11: "tok_reset_mid_response",
    14: "tok_garbage_response",
    17: "tok_declined_hard",
    20: "tok_timeout_after_charge",
    24: "tok_duplicate_response",
    27: "tok_reset_mid_response",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One order of the plan; *total_minor* is computed here, apart from `pricing`."""

    number: int
    key: str
    currency: str
    lines: tuple[Line, ...]
    method: str
    total_minor: int
    refunds_minor: tuple[int, ...]

    @property
    def is_declined(self) -> bool:
        return "declined" in self.method

    def refund_key(self, part: int) -> str:
        return f"{self.key}/refund/{part}"

    def new_order(self, *, provider_account: str, provider: str = "sandbox") -> NewOrder:
        """The order as `operations.place_order` takes it."""
        return NewOrder(
            reference=f"campaign {self.number}",
            currency=self.currency,
            lines=self.lines,
            idempotency_key=self.key,
            placed_at=PLACED_AT,
            provider_account=provider_account,
            method=METHODS_OF.get(provider, {}).get(self.method, self.method),
        )


@functools.cache
def order(seed: int, number: int, provider: str = "sandbox") -> Planned:
    """Order *number* (from 0) of the plan that *seed* makes for a *provider*."""
    dice = random.Random(f"{seed}/{number}")
    currencies = CURRENCIES_OF.get(provider, CURRENCIES)
    currency = dice.choice(sorted(currencies))
    digits, rate = currencies[currency]
    lines, total = [], 0
    for position in range(dice.randint(1, 3)):
        quantity, price = dice.randint(1, 5), dice.randint(1, 9_999)
        text = str(Fraction(price, 10**digits)) if not digits else _decimal(price, digits)
        lines.append(
            Line(
                sku=f"s{position}",
                description="a thing",
                quantity=quantity,
                unit_price=text,
                tax_rate=rate,
            )
        )
        net = quantity * price
        total += net + round(Fraction(net * int(rate), 100))  # round() is half to even
    return Planned(
        number=number,
        key=f"campaign/{seed}/{number}",
        currency=currency,
        lines=tuple(lines),
        method=METHODS.get(number % 30, "tok_visa"),
        total_minor=total,
        refunds_minor=_refunds(number, total),
    )


def _decimal(price: int, digits: int) -> str:
    return f"{price // 10**digits}.{price % 10**digits:0{digits}d}"


def wants_refund(number: int) -> bool:
    """Whether some of order *number* goes back (a few too small for it excepted)."""
    return number % 4 == 1 or number % 12 == 3


def _refunds(number: int, total: int) -> tuple[int, ...]:
    """A third of every fourth order goes back, and all of some in two parts."""
    if total < 3:
        return ()
    if number % 4 == 1:
        return (total // 3,)
    return (total // 2, total - total // 2) if number % 12 == 3 else ()
