"""What must never be false is refused by both databases, whoever writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

import pytest
from django.apps import apps
from django.core import management
from django.db import DataError, IntegrityError, ProgrammingError, connection, models

from bursar import clock, fields, group_commit, ids, triggers
from bursar.access import api_keys, idempotency, users
from bursar.dashboard.models import Alert, HistoryBucket, LeaderLease, Monitor, SourceState
from bursar.imports.models import ImportedFile
from bursar.money import MINOR_MAX
from bursar.orders import refunds as refunding_lines
from bursar.orders.models import CouponUsage
from bursar.payments import reviews
from bursar.payments.models import Refund, RefundApproval, Review
from bursar.queue import jobs
from bursar.queue.models import PeriodicJobStatus
from bursar.reconciliation.models import (
    MatchedEntry,
    Reconciliation,
    SettlementBreak,
    SettlementReportLine,
)
from tests.conftest import Database
from tests.shop import ACCOUNT, Shop, commit

MODELS = {model.__name__: model for model in apps.get_app_config("bursar").get_models()}


@pytest.fixture
def shop(database: Database, closing: None) -> Shop:
    """A shop with at least one row in every table."""
    shop = Shop(fee_basis_points=150)
    payment = shop.paid()
    commit(
        lambda: refunding_lines.refund_lines(
            order_id=payment.order_id,
            quantities={1: 1},
            refund_id=ids.new(ids.REFUND),
            now=clock.now(),
            idempotency_key="back",
        )
    )
    shop.deliver(shop.deliveries()[:1])
    shop.run_jobs()
    commit(_extras)
    empty = [name for name, model in MODELS.items() if not model._default_manager.exists()]
    assert empty == []
    return shop


def _extras() -> None:
    now = clock.now()
    ImportedFile.objects.create(digest="d", name="n", purpose="orders", report={}, imported_at=now)
    reviews.create_review(code="c", subject="s", payment_id=None, detail={}, now=now)
    reviews.close(code="c", subject="s", resolution="done", now=now)
    jobs.enqueue("charge", {}, now=now, unique_key="one")
    PeriodicJobStatus.objects.create(
        name="prune", schedule="every hour", next_run_at=now, created_at=now
    )
    users.create_user(email="a@b", name="A", role="viewer", password_hash="!", now=now)
    api_keys.create(key_id="key_1", token="bk_test_x", name="n", scopes=["orders:read"], now=now)
    api_keys.revoke(key_id="key_1", now=now)
    idempotency.run_once(
        caller="c",
        key="k",
        fingerprint="f",
        now=now,
        make=lambda: idempotency.StoredResponse(200, b""),
    )
    run = Reconciliation.objects.create(
        id="rec_1", provider_account_id=ACCOUNT, period_end=now, totals=[], created_at=now
    )
    amounts = {"gross_minor": 100, "fee_minor": 10}
    moved = {"category": "charge", "source": "ch_1"}
    SettlementReportLine.objects.create(
        provider_account_id=ACCOUNT,
        reference="txn_1",
        currency="EUR",
        net_minor=90,
        paid_minor=100,
        paid_currency="USD",
        occurred_at=now,
        loaded_at=now,
        reconciliation=run,
        match_status="matched",
        **moved,
        **amounts,
    )
    MatchedEntry.objects.create(reconciliation=run, provider_account_id=ACCOUNT, **moved, **amounts)
    SettlementBreak.objects.create(
        reconciliation=run, match_status="late", currency="EUR", reason="new", **moved
    )
    CouponUsage.objects.create(code="SPRING", use_count=2)
    _watched(now)
    RefundApproval.objects.create(
        refund=Refund.objects.get(),
        requested_by="a",
        requested_owner="a",
        requested_at=now,
        decision="approved",
        decided_by="b",
        decided_owner="b",
        decided_at=now,
    )


def _watched(now: datetime) -> None:
    Monitor.objects.create(
        name="rates",
        url="https://example.com",
        interval_seconds=60,
        config={},
        created_at=now,
        created_by="a",
        changed_at=now,
    )
    SourceState.objects.create(
        key="api:rates",
        title="Rates",
        group_name="APIs",
        kind="api",
        state="ok",
        last_success_at=now,
        state_since=now,
        monitored_since=now,
        interval_seconds=60.0,
        sequence=1,
    )
    HistoryBucket.objects.create(
        source_key="api:rates",
        series="EUR",
        step_seconds=300,
        starts_at=now,
        count=2,
        min_value=1.0,
        max_value=3.0,
        total=4.0,
        last_value=3.0,
    )
    Alert.objects.create(
        id="alr_1",
        source_key="api:rates",
        sequence=1,
        title="Rates",
        previous_level="ok",
        new_level="critical",
        state="stale",
        raised_at=now,
        webhook="sent",
        email="sent",
    )
    LeaderLease.objects.create(name="dashboard", token="t", held_until=now)


def refused(sql: str) -> str:
    """Run a statement that the database must refuse; returns what it said."""

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    with pytest.raises((IntegrityError, DataError, ProgrammingError)) as caught:
        group_commit.commits.run_blocking(run)
    return str(caught.value)


# --- The guards ---------------------------------------------------------------------------------

#: How to change a column so that the change is one.
_CHANGES = {
    "currency": "'USD'",
    "provider_account_id": "'another'",
    "operation": "'void'",
    "target_reference": "'another'",
}


def _changes(guard: triggers.Trigger) -> list[str]:
    """An UPDATE for each column that *guard* freezes."""
    columns = re.findall(r"NEW\.(\w+) <> OLD", guard.condition)
    return [
        f"UPDATE {guard.table} SET {column} = "
        + _CHANGES.get(column, f"{column} + 1" if column.endswith("_minor") else f"{column} || 'x'")
        for column in columns
    ]


_SPECIAL = {
    "an attempt's final status never changes": [
        f"UPDATE bursar_attempt SET status = '{status}' WHERE status = 'succeeded'"
        for status in ("created", "pending", "requires_action", "unknown", "declined", "not_sent")
    ],
    "an attempt's refund never changes": [
        "UPDATE bursar_attempt SET refund_id = NULL WHERE refund_id IS NOT NULL",
        (
            "UPDATE bursar_attempt SET refund_id = (SELECT MIN(id) FROM bursar_refund)"
            " WHERE refund_id IS NULL"
        ),
    ],
    "the content of an alert never changes": [
        f"UPDATE bursar_alert SET {change}"
        for change in (
            "id = 'alr_2'",
            "source_key = 'x'",
            "sequence = 2",
            "title = 'x'",
            "previous_level = 'warning'",
            "new_level = 'warning'",
            "state = 'ok'",
            "reason = 'x'",
        )
    ],
    "a delivered alert stays delivered": [
        "UPDATE bursar_alert SET webhook = 'waiting'",
        "UPDATE bursar_alert SET email = 'off'",
    ],
    "a coupon use count never decreases": ["UPDATE bursar_couponusage SET use_count = 1"],
    "a decided approval never changes": [
        "UPDATE bursar_refundapproval SET decision = ''",
        "UPDATE bursar_refundapproval SET decided_owner = 'c'",
    ],
    "what is to be approved never changes": [
        "UPDATE bursar_refundapproval SET id = id + 1",
        "UPDATE bursar_refundapproval SET refund_id = refund_id || 'x'",
        "UPDATE bursar_refundapproval SET requested_by = 'b'",
        "UPDATE bursar_refundapproval SET requested_owner = 'c'",
    ],
    "what a key is never changes": [
        "UPDATE bursar_apikey SET digest = 'other'",
        "UPDATE bursar_apikey SET mode = 'live'",
        "UPDATE bursar_apikey SET lineage = 'key_2'",
        "UPDATE bursar_apikey SET scopes = '[\"refunds:write\"]'",
        "UPDATE bursar_apikey SET created_at = '2020-01-01 00:00:00'",
    ],
    "the owner of a key never changes": [
        "UPDATE bursar_apikey SET owner_id = (SELECT MIN(id) FROM bursar_user)",
    ],
    "a revoked key never works again": ["UPDATE bursar_apikey SET revoked_at = NULL"],
    "a resolved review never changes": [
        "UPDATE bursar_review SET resolution = 'other' WHERE resolved_at IS NOT NULL",
        "UPDATE bursar_review SET resolved_at = NULL WHERE resolved_at IS NOT NULL",
    ],
    "what a settlement line tells never changes": [
        f"UPDATE bursar_settlementreportline SET {change}"
        for change in (
            "provider_account_id = 'another'",
            "reference = 'x'",
            "duplicate_index = 1",
            "category = 'x'",
            "source = 'x'",
            "currency = 'USD'",
            "payout = 'x'",
            "gross_minor = 101, net_minor = 91",
            "fee_minor = 11, net_minor = 89",
        )
    ],
    "transfer currency is that of both accounts": [
        (
            "INSERT INTO bursar_transfer (subject, debit_account_id, credit_account_id, amount_minor,"
            " currency, posting_date, created_at) SELECT subject, debit_account_id,"
            " credit_account_id, 1, 'USD', posting_date, created_at FROM bursar_transfer LIMIT 1"
        ),
    ],
}


def _attacks(guard: triggers.Trigger) -> list[str]:
    if guard.message in _SPECIAL:
        return _SPECIAL[guard.message]
    if guard.event == "DELETE":
        return [f"DELETE FROM {guard.table}"]
    if guard.condition:
        return _changes(guard)
    (model,) = [model for model in MODELS.values() if model._meta.db_table == guard.table]
    column = model._meta.concrete_fields[-1].column
    return [f"UPDATE {guard.table} SET {column} = {column}"]


def test_every_guard_refuses_what_it_says(shop: Shop) -> None:
    for guard in triggers.TRIGGERS:
        attacks = _attacks(guard)
        assert attacks, guard
        for attack in attacks:
            assert guard.message in refused(attack), attack


def test_an_open_review_may_still_be_answered_and_a_job_removed(shop: Shop) -> None:
    commit(
        lambda: reviews.create_review(
            code="d", subject="s", payment_id=None, detail={}, now=clock.now()
        )
    )
    assert commit(lambda: reviews.close(code="d", subject="s", resolution="", now=clock.now()))
    assert commit(lambda: MODELS["Job"]._default_manager.all().delete())[0] == 1


def test_guards_have_names_of_their_own() -> None:
    names = [guard.name for guard in triggers.TRIGGERS]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"trigger_[a-z_]{1,55}", name)] == []


def test_migrating_puts_dropped_guards_back(database: Database) -> None:
    guard = triggers.TRIGGERS[0]
    assert triggers.missing_triggers() == []
    triggers.check_triggers()

    on = f" ON {guard.table}" if database.name == "postgres" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {guard.name}{on}")

    assert triggers.missing_triggers() == [guard.name]
    with pytest.raises(
        triggers.TriggersMissing, match=f"1 triggers are missing, first {guard.name}"
    ):
        triggers.check_triggers()
    management.call_command("migrate", verbosity=0)
    assert triggers.missing_triggers() == []


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_guard_that_is_switched_off_is_missing(database: Database) -> None:
    guard = triggers.TRIGGERS[0]
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {guard.table} DISABLE TRIGGER {guard.name}")
    assert triggers.missing_triggers() == [guard.name]


# --- The constraints ----------------------------------------------------------------------------


def copy(model: str, where: str = "", /, **changes: str) -> str:
    """An INSERT of a copy of one row of a model, with some columns as other SQL expressions."""
    meta = MODELS[model]._meta
    if isinstance(meta.pk, models.AutoField | models.BigAutoField):
        columns = [str(field.column) for field in meta.concrete_fields if field is not meta.pk]
    else:
        columns = [str(field.column) for field in meta.concrete_fields]
        changes.setdefault(str(meta.pk.column), f"{meta.pk.column} || 'x'")
    values = ", ".join(changes.get(column, column) for column in columns)
    condition = f"WHERE {where}" if where else ""
    return (
        f"INSERT INTO {meta.db_table} ({', '.join(columns)}) "
        f"SELECT {values} FROM {meta.db_table} {condition} LIMIT 1"
    )


LIVE = {"status": "'created'"}
VIOLATIONS: dict[str, list[str]] = {
    "order_total_not_negative": [
        copy("Order", total_minor="-1", tax_minor="0", idempotency_key="'o'")
    ],
    "order_tax_within_total": [
        copy("Order", tax_minor="total_minor + 1", idempotency_key="'o'"),
        copy("Order", tax_minor="-1", idempotency_key="'o'"),
    ],
    "coupon_use_count_positive": [copy("CouponUsage", code="'other'", use_count="0")],
    "order_line_position": [copy("OrderLine")],
    "order_line_quantity_positive": [copy("OrderLine", position="9", quantity="0")],
    "order_line_gross_is_net_plus_tax": [
        copy("OrderLine", position="9", gross_minor="gross_minor + 1")
    ],
    "payment_amount_is_positive": [copy("Payment", amount_minor="0", tax_minor="0")],
    "payment_tax_within_amount": [
        copy("Payment", tax_minor="amount_minor + 1"),
        copy("Payment", tax_minor="-1"),
    ],
    "payment_pending_refund_not_negative": [copy("Payment", pending_refund_minor="-1")],
    "payment_status_valid": [copy("Payment", status="'paid'")],
    "payment_closed_status_valid": [copy("Payment", closed_status="'done'")],
    "refund_amount_is_positive": [
        copy("Refund", amount_minor="0", tax_minor="0", idempotency_key="NULL")
    ],
    "refund_tax_within_amount": [
        copy("Refund", tax_minor="amount_minor + 1", idempotency_key="NULL"),
        copy("Refund", tax_minor="-1", idempotency_key="NULL"),
    ],
    "refund_status_valid": [copy("Refund", status="'done'", idempotency_key="NULL")],
    "refund_line_once": [copy("RefundLine")],
    "refund_line_quantity": [copy("RefundLine", quantity="0")],
    "attempt_one_live_per_operation": [
        copy("Attempt", "refund_id IS NULL", operation="'capture'", **LIVE),
    ],
    "attempt_one_live_per_refund": [copy("Attempt", "refund_id IS NOT NULL", **LIVE)],
    # Of another operation, so that no other constraint is broken: which one of two is told
    # depends on which index is older.
    "attempt_one_collection_per_payment": [
        copy("Attempt", "refund_id IS NULL", operation="'authorize'", **LIVE),
        copy("Attempt", "refund_id IS NULL", operation="'authorize'", status="'succeeded'"),
    ],
    "attempt_status_valid": [copy("Attempt", status="'done'")],
    "attempt_amount_not_negative": [copy("Attempt", amount_minor="-1", status="'declined'")],
    "fact_once": [copy("Fact")],
    "fact_has_reference": [copy("Fact", reference="''")],
    "fact_link_once": [copy("FactLink")],
    "review_once": [copy("Review")],
    "account_name_ends_in_currency": [copy("Account", name="'sales:USD'")],
    "transfer_amount_is_positive": [
        copy("Transfer", amount_minor="0"),
        copy("Transfer", amount_minor="-1"),
    ],
    "transfer_accounts_differ": [copy("Transfer", debit_account_id="credit_account_id")],
    "job_state_valid": [copy("Job", state="'done'", unique_key="NULL")],
    "job_leased_has_token": [
        copy("Job", state="'leased'", unique_key="NULL"),
        copy("Job", state="'leased'", lease_token="'t'", unique_key="NULL"),
    ],
    "job_unique_key": [copy("Job", "unique_key IS NOT NULL")],
    "periodic_job_outcome_valid": [
        copy("PeriodicJobStatus", name="'x'", last_outcome="'done'"),
    ],
    "webhook_event_once": [copy("WebhookEvent")],
    "webhook_event_ignored_is_processed": [
        copy("WebhookEvent", event_id="'x'", ignored="'x'", processed_at="NULL")
    ],
    "user_role_valid": [copy("User", email="'x'", role="'king'")],
    "api_key_mode_valid": [copy("ApiKey", digest="'x'", mode="'both'")],
    "idempotency_record_unique": [copy("IdempotencyRecord")],
    "settlement_line_once": [copy("SettlementReportLine")],
    "settlement_line_net_is_gross_less_fee": [
        copy("SettlementReportLine", net_minor="100", duplicate_index="1")
    ],
    "monitor_interval": [
        copy("Monitor", interval_seconds="9"),
        copy("Monitor", interval_seconds="86401"),
    ],
    "monitor_url": [copy("Monitor", url="'file:///etc/passwd'")],
    "source_state_kind": [copy("SourceState", kind="'x'", sequence="2")],
    "source_state_state": [copy("SourceState", state="'x'", sequence="2")],
    "source_state_alerted_level": [copy("SourceState", alerted_level="'stale'", sequence="2")],
    "source_state_has_value": [copy("SourceState", last_success_at="NULL", sequence="2")],
    "history_bucket_once": [copy("HistoryBucket")],
    "history_bucket_ordered": [
        copy("HistoryBucket", series="'x'", count="0"),
        copy("HistoryBucket", series="'x'", min_value="3.5"),
        copy("HistoryBucket", series="'x'", last_value="0.5"),
    ],
    "alert_sequence_once": [copy("Alert")],
    "alert_changes": [
        copy("Alert", sequence="2", previous_level="new_level"),
        copy("Alert", sequence="2", new_level="'stale'"),
    ],
    "alert_deliveries": [
        copy("Alert", sequence="2", webhook="''"),
        copy("Alert", sequence="2", email="'lost'"),
    ],
    "refund_approval_by_another": [
        # Of a refund that has one: which constraint is told depends on the database.
        copy("RefundApproval", decided_owner="requested_owner"),
        copy("RefundApproval", decided_owner="''"),
    ],
}

#: Rows that are there before the one that is refused.
_BEFORE = {
    "attempt_one_live_per_operation": copy(
        "Attempt", "refund_id IS NULL", operation="'capture'", id="'att_0'", **LIVE
    ),
    "attempt_one_live_per_refund": copy("Attempt", "refund_id IS NOT NULL", id="'att_1'", **LIVE),
}


def test_every_constraint_has_its_violation() -> None:
    declared = {
        constraint.name for model in MODELS.values() for constraint in model._meta.constraints
    }
    assert set(VIOLATIONS) == declared


def test_every_constraint_refuses_its_violation(shop: Shop) -> None:
    for name, attacks in VIOLATIONS.items():
        if name in _BEFORE:
            commit(_ok(_BEFORE[name]))
        for attack in attacks:
            said = refused(attack)
            # SQLite names the columns of a plain unique constraint, PostgreSQL the constraint.
            if connection.vendor == "postgresql" or "UNIQUE" not in said:
                assert _names(name) & set(re.findall(r"\w+", said)), (name, said)


def _names(name: str) -> set[str]:
    # A negative total has no tax that could be within it, so either may be named.
    return {name, "order_tax_within_total"} if name == "order_total_not_negative" else {name}


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_one_key_is_one_order_and_one_refund(shop: Shop) -> None:
    assert "idempotency_key" in refused(copy("Order"))
    assert "idempotency_key" in refused(copy("Refund"))


def _amounts() -> list[tuple[str, str]]:
    return [
        (name, str(field.column))
        for name, model in MODELS.items()
        for field in model._meta.concrete_fields
        if isinstance(field, fields.MinorField)
    ]


def test_there_are_amounts() -> None:
    assert len(_amounts()) >= 20


def test_an_amount_is_a_whole_number_that_json_keeps(shop: Shop) -> None:
    for name, column in _amounts():
        for amount in (f"{MINOR_MAX + 1}", f"-{MINOR_MAX + 1}", "'12'||'x'"):
            refused(copy(name, **{column: amount}))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_half_a_unit_is_no_amount(shop: Shop) -> None:
    """PostgreSQL rounds what is assigned to a bigint: nothing else can be stored there."""
    for name, column in _amounts():
        refused(copy(name, **{column: "1.5"}))


def test_an_id_has_the_prefix_of_its_table(shop: Shop) -> None:
    another = {"idempotency_key": "'another'"}
    for model, prefix, changes in (
        ("Order", "ord", another),
        ("Payment", "pay", {}),
        ("Refund", "re", another),
        ("Attempt", "att", {"status": "'declined'"}),
    ):
        assert "CHECK" in refused(copy(model, **changes, id="'xxx_1'")).upper()
        commit(_ok(copy(model, **changes, id=f"'{prefix}_1'")))


def _ok(sql: str) -> Callable[[], None]:
    return lambda: _execute(sql)


def test_a_currency_is_upper_case_and_has_three_letters(shop: Shop) -> None:
    for currency in ("'eur'", "'EU'", "''"):
        said = refused(copy("Order", currency=currency, idempotency_key="'another'"))
        assert "CHECK" in said.upper()


def test_rows_that_others_need_stay(shop: Shop) -> None:
    """Guards apart, a foreign key holds what something refers to."""
    with pytest.raises(IntegrityError):
        commit(lambda: _execute(f"DELETE FROM bursar_provideraccount WHERE name = '{ACCOUNT}'"))
    assert Review.objects.count() == 1
