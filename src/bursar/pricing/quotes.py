"""What comes out: a price that is explained, line by line and tax by tax. Nothing in it changes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from bursar.money import Money
from bursar.pricing.baskets import Line
from bursar.pricing.rounding import HalfRounding
from bursar.pricing.taxes import Tax


class TaxRounding(StrEnum):
    """
    Where the tax is rounded.

    `line`: on every line. `sum_by_net`: on the sum of the net amounts of one tax, as EN 16931
    (BR-CO-17) has it; gross prices of lines may move by a minor unit. `sum_by_net_keep_gross`:
    on the sum of the gross amounts, which stay as they were asked; net amounts move.
    """

    LINE = "line"
    SUM_BY_NET = "sum_by_net"
    KEEP_GROSS = "sum_by_net_keep_gross"


class AppliedDiscount(msgspec.Struct, frozen=True):
    """What a discount took off a line, in minor units."""

    name: str
    amount_minor: int


class PricedLine(msgspec.Struct, frozen=True, kw_only=True):
    """
    A line with its amounts in minor units: net + tax = gross.

    *list_minor* less *discounts* is net where *includes_tax* is false, else gross, but for what
    rounding by sums moved (see `Mode`); *rounding_minor*
    is how much more tax it bears than it would alone; *tax_minor* is the sum of *part_minors*, by
    the parts of *tax*. A *fee* is one for the payment method.
    """

    line: Line
    unit_price: str
    includes_tax: bool
    list_minor: int
    discounts: tuple[AppliedDiscount, ...]
    tax: Tax
    net_minor: int
    tax_minor: int
    component_minors: tuple[int, ...]
    rounding_minor: int
    fee: bool = False

    @property
    def gross_minor(self) -> int:
        """Net and tax together."""
        return self.net_minor + self.tax_minor

    @property
    def discount_minor(self) -> int:
        """All that was taken off."""
        return sum(each.amount_minor for each in self.discounts)


class TaxTotal(msgspec.Struct, frozen=True, kw_only=True):
    """The tax of one code and rate (EN 16931, BG-23): on *base_minor* it is *tax_minor*."""

    tax: Tax
    base_minor: int
    tax_minor: int
    component_minors: tuple[int, ...]
    rounding_minor: int


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """
    A priced basket: the totals are the sums of the lines.

    *rounding_minor* is how much more tax there is than the lines would bear one by one. *coupons*
    pairs those that took something off with the most orders they are good for, None for any
    number. *rules* names the rules that were applied.
    """

    currency: str
    lines: tuple[PricedLine, ...]
    taxes: tuple[TaxTotal, ...]
    net: Money
    tax: Money
    total: Money
    discount_minor: int
    rounding_minor: int
    mode: TaxRounding
    half: HalfRounding
    coupons: tuple[tuple[str, int | None], ...]
    rules: str

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON values; money in minor units."""

        def money(minor: int) -> dict[str, Any]:
            return {"amount": minor, "currency": self.currency}

        return {
            "object": "quote",
            "currency": self.currency,
            "total": money(self.total.amount_minor),
            "net": money(self.net.amount_minor),
            "tax": money(self.tax.amount_minor),
            "discount": money(self.discount_minor),
            "rounding": money(self.rounding_minor),
            "rounding_mode": self.mode.value,
            "half_rounding": self.half.value,
            "rules": self.rules,
            "coupons": [name for name, _ in self.coupons],
            "taxes": [
                {
                    "code": each.tax.code.value,
                    "rate": each.tax.rate,
                    "reason": each.tax.reason,
                    "base": money(each.base_minor),
                    "tax": money(each.tax_minor),
                    "components": tax_components_json(
                        each.tax, each.component_minors, self.currency
                    ),
                }
                for each in self.taxes
            ],
            "lines": [
                {
                    "position": position,
                    "kind": "fee" if each.fee else "item",
                    "sku": each.line.sku,
                    "description": each.line.description,
                    "quantity": each.line.quantity,
                    "unit_price": each.unit_price,
                    "price_includes_tax": each.includes_tax,
                    "list_price": money(each.list_minor),
                    "discounts": [
                        {"name": taken.name, "amount": money(taken.amount_minor)}
                        for taken in each.discounts
                    ],
                    "tax_code": each.tax.code.value,
                    "tax_rate": each.tax.rate,
                    "net": money(each.net_minor),
                    "tax": money(each.tax_minor),
                    "gross": money(each.gross_minor),
                }
                for position, each in enumerate(self.lines, 1)
            ],
        }


def tax_components_json(tax: Tax, minors: Sequence[int], currency: str) -> list[dict[str, Any]]:
    """The named parts of a tax; none where it has but one."""
    if len(tax.components) == 1:
        return []
    return [
        {"name": name, "rate": rate, "tax": {"amount": minor, "currency": currency}}
        for (name, rate), minor in zip(tax.components, minors, strict=True)
    ]
