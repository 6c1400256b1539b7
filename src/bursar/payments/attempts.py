"""
One operation at a provider: prepare, send, record the outcome.

1. The attempt is committed; its id is the idempotency key of every retry.
2. The provider is called outside any transaction.
3. The outcome is recorded idempotently. Anything but a clear response is `unknown`, never failed,
   and a status check is enqueued in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bursar import clock, errors, fields, group_commit, logs, sql
from bursar.money import Money
from bursar.payments import facts, provider_accounts, queries
from bursar.payments.statuses import AttemptStatus
from bursar.providers import interface
from bursar.providers.interface import ObjectKind, Operation, Outcome, Result, Snapshot
from bursar.queue import jobs

#: A call without a response by then is unknown, whatever the provider's own time-out.
CALL_SECONDS_MAX = 60.0
#: An attempt prepared longer ago is not sent. It is shorter than a job's lease: if a worker is
#: suspended for longer, another may have received "not found" and charged with a new attempt.
SEND_SECONDS_MAX = 20.0
FIRST_CHECK_DELAY = timedelta(seconds=1)
#: A pending attempt is checked after this, in case its webhook is lost.
FIRST_POLL_DELAY = timedelta(minutes=5)

Request = (
    interface.ChargeRequest
    | interface.CaptureRequest
    | interface.VoidRequest
    | interface.RefundRequest
)

log = logs.get(__name__)

STATUSES = {
    Outcome.SUCCEEDED: AttemptStatus.SUCCEEDED,
    Outcome.PENDING: AttemptStatus.PENDING,
    Outcome.REQUIRES_ACTION: AttemptStatus.REQUIRES_ACTION,
    Outcome.DECLINED: AttemptStatus.DECLINED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedAttempt:
    """A committed attempt and the request to send; *is_new* if it cannot have been sent yet."""

    payment_id: str
    provider_account: str
    provider: interface.PaymentProvider
    operation: Operation
    request: Request
    refund_id: str | None
    is_new: bool
    prepared_at: float = field(default_factory=clock.monotonic)

    @property
    def attempt_id(self) -> str:
        """The attempt's id: the idempotency key of every retry."""
        return self.request.key


def create_attempt(
    *,
    attempt_id: str,
    payment_id: str,
    operation: Operation,
    amount_minor: int,
    now: datetime,
    refund_id: str | None = None,
    target_reference: str = "",
) -> queries.AttemptRow:
    """
    Insert an attempt; a unique constraint rejects it while a live one of the operation exists.

    *target_reference* is the provider's reference of the charge to capture, void or refund.
    """
    group_commit.require_transaction()
    row = [
        attempt_id,
        payment_id,
        refund_id,
        operation.value,
        amount_minor,
        target_reference,
        False,
        False,
        fields.to_db_datetime(now),
    ]
    sql.run(queries.INSERT_ATTEMPT, row)
    return queries.AttemptRow(
        attempt_id,
        operation,
        refund_id,
        amount_minor,
        AttemptStatus.CREATED,
        target_reference,
        "",
        0,
        now,
    )


def prepare(
    *, attempt: queries.AttemptRow, payment: queries.PaymentRow, is_new: bool
) -> PreparedAttempt:
    """Build the request of a stored attempt."""
    return PreparedAttempt(
        payment_id=payment.id,
        provider_account=payment.provider_account,
        provider=provider_accounts.get(payment.provider_account),
        operation=Operation(attempt.operation),
        request=build_request(attempt=attempt, payment=payment),
        refund_id=attempt.refund_id,
        is_new=is_new,
    )


async def execute(intent: PreparedAttempt) -> Callable[[], None]:
    """
    Send an attempt. Return a function that records the outcome, for the caller to commit.

    :raises errors.Unavailable: if the request certainly was not processed; the attempt is then
        `not_sent`, and a retry is a new attempt.
    """
    if not intent.is_new:
        return lambda: mark_unknown(
            intent, reason="the process stopped before the response", now=clock.now()
        )
    try:
        result = await send(intent)
    except errors.Unavailable:
        await group_commit.commits.run(
            lambda: finalize(
                intent, status=AttemptStatus.NOT_SENT, failure_code="unavailable", now=clock.now()
            )
        )
        raise
    except errors.OutcomeUnknown as error:
        reason = str(error)
        return lambda: mark_unknown(intent, reason=reason, now=clock.now())
    return lambda: record_response(intent, result, source="response", now=clock.now())


async def send(intent: PreparedAttempt) -> Result:
    """
    Send the request once.

    :raises errors.Unavailable: if the request certainly was not processed;
    :raises errors.OutcomeUnknown: if the response is not clear.
    """
    method = getattr(intent.provider, _METHODS[intent.operation])
    try:
        async with (
            provider_accounts.concurrency_limit(intent.provider_account),
            asyncio.timeout(CALL_SECONDS_MAX),
        ):
            if clock.monotonic() - intent.prepared_at > SEND_SECONDS_MAX:
                raise errors.Unavailable(
                    f"{intent.attempt_id} was prepared too long ago to be sent"
                )
            result = await method(intent.request)
    except (errors.Unavailable, errors.OutcomeUnknown):
        raise
    except errors.Declined as error:
        return Result(outcome=Outcome.DECLINED, code=error.code)
    except Exception as error:  # a plug-in may raise anything after it has sent
        raise errors.OutcomeUnknown(f"{type(error).__name__}: {error}") from error
    if not isinstance(result, Result) or result.outcome not in STATUSES:
        raise errors.OutcomeUnknown(f"{intent.provider.name} returned no clear outcome")
    return result


