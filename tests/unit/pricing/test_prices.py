"""What baskets cost without rules: one row a case."""

from __future__ import annotations

import re

import pytest

from bursar import errors, money
from bursar.pricing import calculator
from bursar.pricing.baskets import COUPONS_MAX, LINES_MAX, EmptyBasket, read
from tests.unit.pricing.baskets import DAY, basket, line, mode, quote, totals

CASES = {
    "the guide: 100 at 10 % is 110": ("EUR", [line("100", "10")], "110.00", "10.00"),
    "the guide: 0 at 10 % is 0": ("EUR", [line("0", "10")], "0.00", "0.00"),
    "no rate is no tax": ("EUR", [line("5.00")], "5.00", "0.00"),
    "a rate of zero": ("EUR", [line("5.00", "0")], "5.00", "0.00"),
    "a rate of all": ("EUR", [line("5.00", "100")], "10.00", "5.00"),
    "the smallest rate": ("EUR", [line("10000.00", "0.0001")], "10000.01", "0.01"),
    "a cent at 19 % is two tenths of a cent of tax": ("EUR", [line("0.01", "19")], "0.01", "0.00"),
    "three cents at 19 %": ("EUR", [line("0.03", "19")], "0.04", "0.01"),
    "half a cent of tax goes to the even one, down": ("EUR", [line("0.10", "5")], "0.10", "0.00"),
    "half a cent of tax goes to the even one, up": ("EUR", [line("0.30", "5")], "0.32", "0.02"),
    "tax is on the line, not the unit": ("EUR", [line("0.10", "25", 3)], "0.38", "0.08"),
    "a thousand million units": ("EUR", [line("0.01", "19", 10**9)], "11900000.00", "1900000.00"),
    "fuel at tenths of a cent": ("EUR", [line("1.799", "19", 40)], "85.63", "13.67"),
    "electricity by the kilowatt-hour": ("EUR", [line("0.00123", "19", 1000)], "1.46", "0.23"),
    "a unit of half a cent": ("EUR", [line("0.005")], "0.00", "0.00"),
    "three units of half a cent": ("EUR", [line("0.005", "", 3)], "0.02", "0.00"),
    "twelve decimals": ("EUR", [line("0.000000000001", "", 10**9)], "0.00", "0.00"),
    "yen have no decimals": ("JPY", [line("5800", "10")], "6380", "580"),
    "half a yen": ("JPY", [line("5", "10")], "5", "0"),
    "a price of half a yen, twice": ("JPY", [line("0.5", "", 2)], "1", "0"),
    "dinars of Kuwait have three": ("KWD", [line("1.234", "5")], "1.296", "0.062"),
    "dinars of Bahrain": ("BHD", [line("0.005", "10")], "0.005", "0.000"),
    "a unit of account with four": ("CLF", [line("0.0001", "19", 3)], "0.0004", "0.0001"),
    "two rates in one basket": (
        "EUR",
        [line("10.00", "19"), line("10.00", "7", sku="b")],
        "22.60",
        "2.60",
    ),
    "the same rate is rounded line by line": (
        "EUR",
        [line("0.03", "19"), line("0.03", "19", sku="b")],
        "0.08",
        "0.02",
    ),
    "an exemption": ("EUR", [line("10.00", "0", tax_code="E")], "10.00", "0.00"),
    "reverse charge": ("EUR", [line("10.00", tax_code="AE")], "10.00", "0.00"),
    "the most there can be": ("EUR", [line("90071992547409.91")], "90071992547409.91", "0.00"),
}


@pytest.mark.parametrize(("currency", "lines", "total", "tax"), CASES.values(), ids=CASES)
def test_net_prices(currency, lines, total, tax):
    priced = quote(basket(*lines, currency=currency))
    assert (totals(priced)[2], totals(priced)[1]) == (total, tax)


INCLUSIVE = {
    "119 at 19 %": ("119.00", "19", "100.00", "19.00"),
    "100 at 19 %": ("100.00", "19", "84.03", "15.97"),
    "a cent": ("0.01", "19", "0.01", "0.00"),
    "nothing": ("0", "19", "0.00", "0.00"),
    "all of it twice": ("2.00", "100", "1.00", "1.00"),
    "no tax": ("9.99", "0", "9.99", "0.00"),
    "an odd rate": ("10.00", "25.5", "7.97", "2.03"),
    "half a cent of net": ("0.05", "100", "0.02", "0.03"),
}


