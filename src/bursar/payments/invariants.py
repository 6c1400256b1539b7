"""What is never false of payments: each sentence with what finds the rows that break it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from bursar import clock, sql
from bursar.ledger import posting
from bursar.payments import accounting, facts, payment_state, queries, status_checks
from bursar.payments.models import Attempt, Payment, Review
from bursar.payments.statuses import AttemptStatus
from bursar.queue.models import Job

#: States in which something has still to happen, so that somebody must be at it.
_OPEN = ("pending", "processing", "unknown", "requires_action")

_TRANSFERS_WITHOUT_SUBJECT = (
    "SELECT DISTINCT t.subject FROM bursar_transfer t "
    "LEFT JOIN bursar_payment p ON p.id = t.subject "
    "LEFT JOIN bursar_fact f ON t.subject = f.provider_account_id || '/' || f.kind || '/' || "
    "f.reference WHERE p.id IS NULL AND f.id IS NULL"
)


def _states_not_matching_facts() -> Iterator[Mapping[str, object]]:
    """Payments whose row or books are not what their commands, attempts and facts make of them."""
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
            yield {"payment": payment.id, "debit": first, "credit": second, "lacks": amount}


def _iterate_payments() -> Iterator[queries.PaymentRow]:
    """Every payment, read by key in chunks so that memory stays bounded."""
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
    """Payments and refunds that wait for something that no job will do and no person is asked."""
    # A dead letter is before a person, who revives it or settles its matter.
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
    "every payment and its books are what its facts make of them": _states_not_matching_facts,
    "refunds under way are reserved, and nothing else is": (
        "SELECT p.id, p.pending_refund_minor, COALESCE(SUM(r.amount_minor), 0) AS pending_minor "
        "FROM bursar_payment p LEFT JOIN bursar_refund r "
        "ON r.payment_id = p.id AND r.status = 'pending' "
        "GROUP BY p.id, p.pending_refund_minor HAVING p.pending_refund_minor <> COALESCE(SUM(r.amount_minor), 0)"
    ),
    "no refund exceeds what was captured, or a person is asked": (
        "SELECT p.id, p.captured_minor, p.refunded_minor, p.pending_refund_minor FROM bursar_payment p "
        "WHERE p.refunded_minor + p.pending_refund_minor > p.captured_minor AND NOT EXISTS "
        "(SELECT 1 FROM bursar_review v WHERE v.payment_id = p.id)"
    ),
    "a payment is collected by one attempt": (
        "SELECT payment_id, COUNT(*) AS attempts FROM bursar_attempt "
        "WHERE operation IN ('charge', 'authorize') "
        "AND status NOT IN ('declined', 'not_sent') GROUP BY payment_id HAVING COUNT(*) > 1"
    ),
    "no outcome stays unknown for a day, or a person is asked": _unknown_too_long,
    "money moved for nobody we know is put before a person": (
        "SELECT DISTINCT f.provider_account_id, f.kind, f.reference FROM bursar_fact f "
        "WHERE f.kind IN ('charge', 'refund', 'dispute') AND NOT EXISTS (SELECT 1 FROM "
        "bursar_factlink l WHERE l.provider_account_id = f.provider_account_id "
        "AND l.kind = f.kind AND l.reference = f.reference) AND NOT EXISTS (SELECT 1 FROM "
        "bursar_review v WHERE v.subject = f.provider_account_id || '/' || f.kind || '/' || "
        "f.reference)"
    ),
    "every transfer is about a payment or a provider's object": _TRANSFERS_WITHOUT_SUBJECT,
    "whatever still has to happen has a job or a person": _work_without_job_or_review,
}
