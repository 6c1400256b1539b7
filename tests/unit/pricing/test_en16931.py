"""The totals of public EN 16931 invoices: what was invoiced is what we calculate."""

from __future__ import annotations

import pytest

from tests.unit.pricing.baskets import basket, line, mode, quote, totals

# From the European Commission's validation artefacts (ConnectingEurope/eInvoicing-EN16931,
# ubl/examples): units, unit price, rate. Lines of goods sent back (negative) are not ours to sell.
INVOICES = {
    "BIS3_Invoice_positive": (
        "DKK",
        [(1, "625743.54", "25")],
        {"25": ("625743.54", "156435.89")},
        "782179.43",
    ),
    "sample-discount-price": (
        "EUR",
        [(100, "0.1212", "25")],
        {"25": ("12.12", "3.03")},
        "15.15",
    ),
    "ubl-tc434-example4": (
        "DKK",
        [(1000, "1.00", "25"), (100, "5.00", "25"), (500, "5.00", "12")],
        {"12": ("2500.00", "300.00"), "25": ("1500.00", "375.00")},
        "4675.00",
    ),
    "ubl-tc434-example8": (
        "EUR",
        # Prices for twelve units (a base quantity) are told for one.
        [
            (16000, "0.00880", "21"),
            (16000, "0.00101", "21"),
            (132, "1.27", "21"),
            (58, "1.53", "21"),
            (1, "36.75", "21"),
            (1, "56.50", "21"),
            (1, "83.34", "21"),
            (1, "190.31", "21"),
            (1, "64.21", "21"),
            (1, "64.46", "21"),
        ],
        {"21": ("908.91", "190.87")},
        "1099.78",
    ),
    "ubl-tc434-example9": ("EUR", [(3, "49.00", "21")], {"21": ("147.00", "30.87")}, "177.87"),
    "ubl-tc434-example3, its charge as a line": (
        "DKK",
        [(2, "400.00", "25"), (2, "400.00", "10"), (1, "100.00", "25")],
        {"10": ("800.00", "80.00"), "25": ("900.00", "225.00")},
        "2005.00",
    ),
    "ubl-tc434-example7": (
        "SEK",
        [(1, "2500.00", "O"), (1, "700.00", "O")],
        {"0": ("3200.00", "0.00")},
        "3200.00",
    ),
}


@pytest.mark.parametrize(
    ("currency", "rows", "breakdown", "total"), INVOICES.values(), ids=INVOICES
)
def test_the_vat_breakdown_of_public_invoices(currency, rows, breakdown, total):
    lines = [
        line(
            price,
            "0" if rate == "O" else rate,
            units,
            sku=str(at),
            tax_code="O" if rate == "O" else "",
        )
        for at, (units, price, rate) in enumerate(rows)
    ]
    priced = quote(basket(*lines, currency=currency), mode("sum_by_net") + 'half = "half_up"\n')
    assert totals(priced)[2] == total
    assert {
        each.tax.rate: (f"{each.base_minor / 100:.2f}", f"{each.tax_minor / 100:.2f}")
        for each in priced.taxes
    } == breakdown
