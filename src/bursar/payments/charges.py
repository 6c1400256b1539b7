"""Charges: create payments, charge or authorize them, capture, void and cancel."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

from bursar import clock, errors, fields, group_commit, ids, sql
from bursar.access import audit_log
from bursar.money import CurrencyMismatch, Money
from bursar.payments import attempts, facts, payment_state, provider_accounts, queries
from bursar.payments.statuses import COLLECTING, LIVE, AttemptStatus, CaptureMethod, PaymentStatus
from bursar.providers import capabilities, interface
from bursar.providers.interface import Operation
from bursar.queue import jobs
from bursar.queue.models import Job

#: A payment expires after this; most card networks release authorizations by then.
EXPIRES_AFTER = timedelta(days=7)

#: Statuses in which a payment may be charged.
_COLLECTABLE = {PaymentStatus.PENDING, PaymentStatus.UNKNOWN, PaymentStatus.PROCESSING}

CLOSE_PAYMENT = "UPDATE bursar_payment SET closed_status = %s WHERE id = %s"


class PaymentNotCapturable(errors.Conflict):
    """There is no open authorization, or it is smaller than the amount."""

    code = "payment_not_capturable"


class PaymentNotCancelable(errors.Conflict):
    """Money was captured or authorized, or an operation is in progress."""

    code = "payment_not_cancelable"


def create_payment(
    *,
    payment_id: str,
    order_id: str,
    provider_account: str,
    amount: Money,
    tax_minor: int,
    payment_method_token: str,
    now: datetime,
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC,
) -> None:
    """
    Create a payment of *amount* and enqueue its charge.

    Needs an open transaction. *payment_method_token* is the provider's token, never a card number.

    :raises provider_accounts.ProviderAccountNotFound: if there is no such provider account.
    """
    group_commit.require_transaction()
    provider = provider_accounts.get(provider_account)
    if capture_method is CaptureMethod.MANUAL and not isinstance(
        provider, capabilities.SupportsCapture
    ):
        raise capabilities.OperationNotSupported(
            f"{provider.name} cannot capture later", param="capture_method"
        )
    row: list[fields.Parameter] = [
        payment_id,
        order_id,
        provider_account,
        amount.amount_minor,
        tax_minor,
        amount.currency,
        capture_method.value,
        payment_method_token,
        fields.to_db_datetime(now),
        fields.to_db_datetime(now),
        fields.to_db_datetime(now + EXPIRES_AFTER),
    ]
    sql.run(queries.INSERT_PAYMENT, row)
    jobs.enqueue("charge", {"payment_id": payment_id}, now=now)


async def charge(lease: jobs.Lease) -> Callable[[], None] | None:
    """Job `charge`: charge or authorize a payment, unless it is paid, canceled or in progress."""
    payment_id, attempt_id = lease.payload["payment_id"], ids.new(ids.ATTEMPT)
    intent = await group_commit.commits.run(
        lambda: prepare_charge(payment_id=payment_id, attempt_id=attempt_id, now=clock.now())
    )
    return None if intent is None else await attempts.execute(intent)


def prepare_charge(
    *, payment_id: str, attempt_id: str, now: datetime
) -> attempts.PreparedAttempt | None:
    """
    Return the attempt to send for a payment: a new one, or the existing unsent one.

    None if nothing is to be sent. Needs an open transaction.
    """
    payment = queries.lock_payment(payment_id)
    previous_attempts = [a for a in queries.attempts_of(payment_id) if a.operation in COLLECTING]
    live = next((a for a in previous_attempts if a.status in LIVE), None)
    if live is not None and live.status != AttemptStatus.CREATED:
        return None  # a status check, the buyer or a webhook will finalize it
    if live is None and (payment.closed_status or payment.status not in _COLLECTABLE):
        return None
    if any(attempt.status == AttemptStatus.SUCCEEDED for attempt in previous_attempts):
        return None  # paid, but not as requested: needs review
    operation = (
        Operation.AUTHORIZE if payment.capture_method == CaptureMethod.MANUAL else Operation.CHARGE
    )
    attempt = live or attempts.create_attempt(
        attempt_id=attempt_id,
        payment_id=payment_id,
        operation=operation,
        amount_minor=payment.amount_minor,
        now=now,
    )
    return attempts.prepare(attempt=attempt, payment=payment, is_new=live is None)


def request_capture(*, payment_id: str, amount: Money, attempt_id: str, now: datetime) -> None:
    """
    Request the capture of *amount* of an authorized payment, and enqueue the job.

    Needs an open transaction. The remaining authorization is released by `request_void`, or
    expires.

    :raises PaymentNotCapturable: if it is already captured, less is authorized, or another capture or void is
        in progress.
    """
    payment = queries.lock_payment(payment_id)
    if payment.authorized_minor <= 0:
        captured = payment.captured_minor > 0
        raise PaymentNotCapturable(
            "the payment is already captured" if captured else "the payment is not authorized"
        )
    if amount.currency != payment.currency:
        raise CurrencyMismatch(
            f"{payment.id} is in {payment.currency}, not {amount.currency}", param="currency"
        )
    if amount.amount_minor <= 0:
        raise errors.ValidationError("amount must be greater than zero", param="amount")
    if amount.amount_minor > payment.authorized_minor:
        authorized = Money(payment.authorized_minor, payment.currency)
        raise PaymentNotCapturable(f"{amount} exceeds the authorized {authorized}")
    _request_change(payment, Operation.CAPTURE, amount.amount_minor, attempt_id, now)


def request_void(*, payment_id: str, attempt_id: str, now: datetime) -> None:
    """
    Request the release of a payment's remaining authorization, and enqueue the job.

    Needs an open transaction.

    :raises PaymentNotCapturable: if nothing is authorized.
    """
    payment = queries.lock_payment(payment_id)
    if payment.authorized_minor <= 0:
        raise PaymentNotCapturable(f"{payment_id} has no open authorization")
    _request_change(payment, Operation.VOID, 0, attempt_id, now)


def _request_change(
    payment: queries.PaymentRow,
    operation: Operation,
    amount_minor: int,
    attempt_id: str,
    now: datetime,
) -> None:
    provider = provider_accounts.get(payment.provider_account)
    capability = (
        capabilities.SupportsCapture
        if operation is Operation.CAPTURE
        else capabilities.SupportsVoid
    )
    if not isinstance(provider, capability):
        raise capabilities.OperationNotSupported(
            f"{provider.name} does not support {operation.value}"
        )
    for attempt in queries.attempts_of(payment.id):
        if attempt.operation in {Operation.CAPTURE, Operation.VOID} and attempt.status in LIVE:
            raise PaymentNotCapturable(f"a {attempt.operation} of {payment.id} is in progress")
    audit_log.record(
        action=f"payment.{operation.value}",
        subject=payment.id,
        now=now,
        after={"amount_minor": amount_minor, "currency": payment.currency},
    )
    if not enqueue_capture(
        payment_id=payment.id,
        operation=operation,
        attempt_id=attempt_id,
        amount_minor=amount_minor,
        now=now,
    ):
        raise PaymentNotCapturable(f"a capture or void of {payment.id} is in progress")


def enqueue_capture(
    *, payment_id: str, operation: Operation, attempt_id: str, amount_minor: int, now: datetime
) -> bool:
    """Enqueue the job of a capture or void. Return False if one is already enqueued."""
    return jobs.enqueue(
        operation.value,
        {"payment_id": payment_id, "attempt_id": attempt_id, "amount_minor": amount_minor},
        unique_key=f"capture/{payment_id}",
        now=now,
    )


async def capture(lease: jobs.Lease) -> Callable[[], None] | None:
    """Jobs `capture` and `void`: send the requested change of an authorization."""
    operation = Operation(lease.name)
    intent = await group_commit.commits.run(
        lambda: _prepare_capture(operation, lease, now=clock.now())
    )
    return None if intent is None else await attempts.execute(intent)


def _prepare_capture(
    operation: Operation, lease: jobs.Lease, now: datetime
) -> attempts.PreparedAttempt | None:
    payment = queries.lock_payment(lease.payload["payment_id"])
    attempts_by_id = {attempt.id: attempt for attempt in queries.attempts_of(payment.id)}
    amount_minor: int = lease.payload["amount_minor"]
    for number in itertools.count():
        attempt_id = attempt_id_for(lease.payload["attempt_id"], number)
        attempt = attempts_by_id.get(attempt_id)
        if attempt is not None and attempt.status == AttemptStatus.NOT_SENT:
            continue
        if attempt is not None and attempt.status != AttemptStatus.CREATED:
            return None
        is_new = attempt is None
        attempt = attempt or attempts.create_attempt(
            attempt_id=attempt_id,
            payment_id=payment.id,
            operation=operation,
            amount_minor=amount_minor,
            target_reference=charge_reference(payment),
            now=now,
        )
        return attempts.prepare(attempt=attempt, payment=payment, is_new=is_new)
    raise AssertionError("itertools.count() has no end")


def attempt_id_for(attempt_id: str, number: int) -> str:
    """
    Return the attempt id of the n-th try of one capture or void.

    It derives from the request's id, so that a job that runs twice finds earlier tries; a second
    capture could succeed as well.
    """
    return attempt_id if number == 0 else f"{attempt_id}.{number}"


def charge_reference(payment: queries.PaymentRow, *, refund_minor: int = 0) -> str:
    """
    Return the reference of a payment's charge; with *refund_minor*, of one with that much refundable.

    :raises errors.Conflict: if there is none.
    """
    _, refunds, stored_facts = queries.load_payment_inputs(payment)
    state = payment_state.fold(facts.load_commands(payment, refunds), (), stored_facts)
    for share in state.allocations:
        refunded = share.externally_refunded_minor + sum(
            r.amount.amount_minor
            for r in share.refunds
            if r.status in {interface.RefundStatus.SUCCEEDED, interface.RefundStatus.PENDING}
        )
        authorized = share.charge.status in payment_state.OPEN_AUTHORIZATION
        if (authorized and not refund_minor) or share.captured_minor - refunded >= refund_minor > 0:
            return share.charge.reference
    raise errors.Conflict(f"{payment.id} has no charge for this operation")


def abandon_attempt(*, payment_id: str, attempt_id: str, now: datetime) -> None:
    """
    Cancel a payment without captured money, or void its authorization.

    Needs an open transaction. Raises what `cancel` and `request_void` do.
    """
    if queries.lock_payment(payment_id).authorized_minor:
        request_void(payment_id=payment_id, attempt_id=attempt_id, now=now)
    else:
        cancel(payment_id=payment_id, now=now)


def is_in_progress(payment_id: str) -> bool:
    """Whether a capture or void of a payment is enqueued or in progress."""
    if Job.objects.filter(unique_key=f"capture/{payment_id}").exists():
        return True
    changing = {Operation.CAPTURE, Operation.VOID}
    attempts = queries.attempts_of(payment_id)
    return any(a.operation in changing and a.status in LIVE for a in attempts)


def cancel(*, payment_id: str, now: datetime, closed_status: str = "canceled") -> None:
    """
    Close a payment. *closed_status* is "canceled", or "expired" when it timed out.

    Needs an open transaction. Idempotent.

    :raises PaymentNotCancelable: if money was captured or authorized, or an attempt is in progress.
    """
    payment = queries.lock_payment(payment_id)
    if payment.closed_status:
        return
    if payment.captured_minor or payment.authorized_minor:
        raise PaymentNotCancelable(
            f"{payment_id} is authorized or captured: void or refund it instead"
        )
    for attempt in queries.attempts_of(payment_id):
        if attempt.operation in COLLECTING and attempt.status in LIVE:
            raise PaymentNotCancelable(f"{payment_id} has a charge in progress ({attempt.status})")
    sql.run(CLOSE_PAYMENT, [closed_status, payment_id])
    audit_log.record(action=f"payment.{closed_status}", subject=payment_id, now=now)
    facts.recompute_payment(payment=queries.lock_payment(payment_id), now=now)
