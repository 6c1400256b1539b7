from __future__ import annotations

import csv
import gzip
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db.models import Sum

from bursar.imports import mapping
from bursar.imports.models import ImportedFile
from bursar.money import Money
from bursar.orders import importing
from bursar.orders.models import Order, OrderLine
from tests.conftest import Database

MAPPING = Path(__file__).parents[2] / "examples" / "mappings" / "online-retail.toml"
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


def test_ten_days_of_a_real_shop(database: Database, retail: list[Path]) -> None:
    how = mapping.load(MAPPING)
    expected = [by_hand(path) for path in retail]

    reports = [importing.import_file(path=path, mapping=how, now=NOW) for path in retail]

    for report, (invoices, lines, total, credit_notes, unsellable) in zip(
        reports, expected, strict=True
    ):
        assert (report.orders, report.orders_known, report.lines) == (len(invoices), 0, lines)
        assert report.sums == (Money.parse(str(total), "GBP"),)
        assert (len(report.credit_notes), len(report.unsellable)) == (credit_notes, unsellable)
    assert Order.objects.count() == len(set.union(*(day[0] for day in expected)))
    assert OrderLine.objects.count() == sum(day[1] for day in expected)
    stored = Order.objects.aggregate(sum=Sum("total_minor"))["sum"]
    assert Money(int(stored), "GBP").amount == sum(day[2] for day in expected)
    assert sum(day[1] + day[3] + day[4] for day in expected) == 26_732

    later = NOW + timedelta(days=1)
    again = [importing.import_file(path=path, mapping=how, now=later) for path in retail]

    assert all(report.already_imported for report in again)
    assert [report.sums for report in again] == [report.sums for report in reports]
    assert ImportedFile.objects.count() == 10
    assert Order.objects.count() == sum(report.orders for report in reports)
    assert OrderLine.objects.count() == sum(day[1] for day in expected)
