"""Quotes: the immutable result of pricing, explained by line and by tax."""

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
    Where tax is rounded.

    `line`: on every line. `sum_by_net`: on the sum of net amounts of one tax (EN 16931, BR-CO-17);
    gross amounts of lines may change by a minor unit. `sum_by_net_keep_gross`: on the sum of gross
    amounts, which do not change; net amounts may.
    """

    LINE = "line"
    SUM_BY_NET = "sum_by_net"
    KEEP_GROSS = "sum_by_net_keep_gross"


class AppliedDiscount(msgspec.Struct, frozen=True):
    """A discount on a line, in minor units."""

    name: str
    amount_minor: int


class PricedLine(msgspec.Struct, frozen=True, kw_only=True):
    """
    A priced line with amounts in minor units: net + tax = gross.

    *list_minor* less *discounts* is gross if *includes_tax*, else net, except for changes by
    rounding on sums (see `TaxRounding`). *rounding_minor* is the tax less the tax of the line
    alone. *tax_minor* is the sum of *component_minors*, by the components of *tax*. *fee* marks the
    fee for the payment method.
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
        """Return net plus tax."""
        return self.net_minor + self.tax_minor

    @property
    def discount_minor(self) -> int:
        """Return the sum of all discounts."""
        return sum(each.amount_minor for each in self.discounts)


class TaxTotal(msgspec.Struct, frozen=True, kw_only=True):
    """Total of one tax code and rate (EN 16931, BG-23): *tax_minor* on *base_minor*."""

    tax: Tax
    base_minor: int
    tax_minor: int
    component_minors: tuple[int, ...]
    rounding_minor: int


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """
    A priced basket; totals are the sums of the lines.

    *rounding_minor* is the total tax less the sum of the taxes of each line alone. *coupons* pairs
    each coupon with its limit of orders, None if unlimited. *rules* is the digest of the pricing
    rules.
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
        """Return JSON values, with amounts in minor units."""

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
                        {"name": applied.name, "amount": money(applied.amount_minor)}
                        for applied in each.discounts
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
    """Return the components of a tax as JSON values; empty if there is only one."""
    if len(tax.components) == 1:
        return []
    return [
        {"name": name, "rate": rate, "tax": {"amount": minor, "currency": currency}}
        for (name, rate), minor in zip(tax.components, minors, strict=True)
    ]
