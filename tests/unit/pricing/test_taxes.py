"""Which tax a sale has, and how it is told."""

from __future__ import annotations

from datetime import date

import pytest

from bursar import errors
from bursar.pricing import rules, taxes
from bursar.pricing.rounding import HalfRounding
from bursar.pricing.taxes import InvalidVatId, Supply, TaxCode, TaxComponent, TaxRateNotFound
from tests.unit.pricing.baskets import DAY, basket, line, mode, quote, totals

GERMAN = '[seller]\ncountry = "DE"\nregistered_in = ["GB"]\n'
#: Numbers of the right form, as the authorities publish them in examples.
NUMBERS = {
    "AT": "ATU13585627",
    "FR": "FR40303265045",
    "CH": "CHE-107.787.577 IVA",
    "NO": "NO 995 525 828 MVA",
    "GB": "GB980780684",
    "GR": "EL094259216",
}


def taxed(
    country: str = "",
    vat_id: str = "",
    *,
    supply: Supply = Supply.GOODS,
    text: str = GERMAN,
    day: date = DAY,
    category: str = "standard",
) -> tuple[str, str, str]:
    asked = basket(
        line("10.00", tax_category=category, supply=supply), country=country, vat_id=vat_id
    )
    tax = quote(asked, text, day=day).lines[0].tax
    return tax.code, tax.rate, tax.reason


PLACES = {
    "at home": (("", ""), ("S", "19", "")),
    "at home, by name": (("DE", ""), ("S", "19", "")),
    "a business at home": (("DE", "DE136695976"), ("S", "19", "")),
    "a consumer in France": (("FR", ""), ("S", "20", "")),
    "a business in France": (("FR", NUMBERS["FR"]), ("K", "0", "VATEX-EU-IC")),
    "a business, its country by its number": (("", NUMBERS["AT"]), ("K", "0", "VATEX-EU-IC")),
    "a business in Greece, whose numbers begin with EL": (
        ("GR", NUMBERS["GR"]),
        ("K", "0", "VATEX-EU-IC"),
    ),
    "a consumer in Switzerland": (("CH", ""), ("G", "0", "VATEX-EU-G")),
    "a business in Switzerland": (("CH", NUMBERS["CH"]), ("G", "0", "VATEX-EU-G")),
    "where the seller is registered": (("GB", ""), ("S", "20", "")),
    "somewhere else": (("US", ""), ("G", "0", "VATEX-EU-G")),
}


@pytest.mark.parametrize(("place", "expected"), PLACES.values(), ids=PLACES)
def test_goods_from_germany(place, expected):
    assert taxed(*place) == expected


def test_services_are_taxed_elsewhere():
    services = Supply.SERVICES
    assert taxed("FR", NUMBERS["FR"], supply=services) == ("AE", "0", "VATEX-EU-AE")
    assert taxed("US", supply=services) == ("O", "0", "VATEX-EU-O")
    assert taxed("FR", supply=services) == ("S", "20", "")


def test_a_small_seller_charges_its_own_rate_in_the_union():
    assert taxed("FR", text='[seller]\ncountry = "DE"\neu_consumers = "origin"\n')[1] == "19"


def test_a_seller_outside_the_union_exports():
    assert taxed("DE", text='[seller]\ncountry = "NO"\n') == ("G", "0", "VATEX-EU-G")
    assert taxed("", text='[seller]\ncountry = "NO"\n') == ("S", "25", "")


@pytest.mark.parametrize(
    ("day", "rate"),
    [
        (date(2020, 6, 30), "19"),
        (date(2020, 7, 1), "16"),
        (date(2020, 12, 31), "16"),
        (date(2021, 1, 1), "19"),
    ],
)
def test_the_rate_is_that_of_the_day(day, rate):
    assert taxed(day=day)[1] == rate


def test_a_rate_that_ended_is_none():
    text = GERMAN + (
        '[[rates]]\ncountry = "DE"\ncategory = "standard"\nrate = "19"\n'
        "valid_from = 2020-01-01\nvalid_until = 2020-12-31\n"
    )
    assert taxed(text=text, day=date(2020, 12, 31))[1] == "19"
    for day in (date(2021, 1, 1), date(2019, 12, 31)):
        with pytest.raises(TaxRateNotFound, match="'standard' in 'DE'"):
            taxed(text=text, day=day)


