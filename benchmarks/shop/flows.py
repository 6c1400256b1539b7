"""Contestants: `django_payments` and `naive`, in as many processes and threads as they are figures."""

# Django is configured before its models are imported:
# ruff: noqa: E402
# Its settings are not those that mypy's plugin knows:
# mypy: ignore-errors

from __future__ import annotations

import hashlib
import json
import multiprocessing
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from benchmarks import metering

TASK = metering.task()

import django
from django.conf import settings


def _databases() -> dict[str, Any]:
    if not TASK["url"]:
        pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{TASK['folder']}/{TASK['name']}.sqlite3",
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "init_command": pragmas,
                "timeout": 60,
            },
        }
    from psycopg import conninfo

    parts = conninfo.conninfo_to_dict(TASK["url"])
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"],
        "USER": parts["user"],
        "HOST": parts["host"],
        "CONN_MAX_AGE": None,
    }


settings.configure(
    DATABASES={"default": _databases()},
    INSTALLED_APPS=["django.contrib.contenttypes", "payments", "benchmarks.shop"],
    PAYMENT_HOST="shop.invalid",
    PAYMENT_MODEL="shop.Payment",
    PAYMENT_VARIANTS={"default": ("payments.dummy.DummyProvider", {})},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    SECRET_KEY="benchmark",
    LOGGING_CONFIG=None,
)
django.setup()

from django.core.management import call_command
from django.db import connection, transaction
from payments import PaymentStatus

from benchmarks.shop import models

NET = Decimal("42.00")
TAX = Decimal("7.98")
TOTAL = NET + TAX
FEE_MINOR = 95


def _place(number: int) -> models.Order:
    with transaction.atomic():
        order = models.Order.objects.create(
            reference=f"o{number}", currency="EUR", total=TOTAL, idempotency_key=f"key/{number}"
        )
        models.OrderLine.objects.bulk_create(
            models.OrderLine(
                order=order,
                sku="a",
                description="thing",
                quantity=2,
                unit_price="10.50",
                tax_rate="19",
            )
            for _ in range(2)
        )
    return order


def django_payments(number: int) -> None:
    """Its own API, which commits as it goes; no intent row, no facts, no ledger, no queue."""
    order = _place(number)
    payment = models.Payment.objects.create(
        order=order, variant="default", currency="EUR", total=TOTAL, tax=TAX
    )
    payment.change_status(PaymentStatus.PREAUTH)  # what a buyer's visit to its form ends in
    payment.capture(TOTAL)
    payment.save(update_fields=["captured_amount"])  # which `capture` leaves to the caller


def naive(number: int) -> None:
    """One transaction a step: order, intent, (provider,) outcome with its ledger rows."""
    order = _place(number)
    amount = int(TOTAL * 100)
    intent = models.Intent.objects.create(order=order, amount_minor=amount, currency="EUR")
    reference = "ch_" + hashlib.sha256(str(intent.pk).encode()).hexdigest()[:20]
    with transaction.atomic():
        intent = models.Intent.objects.select_for_update().get(pk=intent.pk)
        intent.status, intent.reference = "captured", reference
        intent.save(update_fields=["status", "reference"])
        rows = (
            ("receivable:EUR", "sales:EUR", int(NET * 100)),
            ("receivable:EUR", "tax_payable:EUR", int(TAX * 100)),
            ("fees:EUR", "receivable:EUR", FEE_MINOR),
        )
        models.LedgerRow.objects.bulk_create(
            models.LedgerRow(intent=intent, debit=debit, credit=credit, amount_minor=minor)
            for debit, credit, minor in rows
        )
        order.status = "paid"
        order.save(update_fields=["status"])


FLOWS: dict[str, Callable[[int], None]] = {"django_payments": django_payments, "naive": naive}


def _work(flow: Callable[[int], None], numbers: list[int]) -> None:
    try:
        for number in numbers:
            flow(number)
    finally:
        connection.close()


def _process(threads: int, numbers: list[int], ready: Any) -> None:
    flow = FLOWS[TASK["flow"]]
    flow(-1 - numbers[0])  # opens the connection and fills Django's caches
    connection.close()
    ready.wait()
    working = [
        threading.Thread(target=_work, args=(flow, numbers[n::threads])) for n in range(threads)
    ]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()


def main() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    connection.close()
    processes, threads = TASK["processes"], TASK["threads"]
    fork = multiprocessing.get_context("fork")
    ready = fork.Barrier(processes + 1)
    numbers = list(range(TASK["orders"]))
    working = [
        fork.Process(target=_process, args=(threads, numbers[n::processes], ready))
        for n in range(processes)
    ]
    for process in working:
        process.start()
    ready.wait()
    meter = metering.Meter(TASK["server_pid"])
    for process in working:
        process.join()
    figures = meter.read()
    placed = models.Order.objects.count()
    assert placed == len(numbers) + processes, f"{placed} orders of {len(numbers)}"
    print(json.dumps({**figures, "orders": len(numbers)}))


if __name__ == "__main__":
    main()
