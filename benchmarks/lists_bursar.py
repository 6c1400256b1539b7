"""Contestant: list pages of the back office over tables of many rows, by Django requests."""

# The environment is set before Bursar is imported:
# ruff: noqa: E402

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from typing import Any

from benchmarks import metering

TASK = metering.task()
os.environ["BURSAR_HOME"] = tempfile.mkdtemp(prefix="home-", dir=TASK["folder"])
os.environ["BURSAR_LOG_LEVEL"] = "ERROR"
os.environ["DJANGO_SETTINGS_MODULE"] = "bursar.settings"
if TASK["url"]:
    os.environ["BURSAR_DATABASE_URL"] = TASK["url"]

import django

django.setup()

from django.core.management import call_command
from django.db import connection, models
from django.test import RequestFactory

from bursar import clock, group_commit, ids, job_handlers, logs
from bursar.access import api_keys, idempotency, users
from bursar.access.models import User
from bursar.admin import model_admins
from bursar.admin.site import site
from bursar.decorators import acting_as
from bursar.orders import operations
from bursar.payments import provider_accounts, refunds, reviews
from bursar.payments.models import Payment, Refund, RefundApproval
from bursar.pricing.baskets import Line
from bursar.providers import standard_webhooks
from bursar.providers.sandbox import SandboxProvider
from bursar.queue import jobs, worker
from bursar.webhooks import inbox

#: What must differ from row to row, besides the key; {n} is the row's number.
DIFFERENT = {
    "Order": {"idempotency_key": "'k' || {n}", "reference": "'R-' || {n}"},
    "Payment": {"order_id": "'ord_' || {n}"},
    "Refund": {"idempotency_key": "NULL", "payment_id": "'pay_' || {n}"},
    "RefundApproval": {"refund_id": "'re_' || {n}"},
    "Review": {"subject": "'s' || {n}", "payment_id": "'pay_' || {n}"},
    "Fact": {"reference": "'ch_' || {n}"},
    "WebhookEvent": {"event_id": "'ev_' || {n}"},
    "Job": {"unique_key": "NULL", "state": "'delayed'"},
    "AuditEntry": {"subject": "'s' || {n}"},
    "Transfer": {"subject": "'pay_' || {n}"},
}


def commit(member: Any) -> Any:
    return group_commit.commits.run_blocking(member)


def one_of_each() -> None:
    """A shop with one order, paid and refunded, and a person: what the many rows are copies of."""
    now = clock.now()
    commit(
        lambda: provider_accounts.create_account(
            name="eu", provider="sandbox", config={"durable": False}, now=now
        )
    )
    order = operations.NewOrder(
        reference="R",
        currency="EUR",
        idempotency_key="k",
        placed_at=now,
        provider_account="eu",
        method="tok_visa",
        lines=[Line(sku="", description="x", quantity=1, unit_price="9")],
    )
    commit(lambda: operations.place_order(order, order_id="ord_x", payment_id="pay_x", now=now))
    run_jobs()
    commit(
        lambda: refunds.create_refund(refund_id="re_x", payment_id="pay_x", amount=None, now=now)
    )
    run_jobs()
    provider = provider_accounts.get("eu")
    assert isinstance(provider, SandboxProvider)
    (key, *_) = standard_webhooks.parse_keys(provider.config.webhook_secret)
    delivery = provider.simulator.deliveries(key, after=0, at=now)[0]
    inbox.receive_sync(provider_account="eu", headers=delivery.headers, body=delivery.body)
    commit(rest)


def rest() -> None:
    now = clock.now()
    users.create_user(email="a@b", name="A", role="admin", password_hash="!", now=now)
    api_keys.create(
        key_id=ids.new("key"), token="bk_test_x", name="n", scopes=["orders:read"], now=now
    )
    reviews.create_review(code="c", subject="s", payment_id="pay_x", detail={}, now=now)
    jobs.enqueue("charge", {}, now=now)
    idempotency.prune(now=now, rows_max=1_000)
    RefundApproval.objects.create(refund=Refund.objects.get(), requested_by="a", requested_at=now)


def run_jobs() -> None:
    provider_accounts.run_sync(worker.Worker(job_handlers.HANDLERS).run(until_empty=True))


def multiply(model: type[models.Model], rows: int) -> None:
    """Copy one row of *model* until there are *rows*."""
    meta = model._meta
    values = dict(DIFFERENT[model.__name__])
    if not isinstance(meta.pk, models.BigAutoField):
        prefix = {"Order": "ord", "Payment": "pay", "Refund": "re", "Review": "rev"}[model.__name__]
        values[str(meta.pk.column)] = f"'{prefix}_' || {{n}}"
    columns = [
        str(f.column) for f in meta.concrete_fields if not isinstance(f, models.BigAutoField)
    ]
    expressions = ", ".join(values.get(c, f"t.{c}").format(n="n.n") for c in columns)
    numbers = (
        f"WITH RECURSIVE n(n) AS (SELECT 100000000 UNION ALL SELECT n + 1 FROM n "
        f"WHERE n < {100_000_000 + rows - 2})"
    )
    statement = (
        f"{numbers} INSERT INTO {meta.db_table} ({', '.join(columns)}) SELECT {expressions} "
        f"FROM (SELECT * FROM {meta.db_table} LIMIT 1) t, n"
    )
    if connection.vendor == "sqlite":
        statement = (
            f"INSERT INTO {meta.db_table} ({', '.join(columns)}) {numbers} SELECT {expressions} "
            f"FROM (SELECT * FROM {meta.db_table} LIMIT 1) t, n"
        )
    with connection.cursor() as cursor:
        cursor.execute(statement)


def opened(model: type[models.Model], query: str = "") -> float:
    """Milliseconds to answer one request for a list, from the request to its last byte."""
    person = User.objects.get(email="a@b")
    request = RequestFactory().get(f"/bursar/{model._meta.model_name}/{query}")
    request.user = person
    began = time.perf_counter()
    with acting_as(users.principal_of(person)):
        answer = site._registry[model].changelist_view(request)
        answer.render()
    assert answer.status_code == 200
    return 1e3 * (time.perf_counter() - began)


def counted(model: type[models.Model]) -> float:
    """What Django's own list would ask besides: how many rows there are, twice."""
    began = time.perf_counter()
    model._default_manager.count()
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    logs.configure(level="ERROR")
    call_command("migrate", verbosity=0)
    one_of_each()
    assert Payment.objects.get().refunded_minor
    for name in DIFFERENT:
        [model] = [m for m in model_admins.LISTS if m.__name__ == name]
        multiply(model, TASK["orders"])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    figures = {}
    for model in model_admins.LISTS:
        opened(model)
        figures[model.__name__] = {
            "ms": statistics.median(opened(model) for _ in range(5)),
            "count_ms": statistics.median(counted(model) for _ in range(3)),
        }
    print(json.dumps({"orders": 1, "lists": figures}))
    sys.stdout.flush()
    group_commit.commits.close()


if __name__ == "__main__":
    main()