@pytest.mark.parametrize(("price", "rate", "net", "tax"), INCLUSIVE.values(), ids=INCLUSIVE)
def test_gross_prices(price, rate, net, tax):
    priced = quote(basket(line(price, rate), prices_include_tax=True))
    assert totals(priced)[:2] == (net, tax)


@pytest.mark.parametrize(
    ("name", "net", "tax", "total", "rounding"),
    [
        ("line", "420.15", "79.85", "500.00", 0),
        ("sum_by_net", "420.15", "79.83", "499.98", -2),
        ("sum_by_net_keep_gross", "420.17", "79.83", "500.00", -2),
    ],
)
def test_five_times_a_hundred_with_19_percent_in_the_three_modes(name, net, tax, total, rounding):
    lines = [line("100.00", "19", sku=str(at)) for at in range(5)]
    priced = quote(basket(*lines, prices_include_tax=True), mode(name))
    assert (*totals(priced), priced.rounding_minor) == (net, tax, total, rounding)
    assert sum(each.rounding_minor for each in priced.lines) == rounding
    assert sum(each.gross_minor for each in priced.lines) == priced.total.amount_minor


def test_a_half_goes_up_where_the_rules_say_so():
    text = '[rounding]\nhalf = "half_up"\n'
    assert totals(quote(basket(line("0.10", "5")), text)) == ("0.10", "0.01", "0.11")
    assert totals(quote(basket(line("0.005")), text)) == ("0.01", "0.00", "0.01")


def test_taxes_are_summed_by_code_and_rate():
    priced = quote(
        basket(
            line("10.00", "19"),
            line("5.00", "7"),
            line("1.00", "19"),
            line("2.00"),
            line("3.00", tax_code="E"),
        )
    )
    assert [
        (each.tax.code, each.tax.rate, each.base_minor, each.tax_minor) for each in priced.taxes
    ] == [
        ("E", "0", 300, 0),
        ("S", "19", 1100, 209),
        ("S", "7", 500, 35),
        ("Z", "0", 200, 0),
    ]


@pytest.mark.parametrize("currency", sorted(money.EXPONENTS))
def test_every_currency_keeps_its_own_digits(currency):
    exponent = money.exponent_of(currency)
    smallest = f"{10**-exponent:.{exponent}f}"
    priced = quote(basket(line(smallest, "50", 3), currency=currency))
    assert (priced.net.amount_minor, priced.tax.amount_minor) == (3, 2)
    finer = f"{10 ** -(exponent + 1):.{exponent + 1}f}"
    assert quote(basket(line(finer, units=25), currency=currency)).total.amount_minor == 2


