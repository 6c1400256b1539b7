"""Refunds: create them within the refundable amount, and send them to the provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Sum

from bursar import clock, errors, fields, group_commit, ids, sql
from bursar.access import audit_log
from bursar.money import CurrencyMismatch, Money
from bursar.payments import accounting, attempts, charges, queries, refund_approvals
from bursar.payments.models import Refund, RefundApproval, RefundLine
from bursar.payments.statuses import LIVE, AttemptStatus, Decision
from bursar.providers.interface import Operation, RefundStatus
from bursar.queue import jobs

RESERVE = (
    "UPDATE bursar_payment SET pending_refund_minor = pending_refund_minor + %s, updated_at = %s "
    "WHERE id = %s AND captured_minor - refunded_minor - pending_refund_minor"
    " - CASE WHEN disputed_minor > 0 THEN disputed_minor ELSE 0 END >= %s"
)


REASON_LETTERS_MAX = 200


class RefundExceedsBalance(errors.Conflict):
    """The amount exceeds what is refundable; pending refunds count."""

    code = "refund_exceeds_balance"


@dataclass(frozen=True, slots=True)
class RefundLineInput:
    """Units of an order line to refund, with their share of price and tax."""

    order_line_id: int
    quantity: int
    amount_minor: int
    tax_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundContent:
    """
    The content that is compared when an idempotency key is reused.

    *amount* is None for everything refundable, or for the value of *lines* (order line -> units).
    """

    payment_id: str
    amount: Money | None
    reason: str
    lines: Mapping[int, int]


#: Arguments of `create_refund` that are not compared, and why; every other one is.
NOT_IN_CONTENT: Final = {
    "idempotency_key": "the content is looked up by it",
    "refund_id": "each call has a new one",
    "now": "each call has its own",
}


def find_repeated(idempotency_key: str | None, content: RefundContent) -> str | None:
    """
    Return the id of the refund created with the key, if any.

    :raises errors.IdempotencyKeyReused: if its content differs.
    """
    refund = idempotency_key and Refund.objects.filter(idempotency_key=idempotency_key).first()
    if not refund:
        return None
    amount = Money(refund.amount_minor, refund.currency)
    previous = RefundContent(
        payment_id=refund.payment_id,
        amount=None if content.amount is None else amount,
        reason=refund.reason,
        lines=dict(refund.lines.values_list("order_line_id", "quantity")),
    )
    if previous != content:
        raise errors.IdempotencyKeyReused(
            "this idempotency key was used for a refund with different content",
            param="idempotency_key",
        )
    return str(refund.id)


def create_refund(
    *,
    refund_id: str,
    payment_id: str,
    amount: Money | None,
    now: datetime,
    reason: str = "",
    idempotency_key: str | None = None,
    lines: Sequence[RefundLineInput] = (),
) -> str:
    """
    Create a refund of *amount* (None: everything refundable) and enqueue its job.

    Above the limit (`refund_approvals`) the job is enqueued by the approval. Return the refund's
    id. Needs an open transaction. The amount is reserved at once, so concurrent refunds never
    exceed the refundable amount. With *lines* their tax is refunded, else its proportion. The same
    *idempotency_key* with the same content returns the first refund.

    :raises RefundExceedsBalance: if less is refundable;
    :raises errors.IdempotencyKeyReused: if the key was used with different content.
    """
    fields.validate_text("reason", reason, REASON_LETTERS_MAX)
    payment = queries.lock_payment(payment_id)
    content = RefundContent(
        payment_id=payment_id,
        amount=amount,
        reason=reason,
        lines={line.order_line_id: line.quantity for line in lines},
    )
    if repeated_id := find_repeated(idempotency_key, content):
        return repeated_id
    if amount is None:
        amount = Money(payment.refundable_minor, payment.currency)
        if amount.amount_minor <= 0:
            raise RefundExceedsBalance(f"nothing of {payment_id} is refundable")
    _validate_amount(payment, amount)
    tax_minor = sum(line.tax_minor for line in lines) if lines else _tax_in(payment, amount)
    row = [amount.amount_minor, fields.to_db_datetime(now), payment_id, amount.amount_minor]
    if sql.run(RESERVE, row) != 1:
        refundable = Money(payment.refundable_minor, payment.currency)
        raise RefundExceedsBalance(f"{amount} exceeds the refundable {refundable} of {payment_id}")
    Refund.objects.create(
        id=refund_id,
        payment_id=payment_id,
        amount_minor=amount.amount_minor,
        tax_minor=tax_minor,
        currency=payment.currency,
        reason=reason,
        idempotency_key=idempotency_key,
        created_at=now,
    )
    RefundLine.objects.bulk_create(
        RefundLine(
            refund_id=refund_id,
            order_line_id=line.order_line_id,
            quantity=line.quantity,
            amount_minor=line.amount_minor,
            tax_minor=line.tax_minor,
        )
        for line in lines
    )
    audit_log.record(
        action="refund.create",
        subject=refund_id,
        now=now,
        after={"payment": payment_id, "amount": str(amount), "reason": reason},
    )
    _enqueue_or_request_approval(refund_id, payment_id, amount, now)
    return refund_id


def _enqueue_or_request_approval(
    refund_id: str, payment_id: str, amount: Money, now: datetime
) -> None:
    if refund_approvals.requires_approval(amount):
        refund_approvals.request_approval(refund_id=refund_id, now=now)
    else:
        jobs.enqueue("refund", {"refund_id": refund_id, "payment_id": payment_id}, now=now)


def _validate_amount(payment: queries.PaymentRow, amount: Money) -> None:
    if amount.currency != payment.currency:
        raise CurrencyMismatch(
            f"{payment.id} is in {payment.currency}, not {amount.currency}", param="currency"
        )
    if amount.amount_minor <= 0:
        raise errors.ValidationError("amount must be greater than zero", param="amount")


def _tax_in(payment: queries.PaymentRow, amount: Money) -> int:
    """Return the tax in a refund without lines: its proportion; the remainder in the last refund."""
    counted = [RefundStatus.PENDING, RefundStatus.SUCCEEDED]
    ours = Refund.objects.filter(payment_id=payment.id, status__in=counted)
    totals = ours.aggregate(amount=Sum("amount_minor"), tax=Sum("tax_minor"))
    external = payment.refunded_minor + payment.pending_refund_minor - int(totals["amount"] or 0)
    refunded_tax = int(totals["tax"] or 0)
    refunded_tax += accounting.round_half_even(
        payment.tax_minor * max(0, external), payment.amount_minor
    )
    total = accounting.round_half_even(
        payment.tax_minor * payment.captured_minor, payment.amount_minor
    )
    if amount.amount_minor == payment.not_refunded_minor:
        return min(max(0, total - refunded_tax), amount.amount_minor)
    share = accounting.round_half_even(
        payment.tax_minor * amount.amount_minor, payment.amount_minor
    )
    return max(0, min(share, total - refunded_tax))


async def refund(lease: jobs.Lease) -> Callable[[], None] | None:
    """Job `refund`: send a refund to the provider, unless it is already processed."""
    attempt_id = ids.new(ids.ATTEMPT)
    intent = await group_commit.commits.run(
        lambda: prepare_refund(
            refund_id=lease.payload["refund_id"],
            payment_id=lease.payload["payment_id"],
            attempt_id=attempt_id,
            now=clock.now(),
        )
    )
    return None if intent is None else await attempts.execute(intent)


def prepare_refund(
    *, refund_id: str, payment_id: str, attempt_id: str, now: datetime
) -> attempts.PreparedAttempt | None:
    """
    Return the attempt to send for a refund: a new one, or the existing unsent one.

    None if nothing is to be sent. Needs an open transaction.
    """
    payment = queries.lock_payment(payment_id)
    refund = Refund.objects.get(id=refund_id)
    if (
        RefundApproval.objects.filter(refund_id=refund_id)
        .exclude(decision=Decision.APPROVED)
        .exists()
    ):
        return None
    refund_attempts = [a for a in queries.attempts_of(payment_id) if a.refund_id == refund_id]
    live = next((a for a in refund_attempts if a.status in LIVE), None)
    if live is not None and live.status != AttemptStatus.CREATED:
        return None
    if live is None and refund.status != RefundStatus.PENDING:
        return None
    if any(attempt.status == AttemptStatus.SUCCEEDED for attempt in refund_attempts):
        return None
    attempt = live or attempts.create_attempt(
        attempt_id=attempt_id,
        payment_id=payment_id,
        operation=Operation.REFUND,
        amount_minor=refund.amount_minor,
        refund_id=refund_id,
        now=now,
        target_reference=charges.charge_reference(payment, refund_minor=refund.amount_minor),
    )
    return attempts.prepare(attempt=attempt, payment=payment, is_new=live is None)
