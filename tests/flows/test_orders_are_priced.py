"""Orders priced by rules: quoted, frozen when placed, refunded line by line to the last unit."""

from __future__ import annotations

import random
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bursar import clock, errors, ids, settings
from bursar.access.roles import Role
from bursar.orders import operations, quotes
from bursar.orders import refunds as refunding_lines
from bursar.orders.models import CouponUsage, Order, OrderLine
from bursar.pricing import rules
from bursar.pricing.baskets import Line
from bursar.pricing.discounts import CouponNotApplicable
from bursar.pricing.rules import Rules
from tests.flows.admin.office import office
from tests.shop import ACCOUNT, Shop, commit

RULES = """
[rounding]
mode = "sum_by_net"
[seller]
country = "DE"
[[price_lists]]
currency = "EUR"
includes_tax = true
[[price_lists.items]]
sku = "pen"
price = "100.00"
tax_category = "standard"
[[price_lists.items]]
sku = "book"
price = "9.99"
tax_category = "reduced"
[[discounts]]
name = "Spring"
percent = "10"
coupon = "SPRING"
limit = 2
[[fees]]
method = "sandbox-eu"
name = "Card fee"
percent = "1"
"""
PEN, BOOK = Line(sku="pen", quantity=5), Line(sku="book", quantity=7)


def parsed() -> Rules:
    return rules.parse(RULES, name="rules.toml")


def order(number: int, **told: Any) -> operations.NewOrder:
    return operations.NewOrder(
        **{
            "reference": f"web-{number}",
            "currency": "EUR",
            "lines": (PEN, BOOK),
            "idempotency_key": f"key-{number}",
            "placed_at": datetime(2026, 4, 1, tzinfo=UTC),
            "provider_account": ACCOUNT,
            "method": "tok_visa",
            **told,
        }
    )


def place(new: operations.NewOrder) -> Order:
    order_id, payment_id, known = ids.new(ids.ORDER), ids.new(ids.PAYMENT), parsed()
    return Order.objects.get(
        id=commit(
            lambda: operations.place_order(
                new, order_id=order_id, payment_id=payment_id, now=clock.now(), rules=known
            )
        )
    )


def test_an_order_keeps_its_price_and_how_it_came_about(shop: Shop) -> None:
    placed = place(order(1, coupons=("SPRING",), vat_id="DE136695976"))
    pen, book, fee = OrderLine.objects.filter(order=placed).order_by("position")
    assert (pen.tax_code, pen.tax_rate, pen.unit_price) == ("S", "19", "100.00")
    assert (book.tax_rate, fee.tax_rate, fee.tax_code) == ("7", "0", "Z")
    assert pen.pricing_explanation["discounts"] == [{"name": "Spring", "amount": 5000}]
    assert (
        pen.pricing_explanation["price_includes_tax"],
        pen.pricing_explanation["list_price"],
    ) == (
        True,
        50000,
    )
    assert fee.pricing_explanation["kind"] == "fee"
    assert placed.pricing_explanation["rules"] == parsed().digest
    assert placed.pricing_explanation["coupons"] == ["SPRING"]
    assert placed.buyer == {"vat_id": "DE136695976"}
    assert placed.total_minor == pen.gross_minor + book.gross_minor + fee.gross_minor
    shop.run_jobs()
    assert shop.payment(placed.id).captured_minor == placed.total_minor
    assert shop.agrees()


def test_the_back_office_shows_the_discounts_and_the_code_of_the_tax(shop: Shop) -> None:
    placed = place(order(1, coupons=("SPRING",)))
    page = office(Role.VIEWER).get(f"/bursar/order/{placed.id}/change/").text
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for words in ("100.00 (incl. tax)", "Spring 50.00 EUR", "19 % S", "Card fee"):
        assert words in text, words


@pytest.mark.parametrize("seed", range(2))
def test_any_sequence_of_refunds_by_lines_adds_up(shop: Shop, seed: int) -> None:
    draw = random.Random(seed)
    placed = place(order(1, coupons=("SPRING",)))
    shop.run_jobs()
    left = [1] * 5 + [2] * 7 + [3]
    draw.shuffle(left)
    while left:
        some, left = left[: (cut := draw.randint(1, 4))], left[cut:]
        give_back(placed.id, dict(Counter(some)))
        shop.run_jobs()
    by_rate: Counter[tuple[str, str]] = Counter()
    for line in placed.lines.all():
        by_rate[line.tax_rate, "net"] += line.net_minor
        by_rate[line.tax_rate, "tax"] += line.tax_minor
        for part in line.refunds.all():
            by_rate[line.tax_rate, "net"] -= part.amount_minor - part.tax_minor
            by_rate[line.tax_rate, "tax"] -= part.tax_minor
    assert set(by_rate.values()) == {0}
    assert shop.payment(placed.id).status == "refunded"