REFUSED = {
    "the guide: -1": (basket(line("-1", "10")), "lines[1].unit_price", "'-1' is not a plain"),
    "a word": (basket(line("abc")), "lines[1].unit_price", "'abc' is not a plain"),
    "thirteen decimals": (basket(line("0." + 13 * "0")), "lines[1].unit_price", "12 decimals"),
    "other scripts' digits": (basket(line("١")), "lines[1].unit_price", "not a plain"),
    "no price at all": (basket(line()), "lines[1].unit_price", "no price list has a price for 'a'"),
    "too large": (basket(line("90071992547409.92")), "lines[1].unit_price", "at most 9,007"),
    "too large together": (
        basket(line("90071992547409.91"), line("0.01", sku="b")),
        "amount",
        "at most 9,007",
    ),
    "no units": (basket(line("1"), line("1", units=0)), "lines[2].quantity", "from 1 to"),
    "less than none": (basket(line("1", units=-1)), "lines[1].quantity", "not -1"),
    "too many": (
        basket(line("1", units=10**9 + 1)),
        "lines[1].quantity",
        "from 1 to 1,000,000,000",
    ),
    "true": (basket(line("1", units=True)), "lines[1].quantity", "not True"),
    "a rate above all": (basket(line("1", "100.01")), "lines[1].tax_rate", "not a percentage"),
    "a rate below none": (basket(line("1", "-1")), "lines[1].tax_rate", "not a percentage"),
    "five decimals of a rate": (basket(line("1", "1.00001")), "lines[1].tax_rate", "not a perc"),
    "a taxed exemption": (
        basket(line("1", "19", tax_code="E")),
        "lines[1].tax_rate",
        "is not allowed with VAT category code E",
    ),
    "a standard rate of zero": (
        basket(line("1", "0", tax_code="S")),
        "lines[1].tax_rate",
        "zero rate is not allowed",
    ),
    "no code of taxes": (
        basket(line("1", tax_code="X")),
        "lines[1].tax_rate",
        "'X' is not a VAT category code",
    ),
    "two taxes": (
        basket(line("1", "19", tax_category="standard")),
        "lines[1].tax_category",
        "mutually exclusive",
    ),
    "a tax by category without a seller": (
        basket(line("1", tax_category="standard")),
        "lines[1].tax_category",
        "no seller.country",
    ),
    "nothing": (basket(), "lines", "at least one line"),
    "too many lines": (basket(*[line("1")] * (LINES_MAX + 1)), "lines", "at most 10,000"),
    "a coupon twice": (
        basket(line("1"), coupons=("A", "A")),
        "coupons",
        "at most 20 different coupons",
    ),
    "too many coupons": (
        basket(line("1"), coupons=tuple(map(str, range(COUPONS_MAX + 1)))),
        "coupons",
        "at most 20",
    ),
    "a coupon that nobody knows": (basket(line("1"), coupons=("A",)), "coupons", "unknown coupon"),
    "no country": (basket(line("1"), country="Germany"), "country", "ISO 3166-1"),
    "a small country": (basket(line("1"), country="de"), "country", "ISO 3166-1"),
    "a country of another script": (basket(line("1"), country="ÄÖ"), "country", "ISO 3166-1"),
}


@pytest.mark.parametrize(("asked", "param", "told"), REFUSED.values(), ids=REFUSED)
def test_refused(asked, param, told):
    with pytest.raises(errors.ValidationError, match=re.escape(told)) as caught:
        calculator.price(asked, day=DAY)
    assert caught.value.param == param


def test_an_unknown_currency_and_an_empty_basket_have_their_own_names():
    with pytest.raises(money.UnsupportedCurrency):
        quote(basket(line("1"), currency="EUX"))
    with pytest.raises(EmptyBasket):
        quote(basket())


def test_a_basket_is_read_from_json():
    text = b'{"currency": "EUR", "lines": [{"sku": "a", "unit_price": "1.00", "quantity": 2}]}'
    assert read(text) == basket(line("1.00", units=2))
    for wrong, param in {
        b'{"currency": "EUR", "lines": [{"sku": 1}]}': ".lines[0].sku",
        b'{"currency": "EUR", "lines": [], "colour": 1}': "basket",
        b"{": "basket",
        b'{"currency": "\xff"}': "basket",
    }.items():
        with pytest.raises(errors.ValidationError) as caught:
            read(wrong)
        assert caught.value.param == param.lstrip(".")


def test_the_quote_as_json_tells_every_step():
    told = quote(
        basket(line("100.00", "19", 2, description="A lamp"), prices_include_tax=True),
        '[[discounts]]\nname = "Sale"\npercent = "10"\n',
    ).to_json()
    assert told["total"] == {"amount": 18000, "currency": "EUR"}
    assert told["discount"]["amount"] == 2000
    assert told["taxes"] == [
        {
            "code": "S",
            "rate": "19",
            "reason": "",
            "base": {"amount": 15126, "currency": "EUR"},
            "tax": {"amount": 2874, "currency": "EUR"},
            "components": [],
        }
    ]
    [row] = told["lines"]
    assert (row["kind"], row["price_includes_tax"], row["list_price"]["amount"]) == (
        "item",
        True,
        20000,
    )
    assert row["discounts"] == [{"name": "Sale", "amount": {"amount": 2000, "currency": "EUR"}}]
    assert (row["net"]["amount"], row["tax"]["amount"], row["gross"]["amount"]) == (
        15126,
        2874,
        18000,
    )