def test_a_merchants_rate_replaces_the_shipped_one_of_that_country_and_category():
    text = GERMAN + (
        '[[rates]]\ncountry = "DE"\ncategory = "standard"\nrate = "0"\ncode = "E"\n'
        'reason = "VATEX-EU-132"\nvalid_from = 2020-01-01\n'
    )
    assert taxed(text=text) == ("E", "0", "VATEX-EU-132")
    assert taxed(text=text, category="reduced")[1] == "7"
    with pytest.raises(TaxRateNotFound):
        taxed(text="shipped_rates = false\n" + GERMAN)


def test_a_number_of_another_country_is_refused():
    with pytest.raises(InvalidVatId, match="is not of FR") as caught:
        taxed("FR", "DE136695976")
    assert caught.value.param == "vat_id"


@pytest.mark.parametrize("country", NUMBERS)
def test_vat_numbers_tell_their_country(country):
    assert taxes.country_of(NUMBERS[country]) == country


@pytest.mark.parametrize(
    "number", ["DE136695977", "XX123", "DE", "", "GB980780685", "CHE-1", "NO1"]
)
def test_what_is_no_vat_number(number):
    with pytest.raises(InvalidVatId, match="is not a valid VAT number"):
        taxes.country_of(number)


def test_northern_ireland_is_told_by_its_prefix():
    assert taxes.country_of("XI980780684") == "GB"


def test_compound_taxes_are_charged_on_those_before():
    parts = (
        TaxComponent(name="GST", rate="5"),
        TaxComponent(name="QST", rate="9.5", compound=True),
    )
    tax = taxes.make_tax("", components=parts)
    assert (tax.rate, tax.on(10_000, HalfRounding.EVEN)) == ("14.975", [500, 998])
    assert tax.net_of(11_498, HalfRounding.EVEN) == 10_000


COMPOUND = """
[seller]
country = "CA"
[[rates]]
country = "CA"
category = "standard"
valid_from = 2013-01-01
components = [{ name = "GST", rate = "5" }, { name = "QST", rate = "9.5", compound = true }]
"""


@pytest.mark.parametrize("name", ["line", "sum_by_net", "sum_by_net_keep_gross"])
@pytest.mark.parametrize("inclusive", [False, True])
def test_the_parts_of_a_tax_sum_to_it(name, inclusive):
    lines = [line("9.99", tax_category="standard", sku=str(at)) for at in range(7)]
    priced = quote(basket(*lines, prices_include_tax=inclusive), COMPOUND + mode(name))
    [total] = priced.taxes
    assert sum(total.component_minors) == total.tax_minor == priced.tax.amount_minor
    for each in priced.lines:
        assert sum(each.component_minors) == each.tax_minor
    [told] = priced.to_json()["taxes"]
    assert [(part["name"], part["tax"]["currency"]) for part in told["components"]] == [
        ("GST", "EUR"),
        ("QST", "EUR"),
    ]
    if inclusive and name != "sum_by_net":
        assert totals(priced)[2] == "69.93"


def test_codes_and_rates_go_together():
    for code in TaxCode:
        if code is TaxCode.STANDARD:
            assert taxes.make_tax("19", code).code is code
        else:
            assert taxes.make_tax("0", code).code is code
    with pytest.raises(errors.ValidationError, match="has rate or components"):
        taxes.make_tax("19", components=(TaxComponent(name="a", rate="1"),))


def test_the_shipped_rates_cover_what_they_say():
    rates = rules.shipped_rates()
    for country in taxes.EU | {"GB", "CH", "NO"}:
        tax = taxes.rate_on(rates, country, "standard", DAY)
        assert tax.code is TaxCode.STANDARD
        if country != "DK":
            assert taxes.rate_on(rates, country, "reduced", DAY).on(
                10**6, HalfRounding.UP
            ) < tax.on(10**6, HalfRounding.UP)
    assert taxes.rate_on(rates, "GB", "zero", DAY).code is TaxCode.ZERO
