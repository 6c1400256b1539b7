"""
Named SQL that runs for every payment; a test compares its columns with the models.

The ORM would take more time than everything else together on these paths. Statements that do not
run for every payment use the ORM.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from bursar import errors, fields, group_commit, sql
from bursar.money import Money
from bursar.payments.models import Fact, FactLink
from bursar.payments.payment_state import PaymentState
from bursar.providers.interface import ObjectKind, RefundStatus, Snapshot

ADVISORY_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"

_PAYMENT = (
    "id, order_id, provider_account_id, amount_minor, tax_minor, currency, capture_method, "
    "payment_method_token, status, closed_status, pending_refund_minor, captured_minor, refunded_minor, authorized_minor, "
    "disputed_minor"
)
# FOR UPDATE is added on PostgreSQL: on SQLite a single writer locks the database.
GET_PAYMENT = f"SELECT {_PAYMENT} FROM bursar_payment WHERE id = %s"  # noqa: S608  (a constant)
INSERT_PAYMENT = (
    "INSERT INTO bursar_payment (id, order_id, provider_account_id, amount_minor, tax_minor, "
    "currency, capture_method, payment_method_token, status, authorized_minor, captured_minor, refunded_minor, "
    "pending_refund_minor, disputed_minor, created_at, updated_at, expires_at, closed_status) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'pending', 0, 0, 0, 0, 0, %s, %s, %s, '')"
)
UPDATE_PAYMENT = (
    "UPDATE bursar_payment SET status = %s, authorized_minor = %s, captured_minor = %s, "
    "refunded_minor = %s, disputed_minor = %s, pending_refund_minor = %s, updated_at = %s WHERE id = %s"
)
_ATTEMPT = "id, operation, refund_id, amount_minor, status, target_reference, reference, status_check_count, created_at"
ATTEMPTS = f"SELECT {_ATTEMPT} FROM bursar_attempt WHERE payment_id = %s ORDER BY id"  # noqa: S608
INSERT_ATTEMPT = (
    "INSERT INTO bursar_attempt (id, payment_id, refund_id, operation, amount_minor, target_reference, "
    "status, reference, failure_code, soft_decline, redirect_url, status_check_count, was_unknown, created_at, answered_at) "
    "VALUES (%s, %s, %s, %s, %s, %s, 'created', '', '', %s, '', 0, %s, %s, NULL)"
)
UPDATE_ATTEMPT = (
    "UPDATE bursar_attempt SET status = %s, reference = %s, failure_code = %s, soft_decline = %s, "
    "redirect_url = %s, answered_at = %s, was_unknown = (was_unknown OR %s) "
    "WHERE id = %s AND status IN (%s, %s, %s, %s)"
)
COUNT_STATUS_CHECK = (
    "UPDATE bursar_attempt SET status_check_count = status_check_count + 1 WHERE id = %s"
)
REFUNDS = (
    "SELECT id, amount_minor, tax_minor, status FROM bursar_refund WHERE payment_id = %s "
    "ORDER BY id"
)
UPDATE_REFUND = "UPDATE bursar_refund SET status = %s WHERE id = %s"
_FACT = (
    "kind, reference, status, amount_minor, currency, captured_minor, refunded_minor, "
    "withdrawn_minor, reinstated_minor, settled_minor, settled_currency, rate, key, "
    "parent_reference, failure_code, soft_decline, provider_version, dispute_stage, evidence_due_by"
)
INSERT_FACT = (
    "INSERT INTO bursar_fact (provider_account_id, kind, reference, digest, source, status, "
    "amount_minor, currency, captured_minor, refunded_minor, withdrawn_minor, reinstated_minor, "
    "settled_minor, settled_currency, rate, key, parent_reference, failure_code, soft_decline, provider_version, dispute_stage, "
    "occurred_at, evidence_due_by, received_at, raw) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, "
    "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (provider_account_id, kind, reference, digest) DO NOTHING"
)
FACTS_OF_PAYMENT = (
    "SELECT l.refund_id, f.kind, f.reference, f.status, f.amount_minor, f.currency, "
    "f.captured_minor, f.refunded_minor, f.withdrawn_minor, f.reinstated_minor, f.settled_minor, "
    "f.settled_currency, f.rate, f.key, f.parent_reference, f.failure_code, f.soft_decline, f.provider_version, f.dispute_stage, f.evidence_due_by "
    "FROM bursar_factlink l JOIN bursar_fact f ON f.provider_account_id = l.provider_account_id "
    "AND f.kind = l.kind AND f.reference = l.reference WHERE l.payment_id = %s ORDER BY f.id"
)
FACTS_OF_OBJECT = (
    f"SELECT {_FACT} FROM bursar_fact "  # noqa: S608
    "WHERE provider_account_id = %s AND kind = %s AND reference = %s ORDER BY id"
)
INSERT_LINK = (
    "INSERT INTO bursar_factlink (provider_account_id, kind, reference, payment_id, refund_id, "
    "linked_by, linked_at) VALUES (%s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (provider_account_id, kind, reference) DO NOTHING"
)
FIND_LINK = (
    "SELECT payment_id, refund_id FROM bursar_factlink "
    "WHERE provider_account_id = %s AND kind = %s AND reference = %s"
)
FIND_BY_KEY = (
    "SELECT a.payment_id, a.refund_id FROM bursar_attempt a "
    "JOIN bursar_payment p ON p.id = a.payment_id WHERE a.id = %s AND p.provider_account_id = %s"
)
# NOT (... = '') exactly as in the index `fact_parent`, and no DISTINCT: else SQLite uses another
# index and scans all facts of the account.
FIND_CHILDREN = (
    "SELECT kind, reference FROM bursar_fact WHERE provider_account_id = %s "
    "AND parent_reference = %s AND NOT (parent_reference = '')"
)
FIND_UNMATCHED = (
    "SELECT subject FROM bursar_transfer WHERE subject IN ({0}) UNION "
    "SELECT subject FROM bursar_review WHERE subject IN ({0}) AND resolved_at IS NULL"
)


class PaymentNotFound(errors.NotFound):
    """The payment does not exist."""

    code = "payment_not_found"


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A stored payment."""

    id: str
    order_id: str
    provider_account: str
    amount_minor: int
    tax_minor: int
    currency: str
    capture_method: str
    payment_method_token: str
    status: str
    closed_status: str
    pending_refund_minor: int
    captured_minor: int
    refunded_minor: int
    authorized_minor: int
    disputed_minor: int

    @property
    def refundable_minor(self) -> int:
        """The refundable amount: captured less refunded, pending and disputed."""
        return self.not_refunded_minor - max(0, self.disputed_minor)

    @property
    def not_refunded_minor(self) -> int:
        """The captured amount less refunds, succeeded or pending."""
        return self.captured_minor - self.refunded_minor - self.pending_refund_minor


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A stored attempt."""

    id: str
    operation: str
    refund_id: str | None
    amount_minor: int
    status: str
    target_reference: str
    reference: str
    status_check_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RefundRow:
    """A stored refund, with the references of its provider objects."""

    id: str
    amount_minor: int
    tax_minor: int
    status: str
    references: tuple[str, ...] = ()


def lock_payment(payment_id: str) -> PaymentRow:
    """
    Read a payment and lock it until the transaction ends.

    :raises PaymentNotFound: if it does not exist.
    """
    group_commit.require_transaction()
    lock = " FOR UPDATE" if connection.vendor == "postgresql" else ""
    return _payment(GET_PAYMENT + lock, payment_id)


def get_payment(payment_id: str) -> PaymentRow:
    """
    Read a payment without locking it; not sufficient for changing it.

    :raises PaymentNotFound: if it does not exist.
    """
    return _payment(GET_PAYMENT, payment_id)


def _payment(query: str, payment_id: str) -> PaymentRow:
    row = sql.row(query, [payment_id])
    if row is None:
        raise PaymentNotFound(f"payment {payment_id!r} not found")
    return PaymentRow(*row)


def attempts_of(payment_id: str) -> list[AttemptRow]:
    """Return all attempts of a payment, oldest first."""
    return [_attempt(row) for row in sql.rows(ATTEMPTS, [payment_id])]


def _attempt(row: Sequence[Any]) -> AttemptRow:
    attempt = AttemptRow(*row)
    created_at = fields.from_db_datetime(attempt.created_at)
    assert created_at is not None
    return replace(attempt, created_at=created_at)


def load_payment_inputs(
    payment: PaymentRow,
) -> tuple[list[AttemptRow], list[RefundRow], list[Snapshot]]:
    """Load the inputs of `payment_state.fold`: attempts, refunds and facts."""
    attempts = attempts_of(payment.id)
    references: dict[str, set[str]] = {}
    facts = []
    for refund_id, *row in sql.rows(FACTS_OF_PAYMENT, [payment.id]):
        facts.append(_snapshot(row))
        if refund_id:
            references.setdefault(refund_id, set()).add(facts[-1].reference)
    refunds = []
    # Refunds have attempts, so without one or a pending refund there is nothing to read.
    if any(attempt.refund_id for attempt in attempts) or payment.pending_refund_minor:
        refunds = [
            RefundRow(key, amount, tax, status, tuple(sorted(references.get(key, ()))))
            for key, amount, tax, status in sql.rows(REFUNDS, [payment.id])
        ]
    return attempts, refunds, facts


def _snapshot(row: Sequence[Any]) -> Snapshot:
    (
        kind,
        reference,
        status,
        amount,
        currency,
        captured,
        refunded,
        withdrawn,
        reinstated,
        settled,
        settled_currency,
        rate,
        key,
        parent,
        code,
        soft,
        version,
        round_,
        respond_by,
    ) = row
    return Snapshot(
        kind=ObjectKind(kind),
        reference=reference,
        status=status,
        amount=Money(amount, currency),
        captured_minor=captured,
        refunded_minor=refunded,
        withdrawn_minor=withdrawn,
        reinstated_minor=reinstated,
        settled=None if settled is None else Money(settled, settled_currency),
        rate=rate,
        key=key,
        parent_reference=parent,
        code=code,
        soft_decline=bool(soft),
        version=version,
        dispute_stage=round_,
        evidence_due_by=fields.from_db_datetime(respond_by),
    )


def facts_for_payment(payment_id: str) -> QuerySet[Fact]:
    """Return the facts of the objects linked to a payment."""
    return Fact.objects.filter(
        Exists(
            FactLink.objects.filter(
                payment_id=payment_id,
                provider_account_id=OuterRef("provider_account_id"),
                kind=OuterRef("kind"),
                reference=OuterRef("reference"),
            )
        )
    )


def facts_of_object(provider_account: str, key: tuple[str, str]) -> list[Snapshot]:
    """Return all facts of one provider object, as snapshots."""
    return [_snapshot(row) for row in sql.rows(FACTS_OF_OBJECT, [provider_account, *key])]


def unmatched_refunds(provider_account: str, key: tuple[str, str]) -> list[Snapshot]:
    """Return the facts of the refunds of a charge without a payment."""
    if key[0] != ObjectKind.CHARGE:
        return []
    orphans = [
        one for one in unlinked_facts(provider_account, key[1]) if one[0] == ObjectKind.REFUND
    ]
    return [fact for orphan in orphans for fact in facts_of_object(provider_account, orphan)]


def unlinked_facts(
    provider_account: str, reference: str, *, linked: Container[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """
    Return the child objects (kind, reference) of a charge that are linked to no payment.

    Those in *linked* are skipped without a query; usually these are all.
    """
    rows = sql.rows(FIND_CHILDREN, [provider_account, reference])
    children = sorted({(kind, child) for kind, child in rows})
    return [
        child
        for child in children
        if child not in linked and not sql.row(FIND_LINK, [provider_account, *child])
    ]


def unmatched_subjects(subjects: Sequence[str]) -> list[str]:
    """Return the *subjects* that have transfers or an open review."""
    if not subjects:
        return []
    query = FIND_UNMATCHED.format(fields.placeholders(subjects))
    return sorted(subject for (subject,) in sql.rows(query, [*subjects, *subjects]))


def update_payment(
    payment: PaymentRow, state: PaymentState, *, pending_refund_minor: int, now: datetime
) -> None:
    """Update the cached state on the row if it changed."""
    amounts = (
        state.authorized_minor,
        state.captured_minor,
        state.refunded_minor,
        state.disputed_minor,
        pending_refund_minor,
    )
    cached = (
        payment.authorized_minor,
        payment.captured_minor,
        payment.refunded_minor,
        payment.disputed_minor,
        payment.pending_refund_minor,
    )
    if (payment.status, cached) == (state.status, amounts):
        return
    sql.run(UPDATE_PAYMENT, [state.status.value, *amounts, fields.to_db_datetime(now), payment.id])


def update_refund(refund_id: str, status: RefundStatus) -> None:
    """Update the cached status of a refund."""
    sql.run(UPDATE_REFUND, [status.value, refund_id])