_METHODS = {
    Operation.CHARGE: "charge",
    Operation.AUTHORIZE: "charge",
    Operation.CAPTURE: "capture",
    Operation.VOID: "void",
    Operation.REFUND: "refund",
}


def record_response(intent: PreparedAttempt, result: Result, *, source: str, now: datetime) -> None:
    """Record a clear response: the attempt's status, and facts of the provider's objects."""
    status = STATUSES[result.outcome]
    facts.append_facts(
        provider_account=intent.provider_account,
        snapshots=result.snapshots or _snapshots_from_result(intent, result),
        source=source,
        now=now,
        response=facts.ProviderResponse(
            attempt_id=intent.attempt_id,
            link=facts.Link(intent.payment_id, intent.refund_id),
            status=status,
            reference=result.reference,
            failure_code=result.code,
            soft_decline=result.soft_decline,
            redirect_url=result.redirect_url,
        ),
    )
    if status in {AttemptStatus.PENDING, AttemptStatus.REQUIRES_ACTION}:
        enqueue_status_check(intent.attempt_id, delay=FIRST_POLL_DELAY, now=now)


def _snapshots_from_result(intent: PreparedAttempt, result: Result) -> tuple[Snapshot, ...]:
    """Build a snapshot from the result alone, for providers that return no objects."""
    request, outcome = intent.request, result.outcome
    reference = result.reference or request.key
    if isinstance(request, interface.ChargeRequest):
        final_status = (
            interface.ChargeStatus.CAPTURED
            if request.capture
            else interface.ChargeStatus.AUTHORIZED
        )
        status = {Outcome.SUCCEEDED: final_status.value}.get(outcome, outcome.value)
        captured = request.amount.amount_minor if status == interface.ChargeStatus.CAPTURED else 0
        snapshot = Snapshot(
            kind=ObjectKind.CHARGE,
            reference=reference,
            status=status,
            amount=request.amount,
            captured_minor=captured,
            key=request.key,
            code=result.code,
            soft_decline=result.soft_decline,
        )
        return (snapshot,)
    if isinstance(request, interface.RefundRequest):
        status = interface.RefundStatus.FAILED if outcome is Outcome.DECLINED else outcome.value
        snapshot = Snapshot(
            kind=ObjectKind.REFUND,
            reference=reference,
            status=status,
            amount=request.amount,
            key=request.key,
            parent_reference=request.reference,
            code=result.code,
        )
        return (snapshot,)
    return ()


def mark_unknown(intent: PreparedAttempt, *, reason: str, now: datetime) -> None:
    """Mark an attempt as unknown and enqueue a status check. Needs an open transaction."""
    log.warning("outcome_unknown", attempt=intent.attempt_id, reason=reason)
    finalize(intent, status=AttemptStatus.UNKNOWN, failure_code="provider_no_response", now=now)
    enqueue_status_check(intent.attempt_id, delay=FIRST_CHECK_DELAY, now=now)


def finalize(
    intent: PreparedAttempt, *, status: AttemptStatus, failure_code: str, now: datetime
) -> None:
    """Set an attempt's status without facts, and recompute its payment."""
    payment = queries.lock_payment(intent.payment_id)
    facts.update_attempt(
        attempt_id=intent.attempt_id, status=status, failure_code=failure_code, now=now
    )
    facts.recompute_payment(payment=payment, now=now)


def enqueue_status_check(attempt_id: str, *, delay: timedelta, now: datetime) -> None:
    """Enqueue the job `check_attempt_status`, at most one per attempt."""
    jobs.enqueue(
        "check_attempt_status",
        {"attempt_id": attempt_id},
        delay=delay,
        unique_key=f"check_attempt_status/{attempt_id}",
        now=now,
    )


def build_request(*, attempt: queries.AttemptRow, payment: queries.PaymentRow) -> Request:
    """Build the request of an attempt; deterministic, so that a retry is identical."""
    amount = Money(attempt.amount_minor, payment.currency)
    match Operation(attempt.operation):
        case Operation.REFUND:
            metadata = {"refund": attempt.refund_id or ""}
            return interface.RefundRequest(
                key=attempt.id, reference=attempt.target_reference, amount=amount, metadata=metadata
            )
        case Operation.CAPTURE:
            return interface.CaptureRequest(
                key=attempt.id, reference=attempt.target_reference, amount=amount, final=False
            )
        case Operation.VOID:
            return interface.VoidRequest(key=attempt.id, reference=attempt.target_reference)
        case operation:
            return interface.ChargeRequest(
                key=attempt.id,
                amount=amount,
                method=payment.payment_method_token,
                capture=operation is Operation.CHARGE,
                metadata={"payment": payment.id, "order": payment.order_id},
            )
