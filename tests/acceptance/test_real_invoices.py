from __future__ import annotations

import asyncio
import csv
import gzip
import os
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db.models import Sum

from bursar.imports import mapping
from bursar.imports.models import ImportedFile
from bursar.ledger import balances
from bursar.money import Money
from bursar.orders import imports
from bursar.orders.models import Order, OrderLine
from bursar.payments.models import Payment
from bursar.verify import checks
from tests.conftest import Database
from tests.shop import ACCOUNT, Shop

MAPPING = Path(__file__).parents[2] / "examples" / "mappings" / "online-retail.toml"
RECEIVABLE_GBP = f"receivable/{ACCOUNT}:GBP"
NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def retail() -> list[Path]:
    """The files of `retail/` in the folder of real data."""
    folder = os.environ.get("BURSAR_REAL_DATA")
    if not folder:
        pytest.skip("BURSAR_REAL_DATA is not set: real invoices are not imported")
    files = sorted((Path(folder) / "retail").glob("*.csv.gz"))
    assert len(files) == 10
    return files


def by_hand(path: Path) -> tuple[set[str], int, Decimal, int, int]:
    """Invoices, lines and sum sold; rows of credit notes; other rows: without Bursar's code."""
    invoices, lines, total, credit_notes, unsellable = set(), 0, Decimal(0), 0, 0
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            quantity, price = int(row["Quantity"]), Decimal(row["UnitPrice"])
            if row["InvoiceNo"].startswith("C"):
                credit_notes += 1
            elif quantity <= 0 or price <= 0 or not row["Description"]:
                unsellable += 1
            else:
                invoices.add(row["InvoiceNo"])
                lines += 1
                total += quantity * price
    return invoices, lines, total, credit_notes, unsellable


def test_ten_days_of_a_real_shop(shop: Shop, database: Database, retail: list[Path]) -> None:
    if database.name == "postgres":
        retail = retail[-2:]  # the whole would take too long; what differs is the database only
    how = mapping.load(MAPPING)
    expected = [by_hand(path) for path in retail]

    reports = [place(path, how, NOW) for path in retail]

    for report, (invoices, lines, total, credit_notes, unsellable) in zip(
        reports, expected, strict=True
    ):
        assert (report.orders, report.existing_orders, report.lines) == (len(invoices), 0, lines)
        assert report.sums == (Money.parse(str(total), "GBP"),)
        assert (len(report.credit_notes), len(report.unsellable)) == (credit_notes, unsellable)
    assert Order.objects.count() == len(set.union(*(day[0] for day in expected)))
    assert OrderLine.objects.count() == sum(day[1] for day in expected)
    if len(retail) == 10:
        assert sum(day[1] + day[3] + day[4] for day in expected) == 26_732

    again = [place(path, how, NOW + timedelta(days=1)) for path in retail]

    assert all(report.already_imported for report in again)
    assert [report.sums for report in again] == [report.sums for report in reports]
    assert ImportedFile.objects.count() == len(retail)
    assert Order.objects.count() == sum(report.orders for report in reports)
    assert OrderLine.objects.count() == sum(day[1] for day in expected)

    assert shop.run_jobs() == {("charge", "done"): Order.objects.count()}

    total_minor = Money.parse(str(sum(day[2] for day in expected)), "GBP").amount_minor
    charged = Payment.objects.aggregate(sum=Sum("captured_minor"))["sum"]
    assert charged == total_minor
    assert balances.balances() == {RECEIVABLE_GBP: total_minor, "sales:GBP": -total_minor}
    assert asyncio.run(shop.provider.balances()) == {"GBP": total_minor}
    assert broken() == []

    refunded = refund_a_tenth(shop)

    assert balances.balances() == {
        RECEIVABLE_GBP: total_minor - refunded,
        "sales:GBP": -total_minor,
        "sales_returns:GBP": refunded,
    }
    assert broken() == []


def place(path: Path, how: mapping.InvoiceMapping, now: datetime) -> imports.ImportReport:
    return imports.import_file(
        path=path, mapping=how, now=now, provider_account=ACCOUNT, method="tok_visa"
    )


def refund_a_tenth(shop: Shop) -> int:
    """Refund a random tenth of the payments, some of them in part; returns the sum."""
    choice = random.Random(10)
    payments = list(Payment.objects.order_by("order__reference"))
    refunded = 0
    for payment in choice.sample(payments, len(payments) // 10):
        amount_minor = choice.choice([payment.amount_minor, 1 + payment.amount_minor // 3])
        shop.refund(payment, amount_minor)
        refunded += amount_minor
    shop.run_jobs()
    return refunded


def broken() -> list[checks.CheckResult]:
    return [finding for finding in checks.run_checks() if not finding.holds]
