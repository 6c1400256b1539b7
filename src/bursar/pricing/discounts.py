"""
Discounts, applied to the lines in the order of the rules, at most to zero.

A discount on a whole order is allocated to its lines in proportion, by largest remainder. The
order of lines has no effect: equal remainders are decided by the content of the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Literal

import msgspec

from bursar import errors
from bursar.money import Money, allocate
from bursar.pricing import rounding
from bursar.pricing.baskets import Basket
from bursar.pricing.rounding import PERCENT_SCALE, HalfRounding


class CouponNotApplicable(errors.ValidationError):
    """The coupon is unknown, not valid on the day, used up, or not for this basket."""

    code = "coupon_not_applicable"


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A percentage off from a minimum of *units*."""

    units: int
    percent: str


class Discount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A discount rule with exactly one of *percent*, *amount*, *take* and *tiers*.

    *amount* is in major units of *currency*, off each line once or off the order (*scope*). With
    *take* N and *pay* M, of every N units over all lines the cheapest N - M are free. *tiers* are
    percentages off a line by its quantity. *skus* and customer *groups* restrict the rule; empty
    means all. *minimum* is the least total of its lines, in major units of *currency*. With
    *coupon* the rule needs that coupon, at most *limit* orders in all. Both days of the validity
    are included. An *exclusive* discount applies only to lines without a discount, and no other
    applies to them afterwards. *after_tax* does not change the tax; it is at most the net price.
    """

    name: str
    percent: str = ""
    amount: str = ""
    currency: str = ""
    take: int = 0
    pay: int = 0
    tiers: tuple[Tier, ...] = ()
    scope: Literal["line", "order"] = "line"
    skus: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    minimum: str = ""
    coupon: str = ""
    limit: int | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    exclusive: bool = False
    after_tax: bool = False

    def is_valid_on(self, day: date) -> bool:
        """Whether the rule is valid on *day*."""
        return not (self.valid_from and day < self.valid_from) and not (
            self.valid_until and day > self.valid_until
        )

    def is_for(self, basket: Basket) -> bool:
        """Whether the rule is for the basket's customer group and currency."""
        return (not self.groups or basket.customer_group in self.groups) and (
            not self.currency or self.currency == basket.currency
        )


@dataclass(slots=True)
class DiscountRun:
    """Remaining amounts of the lines and the discounts applied; *keys* order equal lines."""

    basket: Basket
    amounts: list[int]
    keys: Sequence[tuple[object, ...]]
    half: HalfRounding
    steps: list[list[tuple[str, int]]] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.steps = [[] for _ in self.amounts]

    def apply(self, rule: Discount) -> bool:
        """Apply a discount. Returns whether it had an effect."""
        indexes = [
            at
            for at, line in enumerate(self.basket.lines)
            if at not in self.closed
            and not (rule.exclusive and self.steps[at])
            and (not rule.skus or line.sku in rule.skus)
        ]
        # Sorted, so that equal remainders do not depend on the order of lines.
        indexes.sort(key=lambda at: (self.amounts[at], self.keys[at]))
        if not indexes or not self._reaches_minimum(rule, sum(self.amounts[at] for at in indexes)):
            return False
        total_before = sum(self.amounts)
        for at, off in zip(indexes, self._discount_amounts(rule, indexes), strict=True):
            if off:
                self.amounts[at] -= off
                self.steps[at].append((rule.name, off))
                if rule.exclusive:
                    self.closed.add(at)
        return sum(self.amounts) < total_before

    def _reaches_minimum(self, rule: Discount, costs_minor: int) -> bool:
        if not rule.minimum:
            return True
        return costs_minor >= Money.parse(rule.minimum, rule.currency).amount_minor

    def _discount_amounts(self, rule: Discount, indexes: Sequence[int]) -> list[int]:
        amounts = [self.amounts[at] for at in indexes]
        if rule.take:
            return self._free_unit_amounts(rule, indexes)
        if rule.tiers:
            return [
                self._percent_of(self._tier_percent(rule, at), self.amounts[at]) for at in indexes
            ]
        subtotal_minor = sum(amounts)
        if rule.percent:
            parts = rounding.parse_percent(rule.percent)
            if rule.scope == "line":
                return [self._percent_of(parts, amount) for amount in amounts]
            return prorate(self._percent_of(parts, subtotal_minor), amounts)
        amount_minor = Money.parse(rule.amount, rule.currency).amount_minor
        if rule.scope == "line":
            return [min(amount_minor, amount) for amount in amounts]
        return prorate(min(amount_minor, subtotal_minor), amounts)

    def _percent_of(self, parts: int, amount_minor: int) -> int:
        return rounding.divide(amount_minor * parts, PERCENT_SCALE, self.half)

    def _tier_percent(self, rule: Discount, at: int) -> int:
        units = self.basket.lines[at].quantity
        reached = [tier for tier in rule.tiers if tier.units <= units]
        return rounding.parse_percent(reached[-1].percent) if reached else 0

    def _free_unit_amounts(self, rule: Discount, indexes: Sequence[int]) -> list[int]:
        """Return the price of the cheapest (take - pay) units of every full *take*."""
        units = {at: self.basket.lines[at].quantity for at in indexes}
        free = sum(units.values()) // rule.take * (rule.take - rule.pay)
        by_price = sorted(
            indexes, key=lambda at: (Fraction(self.amounts[at], units[at]), self.keys[at])
        )
        off = dict.fromkeys(indexes, 0)
        for at in by_price:
            free_units = min(free, units[at])
            off[at] = rounding.divide(self.amounts[at] * free_units, units[at], self.half)
            free -= free_units
        return [off[at] for at in indexes]


def prorate(amount_minor: int, amounts: Sequence[int]) -> list[int]:
    """Allocate *amount_minor* in proportion to *amounts*; it is at most their sum."""
    return allocate(amount_minor, amounts) if amount_minor else [0] * len(amounts)


def applicable(
    rules: Sequence[Discount], basket: Basket, *, day: date, coupon_use_counts: Mapping[str, int]
) -> list[Discount]:
    """
    Return the rules that apply to *basket* on *day*, in order.

    *coupon_use_counts* are the previous uses by coupon.

    :raises CouponNotApplicable: if a coupon of the basket is unknown, not valid, used up or not for it.
    """
    for coupon in basket.coupons:
        _check_coupon(coupon, rules, basket, day, coupon_use_counts)
    return [
        rule
        for rule in rules
        if rule.is_valid_on(day)
        and rule.is_for(basket)
        and (not rule.coupon or rule.coupon in basket.coupons)
    ]


def _check_coupon(
    coupon: str,
    rules: Sequence[Discount],
    basket: Basket,
    day: date,
    coupon_use_counts: Mapping[str, int],
) -> None:
    candidates = [rule for rule in rules if rule.coupon == coupon]
    checks: list[tuple[Callable[[Discount], bool], str]] = [
        (lambda _: True, "unknown coupon"),
        (lambda rule: rule.is_valid_on(day), f"not valid on {day}"),
        (lambda rule: rule.is_for(basket), "not valid for this currency or customer group"),
        (
            lambda rule: rule.limit is None or coupon_use_counts.get(coupon, 0) < rule.limit,
            "usage limit reached",
        ),
    ]
    for holds, why in checks:
        candidates = [rule for rule in candidates if holds(rule)]
        if not candidates:
            raise CouponNotApplicable(f"coupon {coupon[:40]!r}: {why}", param="coupons")
