"""Invariants of payments: each with the query or function that finds violating rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from bursar import clock, sql
from bursar.ledger import posting
from bursar.payments import accounting, facts, payment_state, queries, status_checks
from bursar.payments.models import Attempt, Payment, Review
from bursar.payments.statuses import AttemptStatus
from bursar.queue.models import Job

#: Statuses that must change later, so a job or an open review must exist.
_OPEN = ("pending", "processing", "unknown", "requires_action")

_TRANSFERS_WITHOUT_SUBJECT = (
    "SELECT DISTINCT t.subject FROM bursar_transfer t "
    "LEFT JOIN bursar_payment p ON p.id = t.subject "
    "LEFT JOIN bursar_fact f ON t.subject = f.provider_account_id || '/' || f.kind || '/' || "
    "f.reference WHERE p.id IS NULL AND f.id IS NULL"
)


def _states_not_matching_facts() -> Iterator[Mapping[str, object]]:
    """Yield payments whose row or transfers differ from the state computed from their facts."""
    for payment in _iterate_payments():
        attempts, refunds, stored_facts = queries.load_payment_inputs(payment)
        commands = facts.load_commands(payment, refunds)
        summaries = [
            payment_state.AttemptSummary(
                operation=a.operation, status=a.status, refund_id=a.refund_id
            )
            for a in attempts
        ]
        state = payment_state.fold(commands, summaries, stored_facts)
        target = accounting.target_balances(
            commands=commands, state=state, provider_account=payment.provider_account
        )
        row = (
            payment.status,
            payment.authorized_minor,
            payment.captured_minor,
            payment.refunded_minor,
            payment.disputed_minor,
        )
        computed = (
            state.status.value,
            state.authorized_minor,
            state.captured_minor,
            state.refunded_minor,
            state.disputed_minor,
        )
        if row != computed:
            yield {"payment": payment.id, "row": row, "computed": computed}
        for (first, second), amount in posting.unposted_amounts(
            subject=payment.id, target=target
        ).items():
            yield {"payment": payment.id, "debit": first, "credit": second, "missing_minor": amount}


def _iterate_payments() -> Iterator[queries.PaymentRow]:
    """Yield every payment, read by key in chunks of 1,000 so that memory stays bounded."""
    last = ""
    while True:
        ids = list(
            Payment.objects.filter(id__gt=last).order_by("id").values_list("id", flat=True)[:1000]
        )
        if not ids:
            return
        yield from (queries.get_payment(payment_id) for payment_id in ids)
        last = ids[-1]


def _unknown_too_long() -> Iterator[Mapping[str, object]]:
    limit = clock.now() - status_checks.UNKNOWN_AGE_MAX - status_checks.CHECK_DELAY_MAX
    open_reviews = Review.objects.filter(resolved_at__isnull=True, payment__isnull=False)
    yield from (
        Attempt.objects.filter(status=AttemptStatus.UNKNOWN, created_at__lt=limit)
        .exclude(payment_id__in=open_reviews.values("payment_id"))
        .values("id", "payment_id", "created_at")
    )


def _work_without_job_or_review() -> Iterator[Mapping[str, object]]:
    """Yield open payments and refunds without a job, a pending approval or an open review."""
    # Dead-lettered jobs count: they are listed for a person to retry or resolve.
    payloads = list(Job.objects.values_list("payload", flat=True))
    payment_ids = {payload.get("payment_id") for payload in payloads}
    attempt_ids = {payload.get("attempt_id") for payload in payloads}
    waiting = (
        "SELECT p.id, p.status, a.id FROM bursar_payment p LEFT JOIN bursar_attempt a "
        "ON a.payment_id = p.id AND a.status IN ('created', 'unknown', 'pending', "
        "'requires_action') WHERE (p.status IN (%s, %s, %s, %s) OR p.pending_refund_minor > 0) "
        "AND p.closed_status = '' AND NOT EXISTS (SELECT 1 FROM bursar_review r "
        "WHERE r.payment_id = p.id AND r.resolved_at IS NULL) AND NOT EXISTS (SELECT 1 FROM "
        "bursar_refundapproval d JOIN bursar_refund f ON f.id = d.refund_id "
        "WHERE f.payment_id = p.id AND d.decided_at IS NULL)"
    )
    for payment_id, status, attempt_id in sql.rows(waiting, _OPEN):
        if payment_id not in payment_ids and attempt_id not in attempt_ids:
            yield {"payment": payment_id, "status": status, "attempt": attempt_id}


INVARIANTS: Mapping[str, str | Callable[[], Iterable[Mapping[str, object]]]] = {
    "every payment's status, amounts and transfers follow from its facts": _states_not_matching_facts,
    "pending_refund_minor is the sum of the pending refunds": (
        "SELECT p.id, p.pending_refund_minor, COALESCE(SUM(r.amount_minor), 0) AS pending_minor "
        "FROM bursar_payment p LEFT JOIN bursar_refund r "
        "ON r.payment_id = p.id AND r.status = 'pending' "
        "GROUP BY p.id, p.pending_refund_minor HAVING p.pending_refund_minor <> COALESCE(SUM(r.amount_minor), 0)"
    ),
    "refunds do not exceed the captured amount, or a review exists": (
        "SELECT p.id, p.captured_minor, p.refunded_minor, p.pending_refund_minor FROM bursar_payment p "
        "WHERE p.refunded_minor + p.pending_refund_minor > p.captured_minor AND NOT EXISTS "
        "(SELECT 1 FROM bursar_review v WHERE v.payment_id = p.id)"
    ),
    "a payment has at most one live or succeeded charge attempt": (
        "SELECT payment_id, COUNT(*) AS attempts FROM bursar_attempt "
        "WHERE operation IN ('charge', 'authorize') "
        "AND status NOT IN ('declined', 'not_sent') GROUP BY payment_id HAVING COUNT(*) > 1"
    ),
    "no outcome is unknown for more than 25 hours without an open review": _unknown_too_long,
    "every charge, refund or dispute without a payment has a review": (
        "SELECT DISTINCT f.provider_account_id, f.kind, f.reference FROM bursar_fact f "
        "WHERE f.kind IN ('charge', 'refund', 'dispute') AND NOT EXISTS (SELECT 1 FROM "
        "bursar_factlink l WHERE l.provider_account_id = f.provider_account_id "
        "AND l.kind = f.kind AND l.reference = f.reference) AND NOT EXISTS (SELECT 1 FROM "
        "bursar_review v WHERE v.subject = f.provider_account_id || '/' || f.kind || '/' || "
        "f.reference)"
    ),
    "every transfer's subject is a payment or a provider object": _TRANSFERS_WITHOUT_SUBJECT,
    "every open payment and refund has a job, an approval or a review": _work_without_job_or_review,
}
