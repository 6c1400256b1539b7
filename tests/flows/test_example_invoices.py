from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from bursar import group_commit
from bursar.imports import mapping
from bursar.money import EXPONENTS, Money
from bursar.orders import imports
from bursar.orders.models import Order, OrderLine
from bursar.payments import provider_accounts
from bursar.payments.models import Payment
from bursar.providers.sandbox import scenarios
from tests.conftest import Database

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE_FILES = sorted((EXAMPLES / "invoices").glob("*.csv"))


def by_hand() -> tuple[int, int, Mapping[str, Decimal]]:
    """Orders, lines and sums of the example files, without any of Bursar's code."""
    orders, lines, sums = set(), 0, defaultdict[str, Decimal](Decimal)
    for path in EXAMPLE_FILES:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                quantity, price = int(row["quantity"]), Decimal(row["unit_price"])
                if row["invoice"].startswith("CN-") or quantity <= 0 or price <= 0:
                    continue
                unit = Decimal(1).scaleb(-EXPONENTS[row["currency"]])
                tax = (quantity * price * Decimal(row["vat_percent"]) / 100).quantize(
                    unit, rounding=ROUND_HALF_EVEN
                )
                orders.add(row["invoice"])
                lines += 1
                sums[row["currency"]] += quantity * price + tax
    return len(orders), lines, sums


def test_the_example_invoices(database: Database) -> None:
    group_commit.commits.run_blocking(
        lambda: provider_accounts.create_account(
            name="sandbox", provider="sandbox", config={}, now=NOW
        )
    )
    how = mapping.load(EXAMPLES / "invoices" / "mapping.toml")

    reports = [
        imports.import_file(path=path, mapping=how, provider_account="sandbox", now=NOW)
        for path in EXAMPLE_FILES
    ]

    sums: Counter[str] = Counter()
    for report in reports:
        sums += Counter({money.currency: money.amount_minor for money in report.sums})
    orders, lines, expected = by_hand()
    assert sum(report.orders for report in reports) == orders == Order.objects.count() == 105
    assert sum(report.lines for report in reports) == lines == OrderLine.objects.count()
    assert {c: Money(minor, c).amount for c, minor in sums.items()} == expected
    assert set(sums) == {"CHF", "EUR", "GBP", "JPY", "KWD", "USD"}
    assert [len(report.credit_notes) for report in reports] == [3, 3]
    assert Counter(row.reason for report in reports for row in report.unsellable) == {
        "price_not_positive": 2,
        "quantity_not_positive": 2,
    }
    methods = set(Payment.objects.values_list("payment_method_token", flat=True))
    # That one is turned away whenever it is tried, so it would never come to an end.
    assert methods == set(scenarios.SCENARIOS) - {"tok_unavailable"}
