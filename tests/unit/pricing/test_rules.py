"""Rules and price lists: bad ones are refused with file, line and reason."""

from __future__ import annotations

import pytest

from bursar.pricing import rules
from bursar.pricing.rules import InvalidPricingRules
from tests.unit.pricing.baskets import basket, line, quote, totals

RATE = '[[rates]]\ncountry = "DE"\ncategory = "standard"\nrate = "19"\nvalid_from = 2020-01-01\n'
LIST = '[[price_lists]]\ncurrency = "EUR"\n'
ITEM = '[[price_lists.items]]\nsku = "a"\nprice = "1.00"\n'
OFF = '[[discounts]]\nname = "d"\n'
FEE = '[[fees]]\nmethod = "card"\nname = "Fee"\n'

BAD = {
    "no TOML": ("a = [", 1, "at end of document"),
    "an unknown key": (OFF + 'percnt = "5"\n', 3, "unknown field `percnt`"),
    "an unknown table": ("[tax]\n", 1, "unknown field `tax`"),
    "a number for a text": (OFF + "percent = 5\n", 3, "Expected `str`, got `int`"),
    "an unknown mode": ('[rounding]\nmode = "sum"\n', 2, "Invalid enum value 'sum'"),
    "a code that is none": (RATE + 'code = "X"\n', 6, "'X' is not a VAT category code"),
    "a rate with an exemption code": (
        RATE + 'code = "E"\n',
        6,
        "is not allowed with VAT category code E",
    ),
    "a rate that is none": (RATE.replace('"19"', '"190"'), 4, "not a percentage"),
    "no rate": (
        RATE.replace('rate = "19"\n', ""),
        1,
        "rate (in percent) or components is required",
    ),
    "no country": (RATE.replace("DE", "Germany"), 2, "is not an ISO 3166-1 code"),
    "no category": (RATE.replace("standard", "Full rate"), 3, "is not a category name"),
    "two rates from one day": (RATE + RATE, 6, "DE standard overlaps entry 1 of rates"),
    "a rate that lasts into the next": (
        RATE + "valid_until = 2021-01-01\n" + RATE.replace("2020-01-01", "2021-01-01"),
        7,
        "overlaps",
    ),
    "an end before its beginning": (
        RATE + "valid_until = 2019-01-01\n",
        6,
        "before valid_from (2020-01-01)",
    ),
    "the seller's country": ('[seller]\ncountry = "Germany"\n', 2, "is not an ISO 3166-1 code"),
    "where it is registered": (
        '[seller]\nregistered_in = ["GB", "x"]\n',
        2,
        "is not an ISO 3166-1 code",
    ),
    "an unknown currency": ('currencies = ["EUR", "EUX"]\n', 1, "'EUX' is not an active ISO 4217"),
    "a list in another currency": (
        'currencies = ["USD"]\n' + LIST + ITEM,
        3,
        "EUR is not in currencies",
    ),
    "two lists for the same": (LIST + ITEM + LIST + ITEM, 6, "EUR overlaps entry 1 of price_lists"),
    "a good twice": (LIST + ITEM + ITEM, 7, "'a' is empty or occurs twice"),
    "no price": (LIST + ITEM.replace('price = "1.00"\n', ""), 3, "price or tiers is required"),
    "a price that is none": (LIST + ITEM.replace("1.00", "-1"), 5, "not a plain decimal"),
    "a category of a good": (LIST + ITEM + 'tax_category = "Full"\n', 6, "is not a category name"),
    "tiers from 2": (
        LIST + '[[price_lists.items]]\nsku = "a"\ntiers = [{ units = 2, price = "1" }]\n',
        5,
        "units must begin at 1",
    ),
    "tiers that fall": (
        LIST + '[[price_lists.items]]\nsku = "a"\n'
        'tiers = [{ units = 1, price = "1" }, { units = 1, price = "2" }]\n',
        5,
        "and increase",
    ),
    "a tier's price": (
        LIST + '[[price_lists.items]]\nsku = "a"\ntiers = [{ units = 1, price = "x" }]\n',
        5,
        "not a plain decimal",
    ),
    "no kind": (OFF, 2, "exactly one of"),
    "two kinds": (OFF + 'percent = "1"\ntake = 3\npay = 2\n', 2, "exactly one of"),
    "no name": (OFF.replace('"d"', '""') + 'percent = "1"\n', 2, "name must have 1 to 120"),
    "a name twice": (OFF + 'percent = "1"\n' + OFF + 'percent = "2"\n', 5, "'d' occurs twice"),
    "an amount without currency": (OFF + 'amount = "1.00"\n', 3, "an amount requires currency"),
    "an amount of nothing": (OFF + 'amount = "0.00"\ncurrency = "EUR"\n', 3, "must be positive"),
    "an amount too fine": (OFF + 'amount = "1.001"\ncurrency = "EUR"\n', 3, "has 3 decimals"),
    "a coupon in another currency": (
        'currencies = ["EUR"]\n' + OFF + 'coupon = "C"\namount = "1.00"\ncurrency = "USD"\n',
        6,
        "USD is not in currencies",
    ),
    "a minimum without currency": (
        OFF + 'percent = "1"\nminimum = "5"\n',
        4,
        "an amount requires currency",
    ),
    "a percentage above all": (OFF + 'percent = "101"\n', 3, "not a percentage"),
    "3 for 3": (OFF + "take = 3\npay = 3\n", 3, "0 < pay < take"),
    "3 for nothing": (OFF + "take = 3\n", 3, "0 < pay < take"),
    "falling tiers": (
        OFF + 'tiers = [{ units = 5, percent = "1" }, { units = 4, percent = "2" }]\n',
        3,
        "and increase",
    ),
    "a tier's percentage": (OFF + 'tiers = [{ units = 5, percent = "x" }]\n', 3, "percentage"),
    "a limit without coupon": (OFF + 'percent = "1"\nlimit = 5\n', 4, "requires coupon"),
    "a limit of none": (OFF + 'percent = "1"\ncoupon = "C"\nlimit = 0\n', 5, "at least 1"),
    "a long coupon": (OFF + f'percent = "1"\ncoupon = "{61 * "C"}"\n', 4, "at most 60 characters"),
    "days of a discount": (
        OFF + 'percent = "1"\nvalid_from = 2026-01-02\nvalid_until = 2026-01-01\n',
        5,
        "before",
    ),
    "a fee of all": (FEE + 'percent = "100"\n', 4, "percent must be less than 100"),
    "a fee's percentage": (FEE + 'percent = "x"\n', 4, "not a percentage"),
    "a fixed fee without currency": (FEE + 'fixed = "1.00"\n', 4, "an amount requires currency"),
    "a fee's two taxes": (FEE + 'tax_rate = "1"\ntax_category = "a"\n', 4, "mutually exclusive"),
    "a fee's rate": (FEE + 'tax_rate = "x"\n', 4, "not a percentage"),
    "a fee twice": (FEE + FEE, 5, "'card' already has a fee"),
    "a dotted key": ('# the shop\n\nseller.country = "Germany"\n', 3, "is not an ISO 3166-1 code"),
    "a quoted key": ('\n"seller" = { country = "Germany" }\n', 1, "is not an ISO 3166-1 code"),
    "a fee's currency": (FEE + 'currency = "EUX"\n', 4, "not an active ISO 4217"),
}


