"""Discounts: what each takes off, one row a case."""

from __future__ import annotations

import re
from datetime import date

import pytest

from bursar import errors
from bursar.pricing.discounts import CouponNotApplicable
from tests.unit.pricing.baskets import basket, line, mode, quote, totals


def rule(name: str = "d", **keys: object) -> str:
    """A discount as TOML."""

    def written(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return f'"{value}"' if isinstance(value, str) else str(value)

    return f'[[discounts]]\nname = "{name}"\n' + "".join(
        f"{key} = {written(value)}\n" for key, value in keys.items()
    )


TEN = line("10.00", "10", 3)
CASES = {
    "a tenth of a line": (rule(percent="10"), [TEN], "29.70"),
    "all of it": (rule(percent="100"), [TEN], "0.00"),
    "an amount off each line": (
        rule(amount="1.00", currency="EUR"),
        [TEN, line("5.00", sku="b")],
        "35.90",
    ),
    "more than a line costs": (rule(amount="50.00", currency="EUR"), [TEN], "0.00"),
    "an amount off the order": (
        rule(amount="1.00", currency="EUR", scope="order"),
        [line("1.00"), line("2.00")],
        "2.00",
    ),
    "more than the order costs": (
        rule(amount="99.00", currency="EUR", scope="order"),
        [line("1.00"), line("2.00")],
        "0.00",
    ),
    "a cent off three lines of a cent": (
        rule(amount="0.01", currency="EUR", scope="order"),
        [line("0.01")] * 3,
        "0.02",
    ),
    "half of a cent": (rule(percent="50"), [line("0.01")], "0.01"),
    "half of three cents": (rule(percent="50"), [line("0.03")], "0.01"),
    "a percentage of the order": (
        rule(percent="10", scope="order"),
        [line("0.05")] * 3,
        "0.13",
    ),
    "in another currency": (rule(amount="1.00", currency="USD"), [TEN], "33.00"),
    "only some goods": (rule(percent="50", skus=["b"]), [TEN, line("2.00", sku="b")], "34.00"),
    "3 for 2": (rule(take=3, pay=2), [line("10.00", units=3)], "20.00"),
    "3 for 2 of two": (rule(take=3, pay=2), [line("10.00", units=2)], "20.00"),
    "3 for 2 of seven": (rule(take=3, pay=2), [line("10.00", units=7)], "50.00"),
    "3 for 2 over lines: the cheapest is free": (
        rule(take=3, pay=2),
        [line("10.00"), line("3.00", sku="b"), line("7.00", sku="c")],
        "17.00",
    ),
    "a price by 10^9 units": (rule(take=2, pay=1), [line("0.01", units=10**9)], "5000000.00"),
    "first a tenth, then 3 euros": (
        rule("a", percent="10") + rule("b", amount="3.00", currency="EUR"),
        [line("30.00")],
        "24.00",
    ),
    "first 3 euros, then a tenth": (
        rule("b", amount="3.00", currency="EUR") + rule("a", percent="10"),
        [line("30.00")],
        "24.30",
    ),
    "an exclusive one closes its lines": (
        rule("a", percent="10", exclusive=True) + rule("b", percent="50"),
        [line("30.00")],
        "27.00",
    ),
    "an exclusive one leaves what others touched": (
        rule("b", percent="50") + rule("a", percent="10", exclusive=True),
        [line("30.00")],
        "15.00",
    ),
    "an exclusive one for some goods leaves the others": (
        rule("a", percent="10", exclusive=True, skus=["a"]) + rule("b", percent="50"),
        [line("30.00"), line("10.00", sku="b")],
        "32.00",
    ),
    "below its minimum": (
        rule(percent="10", minimum="30.01", currency="EUR"),
        [line("30.00")],
        "30.00",
    ),
    "at its minimum": (
        rule(percent="10", minimum="30.00", currency="EUR"),
        [line("30.00")],
        "27.00",
    ),
    "for another group": (rule(percent="10", groups=["club"]), [line("30.00")], "30.00"),
    "before its first day": (rule(percent="10", valid_from=date(2026, 11, 25)), [TEN], "33.00"),
    "on its first day": (rule(percent="10", valid_from=date(2026, 11, 24)), [TEN], "29.70"),
    "on its last day": (rule(percent="10", valid_until=date(2026, 11, 24)), [TEN], "29.70"),
    "after its last day": (rule(percent="10", valid_until=date(2026, 11, 23)), [TEN], "33.00"),
    "after tax": (rule(percent="10", after_tax=True), [TEN], "30.00"),
    "all, after tax: the tax is still owed": (
        rule(percent="100", after_tax=True),
        [TEN],
        "3.00",
    ),
    "more than the net price, after tax": (
        rule(amount="33.00", currency="EUR", scope="order", after_tax=True),
        [TEN],
        "3.00",
    ),
    "a coupon that was not shown": (rule(percent="10", coupon="SPRING"), [TEN], "33.00"),
}


@pytest.mark.parametrize(("text", "lines", "total"), CASES.values(), ids=CASES)
def test_discounts(text, lines, total):
    priced = quote(basket(*lines), text)
    assert totals(priced)[2] == total
    assert all(each.net_minor >= 0 and each.tax_minor >= 0 for each in priced.lines)
    for each in priced.lines:
        assert each.list_minor - each.discount_minor == each.net_minor


VOLUME = rule(percent="0").replace(
    'percent = "0"\n', 'tiers = [{units = 10, percent = "5"}, {units = 100, percent = "10"}]\n'
)


@pytest.mark.parametrize(
    ("units", "total"), [(1, "1.00"), (9, "9.00"), (10, "9.50"), (99, "94.05"), (100, "90.00")]
)
def test_a_discount_by_quantity(units, total):
    assert totals(quote(basket(line("1.00", units=units)), VOLUME))[2] == total


def test_a_leap_day_is_a_day_like_any_other():
    text = rule(percent="50", valid_from=date(2028, 2, 29), valid_until=date(2028, 2, 29))
    days = {date(2028, 2, 28): "1.00", date(2028, 2, 29): "0.50", date(2028, 3, 1): "1.00"}
    for day, total in days.items():
        assert totals(quote(basket(line("1.00")), text, day=day))[2] == total


def test_a_discount_on_gross_prices_lowers_the_tax_with_them():
    priced = quote(basket(line("119.00", "19"), prices_include_tax=True), rule(percent="50"))
    assert totals(priced) == ("50.00", "9.50", "59.50")


def test_a_discount_after_tax_leaves_the_tax():
    priced = quote(
        basket(line("119.00", "19"), prices_include_tax=True),
        rule(amount="20.00", currency="EUR", scope="order", after_tax=True),
    )
    assert totals(priced) == ("80.00", "19.00", "99.00")
    assert [(each.base_minor, each.tax_minor) for each in priced.taxes] == [(10000, 1900)]
    assert priced.discount_minor == 2000


def test_what_is_taken_off_says_why():
    priced = quote(
        basket(line("30.00")),
        rule("Autumn sale", percent="10") + rule("Loyalty", amount="3.00", currency="EUR"),
    )
    assert [(each.name, each.amount_minor) for each in priced.lines[0].discounts] == [
        ("Autumn sale", 300),
        ("Loyalty", 300),
    ]


def test_a_group_has_its_own_discount():
    text = rule(percent="10", groups=["club"])
    assert totals(quote(basket(line("30.00"), customer_group="club"), text))[2] == "27.00"


COUPON = rule("Spring", percent="10", coupon="SPRING", limit=2) + rule(
    "Fees back", amount="1.00", currency="EUR", coupon="SPRING"
)


def test_a_coupon_brings_all_its_discounts():
    priced = quote(basket(line("30.00"), coupons=("SPRING",)), COUPON, SPRING=1)
    assert (totals(priced)[2], priced.coupons) == ("26.00", (("SPRING", 2),))


REFUSED = {
    "unknown": (COUPON, basket(line("30.00"), coupons=("SUMMER",)), 0, "unknown coupon"),
    "ended": (
        rule(percent="1", coupon="SPRING", valid_until=date(2026, 11, 23)),
        basket(line("30.00"), coupons=("SPRING",)),
        0,
        "not valid on 2026-11-24",
    ),
    "of another currency": (
        rule(amount="1.00", currency="USD", coupon="SPRING"),
        basket(line("30.00"), coupons=("SPRING",)),
        0,
        "not valid for this currency or customer group",
    ),
    "of another group": (
        rule(percent="1", coupon="SPRING", groups=["club"]),
        basket(line("30.00"), coupons=("SPRING",)),
        0,
        "not valid for this currency or customer group",
    ),
    "used up": (
        rule(percent="1", coupon="SPRING", limit=2),
        basket(line("30.00"), coupons=("SPRING",)),
        2,
        "usage limit reached",
    ),
    "without effect": (
        rule(percent="10", coupon="SPRING", skus=["b"]),
        basket(line("30.00"), coupons=("SPRING",)),
        0,
        "no discount applies",
    ),
}


@pytest.mark.parametrize(("text", "asked", "used", "told"), REFUSED.values(), ids=REFUSED)
def test_a_coupon_is_refused(text, asked, used, told):
    with pytest.raises(CouponNotApplicable, match=re.escape(told)) as caught:
        quote(asked, text, SPRING=used)
    assert caught.value.param == "coupons"


def test_equal_remainders_do_not_depend_on_the_order_of_the_lines():
    text = rule(amount="0.01", currency="EUR", scope="order")
    one, other = line("1.00", "19", sku="a"), line("1.00", "7", sku="b")
    assert totals(quote(basket(one, other), text)) == totals(quote(basket(other, one), text))


FEE = """
[[fees]]
method = "card"
name = "Card fee"
percent = "2.9"
fixed = "0.30"
currency = "EUR"
"""


def test_a_fee_is_a_line_of_its_own():
    priced = quote(basket(line("100.00"), payment_method="card"), FEE)
    assert totals(priced)[2] == "103.20"
    assert (priced.lines[1].fee, priced.lines[1].line.description) == (True, "Card fee")
    assert totals(quote(basket(line("100.00"), payment_method="cash"), FEE))[2] == "100.00"
    assert (
        totals(quote(basket(line("100"), currency="USD", payment_method="card"), FEE))[2]
        == "100.00"
    )


@pytest.mark.parametrize("price", ["0.01", "1.00", "9.99", "100.00", "12345.67"])
def test_a_grossed_up_fee_leaves_the_asked_amount(price):
    priced = quote(basket(line(price), payment_method="card"), FEE + "gross_up = true\n")
    paid = priced.total.amount_minor
    taken = (paid * 29 + 500) // 1000 + 30
    assert paid - taken == round(float(price) * 100)


def test_a_fee_bears_its_own_tax():
    text = FEE + 'tax_rate = "19"\n' + mode("sum_by_net_keep_gross")
    priced = quote(basket(line("100.00", "19"), payment_method="card"), text)
    assert totals(priced)[2] == "122.75"
    assert priced.lines[1].gross_minor == 375
    assert [each.tax.rate for each in priced.taxes] == ["19"]


def test_a_fee_of_nothing_is_no_line():
    text = '[[fees]]\nmethod = "card"\nname = "Card fee"\npercent = "2.9"\n'
    assert len(quote(basket(line("0.00"), payment_method="card"), text).lines) == 1


def test_a_discount_after_tax_is_taken_before_the_fee():
    text = rule(amount="50.00", currency="EUR", scope="order", after_tax=True) + FEE
    priced = quote(basket(line("100.00"), payment_method="card"), text)
    assert (totals(priced)[2], priced.lines[1].gross_minor) == ("51.75", 175)


def test_a_percentage_is_one():
    with pytest.raises(errors.ValidationError, match="not a percentage"):
        quote(basket(line("1.00")), rule(percent="101"))
