"""Quoting: prices by the merchant's own rules, and what is kept of them with an order."""

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

USED = "SELECT used FROM bursar_couponuse WHERE code = %s"
USE = (
    "INSERT INTO bursar_couponuse (code, used) VALUES (%s, 1) "
    "ON CONFLICT (code) DO UPDATE SET used = bursar_couponuse.used + 1 "
    "WHERE bursar_couponuse.used < %s"
)


def configured_rules() -> Rules:
    """
    The rules of this installation (BURSAR_PRICES), read once.

    :raises rules.InvalidRules: if they are wrong.
    """
    return _read(settings.current.prices)


@functools.cache
def _read(path: Path | None) -> Rules:
    return rules.load(path) if path else rules.parse("", name="no rules")


def quote(basket: Basket, *, at: datetime, rules: Rules) -> Quote:
    """
    Price *basket* as on the day that *at* is in the accounting time zone.

    Raises what `calculator.price` does.
    """
    day = at.astimezone(ZoneInfo(settings.current.time_zone)).date()
    return calculator.price(basket, day=day, rules=rules, redeemed=_redeemed(basket))


def _redeemed(basket: Basket) -> dict[str, int]:
    found = {coupon: sql.rows(USED, [coupon]) for coupon in basket.coupons}
    return {coupon: rows[0][0] for coupon, rows in found.items() if rows}


def redeem(quote: Quote) -> None:
    """
    Count the coupons of an order; needs an open transaction.

    :raises discounts.CouponRefused: if another order took the last one meanwhile.
    """
    for coupon, limit in sorted(quote.coupons):
        row: list[fields.Parameter] = [coupon, MINOR_MAX if limit is None else limit]
        if sql.run(USE, row) == 0:
            raise discounts.CouponRefused(f"coupon {coupon[:40]!r}: it is used up", param="coupons")


def explanation(quote: Quote) -> dict[str, Any]:
    """How an order was priced, beside what its lines tell; empty where that is plain."""
    if not quote.rules:
        return {}
    told = quote.to_json()
    return {
        key: told[key]
        for key in ("rules", "rounding_mode", "half", "coupons", "discount", "rounding", "taxes")
    }


def explained_line(line: PricedLine) -> dict[str, Any]:
    """How a line was priced, beside its columns; empty where that is plain."""
    told: dict[str, Any] = {}
    if line.includes_tax:
        told["price_includes_tax"] = True
    if line.discounts:
        told["discounts"] = [
            {"name": taken.name, "amount": taken.amount_minor} for taken in line.discounts
        ]
    if told or line.rounding_minor:
        told |= {"list": line.list_minor, "rounding": line.rounding_minor}
    if len(line.part_minors) > 1:
        told["tax_parts"] = [
            {"name": name, "rate": rate, "tax": minor}
            for (name, rate), minor in zip(line.tax.parts, line.part_minors, strict=True)
        ]
    if line.tax.reason:
        told["tax_reason"] = line.tax.reason
    if line.fee:
        told["kind"] = "fee"
    return told