@pytest.mark.parametrize(("text", "at", "reason"), BAD.values(), ids=BAD)
def test_bad_rules_are_refused_with_file_line_and_reason(text, at, reason):
    with pytest.raises(InvalidPricingRules) as caught:
        rules.parse(text, name="prices.toml")
    told = caught.value.message
    assert reason in told
    assert told.startswith(
        f"prices.toml, line {at}:" if "document" not in reason else "prices.toml:"
    )


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidPricingRules, match="cannot be read"):
        rules.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe4\n")
    with pytest.raises(InvalidPricingRules, match="not UTF-8"):
        rules.load(tmp_path / "latin.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (rules.RULES_BYTES_MAX + 1))
    with pytest.raises(InvalidPricingRules, match="larger than"):
        rules.load(tmp_path / "large.toml")


def test_a_file_is_read_and_named_by_its_content(tmp_path):
    (tmp_path / "prices.toml").write_text(RATE, "utf-8")
    loaded = rules.load(tmp_path / "prices.toml")
    assert loaded.digest == rules.parse(RATE, name="another").digest
    assert rules.parse("", name="x").digest != loaded.digest


PRICES = """
[seller]
country = "DE"

[[price_lists]]
currency = "EUR"
includes_tax = true
[[price_lists.items]]
sku = "pen"
price = "11.90"
tax_category = "standard"
[[price_lists.items]]
sku = "ink"
tiers = [{ units = 1, price = "5.00" }, { units = 10, price = "4.00" }]
[[price_lists.items]]
sku = "paper"
tiering = "graduated"
tiers = [{ units = 1, price = "5.00" }, { units = 10, price = "4.00" }, { units = 20, price = "3" }]

[[price_lists]]
currency = "EUR"
groups = ["trade"]
valid_until = 2026-12-31
[[price_lists.items]]
sku = "pen"
price = "8.00"
tax_category = "standard"
"""


@pytest.mark.parametrize(
    ("sku", "units", "total"),
    [
        ("pen", 1, "11.90"),
        ("ink", 9, "45.00"),
        ("ink", 10, "40.00"),
        ("paper", 1, "5.00"),
        ("paper", 9, "45.00"),
        ("paper", 10, "49.00"),
        ("paper", 19, "85.00"),
        ("paper", 20, "88.00"),
        ("paper", 30, "118.00"),
    ],
)
def test_a_price_list_has_the_price(sku, units, total):
    assert totals(quote(basket(line(sku=sku, units=units)), PRICES))[2] == total


def test_a_group_has_its_own_list_and_the_general_one_for_the_rest():
    priced = quote(basket(line(sku="pen"), line(sku="ink"), customer_group="trade"), PRICES)
    assert [each.includes_tax for each in priced.lines] == [False, True]
    assert totals(priced)[2] == "14.52"


def test_a_list_ends():
    from datetime import date

    asked = basket(line(sku="pen"), customer_group="trade")
    assert totals(quote(asked, PRICES, day=date(2026, 12, 31)))[2] == "9.52"
    assert totals(quote(asked, PRICES, day=date(2027, 1, 1)))[2] == "11.90"


def test_what_is_given_goes_before_what_is_listed():
    priced = quote(basket(line("1.00", sku="pen")), PRICES)
    assert (totals(priced), priced.lines[0].tax.rate) == (("1.00", "0.19", "1.19"), "19")
    assert totals(quote(basket(line("1.00", "7", sku="pen")), PRICES))[2] == "1.07"
    priced = quote(basket(line(sku="pen", tax_category="reduced")), PRICES)
    assert (totals(priced)[2], priced.lines[0].tax.rate) == ("11.90", "7")


def test_another_currency_has_no_price():
    from bursar.pricing.calculator import PriceNotFound

    with pytest.raises(PriceNotFound, match="no price list has a price for 'pen'"):
        quote(basket(line(sku="pen"), currency="USD"), PRICES)