def test_a_plain_order_explains_nothing(shop: Shop) -> None:
    placed = Order.objects.get(id=shop.place())
    [line] = placed.lines.all()
    assert (placed.pricing_explanation, line.pricing_explanation, line.tax_code) == ({}, {}, "S")


def test_the_quote_is_what_the_order_costs(shop: Shop) -> None:
    new = order(1, coupons=("SPRING",))
    quote = quotes.create_quote(new.basket(), at=new.placed_at, rules=parsed())
    placed = place(new)
    assert (placed.total_minor, placed.tax_minor) == (
        quote.total.amount_minor,
        quote.tax.amount_minor,
    )


def test_a_coupon_is_good_for_its_limit_and_a_repeat_uses_none(shop: Shop) -> None:
    first = place(order(1, coupons=("SPRING",)))
    place(order(2, coupons=("SPRING",)))
    with pytest.raises(CouponNotApplicable, match="usage limit reached"):
        place(order(3, coupons=("SPRING",)))
    assert place(order(1, coupons=("SPRING",))).id == first.id
    assert CouponUsage.objects.get().use_count == 2
    assert Order.objects.count() == 2


def test_many_at_once_never_use_a_coupon_more_often(shop: Shop) -> None:
    def one(number: int) -> bool:
        try:
            place(order(number, coupons=("SPRING",)))
        except CouponNotApplicable:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(12))) == 2
    assert (CouponUsage.objects.get().use_count, Order.objects.count()) == (2, 2)


def test_the_last_one_may_be_taken_between_pricing_and_counting(shop: Shop) -> None:
    new = order(1, coupons=("SPRING",))
    stale = quotes.create_quote(new.basket(), at=new.placed_at, rules=parsed())
    place(order(2, coupons=("SPRING",)))
    place(order(3, coupons=("SPRING",)))
    with pytest.raises(CouponNotApplicable, match="usage limit reached"):
        commit(lambda: quotes.redeem_coupons(stale))


def give_back(order_id: str, units: dict[int, int]) -> None:
    refund_id = ids.new(ids.REFUND)
    commit(
        lambda: refunding_lines.refund_lines(
            order_id=order_id, quantities=units, refund_id=refund_id, now=clock.now()
        )
    )


def test_refunds_by_lines_add_up_to_the_order_to_the_unit_and_by_rate(shop: Shop) -> None:
    placed = place(order(1, coupons=("SPRING",)))
    shop.run_jobs()
    steps: list[dict[int, int]] = [
        {1: 1},
        {2: 3, 1: 1},
        {2: 1},
        {1: 2, 2: 2},
        {3: 1},
        {1: 1, 2: 1},
    ]
    for step in steps:
        give_back(placed.id, step)
        shop.run_jobs()
    given: dict[str, list[int]] = {}
    for line in placed.lines.all():
        back = given.setdefault(line.tax_rate, [0, 0, 0, 0])
        back[0] += line.gross_minor
        back[1] += line.tax_minor
        for part in line.refunds.all():
            back[2] += part.amount_minor
            back[3] += part.tax_minor
    assert all(sold[:2] == sold[2:] for sold in given.values())
    payment = shop.payment(placed.id)
    assert (payment.refunded_minor, payment.status) == (placed.total_minor, "refunded")
    assert all(balance == 0 or "sales" in name for name, balance in shop.balances().items())
    assert shop.agrees()


def test_other_coupons_or_places_are_another_order(shop: Shop) -> None:
    place(order(1))
    for change in ({"coupons": ("SPRING",)}, {"country": "FR"}, {"customer_group": "club"}):
        with pytest.raises(errors.IdempotencyKeyReused):
            place(order(1, **change))


def test_the_installed_rules_are_those_of_the_setting(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(RULES, "utf-8")
    told = settings.current
    monkeypatch.setattr(settings, "current", told.model_copy(update={"pricing_rules": file}))
    assert quotes.configured_rules().digest == parsed().digest
    monkeypatch.setattr(settings, "current", told.model_copy(update={"pricing_rules": None}))
    assert (quotes.configured_rules().discounts, quotes.configured_rules().digest) == ((), "")
