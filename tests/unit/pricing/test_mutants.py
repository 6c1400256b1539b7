"""Cases that mutation testing asked for: each fails when one small thing in the code is otherwise."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from bursar import errors, money
from bursar.money import MINOR_MAX, CurrencyMismatch, InvalidAmount, Money, UnsupportedCurrency
from bursar.pricing import calculator, quotes, rounding, rules, taxes
from bursar.pricing.baskets import COUPONS_MAX, LINES_MAX, read
from bursar.pricing.discounts import CouponNotApplicable
from bursar.pricing.pricelists import Item
from bursar.pricing.rounding import HalfRounding
from bursar.pricing.taxes import Rate, Supply, Tax, TaxComponent
from tests.unit.pricing.baskets import basket, line, mode, quote, totals

UP = '[rounding]\nhalf = "half_up"\n'


def half_up(name: str) -> str:
    return mode(name) + 'half = "half_up"\n'


@pytest.mark.parametrize(
    ("numerator", "even", "up"),
    [
        (5, 2, 3),
        (7, 4, 4),
        (-5, -2, -3),
        (-7, -4, -4),
        (0, 0, 0),
        (1, 0, 1),
        (-1, 0, -1),
        (2, 1, 1),
    ],
)
def test_halves_are_symmetric(numerator: int, even: int, up: int) -> None:
    assert rounding.divide(numerator, 2) == even
    assert rounding.divide(numerator, 2, HalfRounding.UP) == up


@pytest.mark.parametrize(
    ("share", "text"),
    [
        ("0", "0"),
        ("1", "100"),
        ("1/10", "10"),
        ("19/100", "19"),
        ("51/200", "25.5"),
        ("14975/100000", "14.975"),
        ("1/1000000", "0.0001"),
        ("1/2", "50"),
    ],
)
def test_a_share_as_percent(share: str, text: str) -> None:
    assert taxes.format_percent(Fraction(share)) == text


def test_taxes_made_anew() -> None:
    fresh = taxes.make_tax.__wrapped__
    assert fresh("19") == Tax(taxes.TaxCode.STANDARD, "19", (("", "19"),), "", (19,), 100)
    parts = (TaxComponent(name="a", rate="10"), TaxComponent(name="b", rate="10", compound=True))
    assert fresh("", "", "", parts).rate == "21"
    assert fresh("", "AE").components == (("", "0"),)
    assert fresh("0", "E", "because").reason == "because"


def test_rates_are_found_whatever_their_order() -> None:
    days = (date(2021, 1, 1), date(2020, 1, 1), date(2022, 1, 1))
    rates = [
        Rate(country="DE", category="x", rate=str(day.year - 2000), valid_from=day) for day in days
    ]
    table = taxes.index_rates(rates)
    found = [taxes.rate_on(table, "DE", "x", date(year, 6, 1)).rate for year in (2020, 2021, 2022)]
    assert found == ["20", "21", "22"]
    text = "".join(
        f'[[rates]]\ncountry = "DE"\ncategory = "x"\nrate = "{day.year - 2000}"\n'
        f"valid_from = {day}\nvalid_until = {day.year}-12-31\n"
        for day in days
    )
    assert len(rules.parse(text, name="r").rates["DE", "x"]) == 3


def test_a_half_goes_up_in_every_step() -> None:
    gross = basket(line("0.05", "100"), prices_include_tax=True)
    for name in ("line", "sum_by_net"):
        assert totals(quote(gross, half_up(name)))[0] == "0.03"
    both = basket(line("0.02", "100"), line("0.03", "100", sku="b"), prices_include_tax=True)
    assert totals(quote(both, mode("sum_by_net_keep_gross")))[0] == "0.02"
    assert totals(quote(both, half_up("sum_by_net_keep_gross")))[0] == "0.03"
    off = '[[discounts]]\nname = "d"\npercent = "10"\n'
    assert totals(quote(basket(line("0.05")), off))[2] == "0.05"
    assert totals(quote(basket(line("0.05")), UP + off))[2] == "0.04"
    late = off + "after_tax = true\n"
    assert totals(quote(basket(line("0.05")), late))[2] == "0.05"
    assert totals(quote(basket(line("0.05")), UP + late))[2] == "0.04"
    free = '[[discounts]]\nname = "d"\ntake = 2\npay = 1\n'
    assert totals(quote(basket(line("0.0025", units=2)), UP + free))[2] == "0.00"
    assert totals(quote(basket(line("0.025", units=2)), free))[2] == "0.03"
    assert totals(quote(basket(line("0.025", units=2)), UP + free))[2] == "0.02"
    fee = '[[fees]]\nmethod = "card"\nname = "Fee"\npercent = "5"\n'
    assert totals(quote(basket(line("0.10"), payment_method="card"), fee))[2] == "0.11"
    with_late = UP + late + '[[fees]]\nmethod = "card"\nname = "Fee"\npercent = "50"\n'
    assert totals(quote(basket(line("0.05"), payment_method="card"), with_late))[2] == "0.06"


def test_the_cheapest_units_are_free_not_the_cheapest_lines() -> None:
    text = '[[discounts]]\nname = "d"\ntake = 2\npay = 1\n'
    assert totals(quote(basket(line("10.00"), line("3.00", units=5, sku="b")), text))[2] == "16.00"


def test_the_order_of_lines_that_cost_the_same_does_not_decide() -> None:
    text = '[[discounts]]\nname = "d"\namount = "0.01"\ncurrency = "EUR"\nscope = "order"\n'
    one, other = line("1.00", "100", sku="a"), line("1.00", "0", sku="b")
    assert {totals(quote(basket(*both), text))[2] for both in ((one, other), (other, one))} == {
        "2.98"
    }


def test_which_line_bears_the_cent_of_a_sum_does_not_depend_on_their_order() -> None:
    text = mode("sum_by_net_keep_gross") + (
        '[[discounts]]\nname = "d"\npercent = "33.33"\nskus = ["a"]\nafter_tax = true\n'
    )
    one, other = line("0.02", "20", sku="a"), line("0.02", "20", sku="b")
    both = [
        quote(basket(*lines, prices_include_tax=True), text)
        for lines in ((one, other), (other, one))
    ]
    assert totals(both[0]) == totals(both[1])
    shown = [{row.line.sku: (row.net_minor, row.tax_minor) for row in each.lines} for each in both]
    assert shown[0] == shown[1] == {"a": (1, 1), "b": (2, 0)}


def test_a_coupon_that_was_never_used_has_its_first_use() -> None:
    text = '[[discounts]]\nname = "d"\npercent = "10"\ncoupon = "C"\nlimit = 1\n'
    priced = quote(basket(line("1.00"), line("1.00", sku="b"), coupons=("C",)), text)
    assert (totals(priced)[2], priced.coupons) == ("1.80", (("C", 1),))
    endless = quote(basket(line("1.00"), coupons=("C",)), text.replace("limit = 1\n", ""))
    assert endless.coupons == (("C", None),)


def test_a_coupon_is_told_by_its_first_40_letters() -> None:
    text = f'[[discounts]]\nname = "d"\npercent = "0"\ncoupon = "{60 * "C"}"\n'
    for coupon, told in ((60 * "C", "no discount applies"), (60 * "D", "unknown coupon")):
        with pytest.raises(CouponNotApplicable) as caught:
            quote(basket(line("1.00"), coupons=(coupon,)), text)
        assert caught.value.message.startswith(f"coupon {coupon[:40]!r}: ")
        assert told in caught.value.message
    with pytest.raises(
        calculator.PriceNotFound, match=f"no price list has a price for '{40 * 's'}'$"
    ):
        quote(basket(line(sku=50 * "s")))


def test_a_coupon_that_spares_the_dearest_line_has_taken_something() -> None:
    text = '[[discounts]]\nname = "d"\ntake = 2\npay = 1\ncoupon = "C"\n'
    two = basket(line("1.00"), line("2.00", sku="b"), coupons=("C",))
    assert totals(quote(two, text))[2] == "2.00"


def test_below_the_first_tier_nothing_is_taken() -> None:
    text = '[[discounts]]\nname = "d"\ntiers = [{ units = 2, percent = "10" }]\n'
    assert totals(quote(basket(line("90000000.00")), text))[2] == "90000000.00"


LISTED = """
[seller]
country = "DE"
[[price_lists]]
currency = "EUR"
valid_from = 2026-11-24
[[price_lists.items]]
sku = "advice"
price = "10.00"
tax_category = "standard"
supply = "services"
[[fees]]
method = "card"
name = "Fee"
percent = "10"
tax_category = "reduced"
"""


def test_a_listed_service_is_one_unless_the_line_says_otherwise() -> None:
    abroad = {"country": "US"}
    listed = quote(basket(line(sku="advice"), **abroad), LISTED)
    told = quote(basket(line(sku="advice", tax_category="standard"), **abroad), LISTED)
    priced = quote(basket(line("1.00", sku="advice"), **abroad), LISTED)
    own = line("1.00", sku="x", tax_category="standard", supply=Supply.SERVICES)
    codes = [
        each.lines[0].tax.code
        for each in (listed, told, priced, quote(basket(own, **abroad), LISTED))
    ]
    assert codes == ["O", "G", "O", "O"]
    assert [each.unit_price for each in (*listed.lines, *priced.lines)] == ["10.00", "1.00"]


def test_a_list_begins_on_its_first_day() -> None:
    with pytest.raises(calculator.PriceNotFound):
        quote(basket(line(sku="advice")), LISTED, day=date(2026, 11, 23))


def test_given_prices_of_goods_without_a_list_are_net() -> None:
    for asked in (
        line("10.00", sku="x", tax_code="E"),
        line("10.00", "19", sku="x"),
        line("10.00", sku="x", tax_category="standard"),
    ):
        [priced] = quote(basket(asked), LISTED).lines
        assert (priced.includes_tax, priced.net_minor) == (False, 1000)
    with_code = line("10.00", sku="advice", tax_code="E")
    assert quote(basket(with_code), LISTED).lines[0].tax.code == "E"


def test_a_fee_has_the_tax_of_its_category_at_the_place() -> None:
    home = quote(basket(line("100.00"), payment_method="card"), LISTED)
    [_, fee] = home.lines
    assert (fee.tax.rate, fee.net_minor, fee.tax_minor, fee.unit_price) == ("7", 935, 65, "10.00")
    assert (fee.line.sku, fee.line.description, fee.includes_tax) == ("fee:card", "Fee", True)
    abroad = quote(basket(line("100.00"), payment_method="card", country="US"), LISTED)
    assert abroad.lines[1].tax.code == "O"
    early = date(2026, 1, 1)
    with pytest.raises(taxes.TaxRateNotFound, match="'reduced' in 'DE' on 2026-01-01"):
        quote(basket(line("100.00"), payment_method="card"), LISTED, day=early)


def test_the_json_of_a_quote_to_the_last_field() -> None:
    text = half_up("sum_by_net") + LISTED
    told = quote(
        basket(line("0.03", "19"), line("0.03", "19", sku="b"), payment_method="card"), text
    ).to_json()
    assert {
        key: told[key]["amount"] for key in ("total", "net", "tax", "rounding", "discount")
    } == {
        "total": 8,
        "net": 7,
        "tax": 1,
        "rounding": -1,
        "discount": 0,
    }
    assert [(each["position"], each["kind"]) for each in told["lines"]] == [
        (1, "item"),
        (2, "item"),
        (3, "fee"),
    ]
    assert told["lines"][0]["unit_price"] == "0.03"
    assert (told["half_rounding"], told["rules"]) == ("half_up", rules.parse(text, name="x").digest)
    parts = taxes.make_tax(
        "", components=(TaxComponent(name="a", rate="1"), TaxComponent(name="b", rate="2"))
    )
    assert quotes.tax_components_json(parts, (1, 2), "EUR") == [
        {"name": "a", "rate": "1", "tax": {"amount": 1, "currency": "EUR"}},
        {"name": "b", "rate": "2", "tax": {"amount": 2, "currency": "EUR"}},
    ]


def test_limits_are_included() -> None:
    assert quote(basket(*[line("0.01")] * LINES_MAX)).total.amount_minor == LINES_MAX
    text = "".join(
        f'[[discounts]]\nname = "{at}"\npercent = "1"\ncoupon = "{at}"\n'
        for at in range(COUPONS_MAX)
    )
    many = basket(line("1000.00"), coupons=tuple(map(str, range(COUPONS_MAX))))
    assert len(quote(many, text).coupons) == COUPONS_MAX
    good = (
        f'[[discounts]]\nname = "{120 * "n"}"\ncoupon = "{60 * "C"}"\nlimit = 1\n'
        'tiers = [{ units = 1, percent = "1" }, { units = 2, percent = "2" }]\n'
    )
    assert rules.parse(good, name="r").discounts[0].limit == 1
    for bad, reason in {
        good.replace(120 * "n", 121 * "n"): "1 to 120",
        good.replace("units = 2", "units = 1"): "and increase",
        good.replace("units = 1,", "units = 0,"): "and increase",
    }.items():
        with pytest.raises(rules.InvalidPricingRules, match=reason):
            rules.parse(bad, name="r")


def test_a_file_of_the_largest_size_is_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(rules, "RULES_BYTES_MAX", 10)
    (tmp_path / "r.toml").write_bytes(b"#" * 10)
    assert rules.load(tmp_path / "r.toml").discounts == ()
    for size in (11, 12):
        (tmp_path / "r.toml").write_bytes(b"#" * size)
        with pytest.raises(rules.InvalidPricingRules, match="larger than 10 bytes"):
            rules.load(tmp_path / "r.toml")
    (tmp_path / "r.toml").write_bytes(b"x = 1\n")
    with pytest.raises(rules.InvalidPricingRules, match=r"^r\.toml, line 1: "):
        rules.load(tmp_path / "r.toml")


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ('[[discounts]]\nname = "d"\npercent = 5\n', "discounts[0].percent"),
        ('[[discounts]]\nname = "d"\npercent = "x"\n', "discounts[0].percent"),
        ('currencies = ["EUR", "EUX"]\n', "currencies[1]"),
        (
            '[[rates]]\ncountry = ""\ncategory = "a"\nrate = "1"\nvalid_from = 2020-01-01\n',
            "rates[0].country",
        ),
        ('[[rates]]\ncountry = "DE"\ncategory = "a"\nvalid_from = 2020-01-01\n', "rates[0].rate"),
        (
            (
                '[[fees]]\nmethod = "a"\nname = "a"\ncurrency = "EUR"\n'
                '[[fees]]\nmethod = "a"\nname = "b"\ncurrency = "EUR"\n'
            ),
            "fees[1].method",
        ),
        (
            (
                '[[fees]]\nmethod = "a"\nname = "a"\ncurrency = "EUR"\n'
                '[[fees]]\nmethod = "a"\nname = "b"\n'
            ),
            "fees[1].method",
        ),
        ('[seller]\ncountry = "XYZ"\n', "seller.country"),
    ],
)
def test_bad_rules_name_the_field(text: str, param: str) -> None:
    with pytest.raises(rules.InvalidPricingRules) as caught:
        rules.parse(text, name="r")
    assert caught.value.param == param


def test_fees_of_two_currencies_and_an_unnamed_seller_are_fine() -> None:
    text = "[seller]\n" + "".join(
        f'[[fees]]\nmethod = "a"\nname = "{currency}"\ncurrency = "{currency}"\n'
        for currency in ("EUR", "USD")
    )
    assert len(rules.parse(text, name="r").fees) == 2


def test_a_long_category_is_told_by_its_first_40_letters() -> None:
    text = (
        f'[[rates]]\ncountry = "DE"\ncategory = "{50 * "A"}"\nrate = "1"\nvalid_from = 2020-01-01\n'
    )
    with pytest.raises(rules.InvalidPricingRules, match=f"'{40 * 'A'}' is not a category name"):
        rules.parse(text, name="r")


def test_lists_that_always_hold_overlap_those_that_begin() -> None:
    one = '[[price_lists]]\ncurrency = "EUR"\nitems = []\n'
    later = one + "valid_from = 2026-01-01\n"
    assert len(rules.parse(later + one, name="r").lists.lists) == 2
    with pytest.raises(rules.InvalidPricingRules, match="line 4: EUR overlaps entry 1"):
        rules.parse(one + one, name="r")
    ending = one + "valid_until = 2026-01-01\n"
    with pytest.raises(rules.InvalidPricingRules, match="overlaps"):
        rules.parse(ending + later, name="r")


def test_an_unknown_key_at_the_top_is_found() -> None:
    with pytest.raises(rules.InvalidPricingRules, match=r"^r, line 2: .*`colour`"):
        rules.parse('\ncolour = "red"\n', name="r")


def test_a_basket_that_cannot_be_read_says_what_was_expected() -> None:
    with pytest.raises(errors.ValidationError, match="Expected `str`, got `int`"):
        read(b'{"currency": 1, "lines": []}')


def test_pieces_of_graduated_tiers() -> None:
    item = Item(sku="a", price="1.00")
    assert item.pieces(3) == [(3, "1.00")]


def test_money_says_what_is_wrong_and_where() -> None:
    with pytest.raises(UnsupportedCurrency) as unknown:
        Money(1, "EUX")
    assert unknown.value.param == "currency"
    for make, told in {
        lambda: Money(1.5, "EUR"): "a whole number of minor units, not 1.5",  # type: ignore[arg-type]
        lambda: Money(MINOR_MAX + 1, "EUR"): "at most 9,007,199,254,740,991",
        lambda: Money.parse("abc", "EUR"): "'abc' is not a plain decimal number",
        lambda: Money.parse(None, "EUR"): "None is not a plain decimal",  # type: ignore[arg-type]
        lambda: Money.parse("1.234", "EUR"): "'1.234' has 3 decimals; EUR has 2",
    }.items():
        with pytest.raises(InvalidAmount, match=told) as caught:
            make()
        assert caught.value.param == "amount"
    with pytest.raises(InvalidAmount, match=r"multiplied only by whole numbers, not 1\.5"):
        Money(1, "EUR") * 1.5  # type: ignore[operator]
    with pytest.raises(CurrencyMismatch, match="cannot combine EUR and USD"):
        Money(1, "EUR") + Money(1, "USD")


def test_what_is_shown_of_a_wrong_amount_is_short() -> None:
    assert money._preview(40 * "x") == repr(40 * "x")
    assert money._preview(50 * "x") == repr(40 * "x")
    assert money._preview(10**50) == f"{str(10**50)[:39]}..."
    assert money._preview(10**41) == str(10**41)
    assert money._preview(10**42) == f"{str(10**42)[:39]}..."


def test_equal_amounts_are_neither_less_nor_more() -> None:
    one = Money(1, "EUR")
    assert not one < Money(1, "EUR")
    assert not one > Money(1, "EUR")
    assert one <= Money(1, "EUR")
    assert one >= Money(1, "EUR")
