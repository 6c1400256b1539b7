"""Quotes by the merchant's pricing rules, and the explanation that is stored with an order."""

from __future__ import annotations

import functools
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bursar import fields, settings, sql
from bursar.money import MINOR_MAX
from bursar.pricing import calculator, discounts, rules
from bursar.pricing.baskets import Basket
from bursar.pricing.quotes import PricedLine, Quote
from bursar.pricing.rules import Rules

SELECT_COUPON_USE_COUNT = "SELECT use_count FROM bursar_couponusage WHERE code = %s"
COUNT_COUPON_USE = (
    "INSERT INTO bursar_couponusage (code, use_count) VALUES (%s, 1) "
    "ON CONFLICT (code) DO UPDATE SET use_count = bursar_couponusage.use_count + 1 "
    "WHERE bursar_couponusage.use_count < %s"
)


def configured_rules() -> Rules:
    """
    Return the pricing rules of this installation (BURSAR_PRICING_RULES), read once per process.

    :raises rules.InvalidPricingRules: if the file is invalid.
    """
    return _load_rules(settings.current.pricing_rules)


@functools.cache
def _load_rules(path: Path | None) -> Rules:
    return rules.load(path) if path else rules.parse("", name="no rules")


def create_quote(basket: Basket, *, at: datetime, rules: Rules) -> Quote:
    """
    Price *basket* on the day of *at* in the accounting time zone.

    Raises what `calculator.price` raises.
    """
    day = at.astimezone(ZoneInfo(settings.current.time_zone)).date()
    return calculator.price(
        basket, day=day, rules=rules, coupon_use_counts=_coupon_use_counts(basket)
    )


def _coupon_use_counts(basket: Basket) -> dict[str, int]:
    rows_by_coupon = {
        coupon: sql.rows(SELECT_COUPON_USE_COUNT, [coupon]) for coupon in basket.coupons
    }
    return {coupon: rows[0][0] for coupon, rows in rows_by_coupon.items() if rows}


def redeem_coupons(quote: Quote) -> None:
    """
    Count one use of each coupon of *quote*. Needs an open transaction.

    :raises discounts.CouponNotApplicable: if another order redeemed the coupon's last use meanwhile.
    """
    for coupon, limit in sorted(quote.coupons):
        row: list[fields.Parameter] = [coupon, MINOR_MAX if limit is None else limit]
        if sql.run(COUNT_COUPON_USE, row) == 0:
            raise discounts.CouponNotApplicable(
                f"coupon {coupon[:40]!r}: usage limit reached", param="coupons"
            )


def explain_quote(quote: Quote) -> dict[str, Any]:
    """Return the pricing explanation of a whole order; empty if no rules applied."""
    if not quote.rules:
        return {}
    quote_json = quote.to_json()
    return {
        key: quote_json[key]
        for key in (
            "rules",
            "rounding_mode",
            "half_rounding",
            "coupons",
            "discount",
            "rounding",
            "taxes",
        )
    }


def explain_line(line: PricedLine) -> dict[str, Any]:
    """Return what explains a line's price beside its columns; empty for a plain net price."""
    explanation: dict[str, Any] = {}
    if line.includes_tax:
        explanation["price_includes_tax"] = True
    if line.discounts:
        explanation["discounts"] = [
            {"name": applied.name, "amount": applied.amount_minor} for applied in line.discounts
        ]
    if explanation or line.rounding_minor:
        explanation |= {"list_price": line.list_minor, "rounding": line.rounding_minor}
    if len(line.component_minors) > 1:
        explanation["tax_components"] = [
            {"name": name, "rate": rate, "tax": minor}
            for (name, rate), minor in zip(line.tax.components, line.component_minors, strict=True)
        ]
    if line.tax.reason:
        explanation["tax_reason"] = line.tax.reason
    if line.fee:
        explanation["kind"] = "fee"
    return explanation
