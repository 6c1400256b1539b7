"""
Status checks: find out the outcome of unknown and pending attempts.

The provider is queried by reference or idempotency key; if it only honours keys, the same request
is sent again with the same key until the key expires. "Not found" is final only after the
provider's `lookup_final_after`, and if received at least twice. What remains unknown becomes a review.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bursar import clock, errors, group_commit, ids, sql
from bursar.payments import attempts, charges, facts, provider_accounts, queries, reviews
from bursar.payments.models import Attempt, Fact, Payment
from bursar.payments.payment_state import captured_minor
from bursar.payments.statuses import LIVE, AttemptStatus
from bursar.providers.capabilities import SupportsFetchObject
from bursar.providers.interface import (
    ChargeStatus,
    ObjectKind,
    Operation,
    Outcome,
    PaymentProvider,
    RefundStatus,
    Result,
    Snapshot,
    StatusRequest,
)
from bursar.queue import jobs, worker

#: Status checks required before "not found" is final.
CHECKS_MIN = 2
CHECK_DELAY_MAX = timedelta(hours=1)
#: An outcome that is still unknown after this becomes a review.
UNKNOWN_AGE_MAX = timedelta(hours=24)
#: A key is not reused this close to its expiry.
KEY_TTL_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Case:
    """An attempt to check, with everything needed for the request."""

    intent: attempts.PreparedAttempt
    attempt: queries.AttemptRow
    captured_before_minor: int  # by our own succeeded captures
    expires_at: datetime | None

    @property
    def provider(self) -> PaymentProvider:
        return self.intent.provider

    def age(self, now: datetime) -> timedelta:
        return now - self.attempt.created_at


async def check_attempt_status(lease: jobs.Lease) -> Callable[[], None] | None:
    """Job `check_attempt_status`: finalize one live attempt, or retry later."""
    attempt_id = lease.payload["attempt_id"]
    case = await group_commit.commits.run(lambda: _load_case(attempt_id))
    if case is None:
        return None
    now = clock.now()
    try:
        result = await _request_status(case, now)
    except (errors.OutcomeUnknown, errors.Unavailable) as error:
        if case.age(now) > UNKNOWN_AGE_MAX:
            return lambda: _open_review(case, "outcome_unresolved", now)
        raise worker.RetryLater(poll_delay(case), str(error)) from error
    if result is None:
        return lambda: _open_review(case, "outcome_undecidable", now)
    if result.outcome is Outcome.NOT_FOUND:
        if not _is_not_found_final(case, now):
            raise worker.RetryLater(poll_delay(case), "not found yet")
        return lambda: _handle_not_found(case, now)
    if result.outcome in {Outcome.PENDING, Outcome.REQUIRES_ACTION}:
        if case.expires_at is not None and now >= case.expires_at:
            return lambda: _expire(case, result, now)
        await group_commit.commits.run(lambda: _record_result(case, result, now))
        raise worker.RetryLater(poll_delay(case), f"still {result.outcome.value}")
    return lambda: _record_result(case, result, now)


def _load_case(attempt_id: str) -> _Case | None:
    """Load the attempt if it is still live, and count the status check."""
    row = Attempt.objects.filter(id=attempt_id).values("payment_id").first()
    if row is None:
        raise errors.NotFound(f"attempt {attempt_id!r} not found")
    payment = queries.lock_payment(row["payment_id"])
    payment_attempts = queries.attempts_of(payment.id)
    attempt = next(a for a in payment_attempts if a.id == attempt_id)
    if attempt.status not in LIVE:
        return None
    sql.run(queries.COUNT_STATUS_CHECK, [attempt_id])
    return _Case(
        intent=attempts.prepare(attempt=attempt, payment=payment, is_new=False),
        attempt=attempt,
        captured_before_minor=sum(
            a.amount_minor
            for a in payment_attempts
            if a.operation == Operation.CAPTURE and a.status == AttemptStatus.SUCCEEDED
        ),
        expires_at=Payment.objects.values_list("expires_at", flat=True).get(id=payment.id),
    )


async def _request_status(case: _Case, now: datetime) -> Result | None:
    """
    Query by reference or key, or resend with the same key. None if the provider supports neither.

    :raises errors.OutcomeUnknown: if the response is not clear;
    :raises errors.Unavailable: if the provider cannot be reached.
    """
    provider, attempt = case.provider, case.attempt
    is_charge_change = case.intent.operation in {Operation.CAPTURE, Operation.VOID}
    reference = attempt.target_reference if is_charge_change else attempt.reference
    request = StatusRequest(
        operation=case.intent.operation,
        key=attempt.id,
        reference=reference,
        parent_reference=attempt.target_reference,
    )
    ttl = provider.idempotency_key_ttl
    is_key_valid = ttl is not None and case.age(now) < ttl - KEY_TTL_MARGIN
    if (
        is_key_valid
        and not reference
        and (provider.repeats_before_lookup or not provider.lookup_by_key)
    ):
        return await _resend(case, request)
    if reference or provider.lookup_by_key:
        return _outcome_from_charge(case, await _get_status(case, request))
    return None


async def _resend(case: _Case, request: StatusRequest) -> Result:
    """Send the request again with the same key; if that is not clear, query by key."""
    try:
        return await attempts.send(case.intent)
    except errors.OutcomeUnknown:
        if not case.provider.lookup_by_key:
            raise
        result = await _get_status(case, request)
        if result.outcome is Outcome.NOT_FOUND:
            raise  # the search index may lag behind
        return result


async def _get_status(case: _Case, request: StatusRequest) -> Result:
    try:
        async with asyncio.timeout(attempts.CALL_SECONDS_MAX):
            return await case.provider.get_status(request)
    except (errors.Unavailable, errors.OutcomeUnknown):
        raise
    except Exception as error:  # a plug-in may raise anything
        raise errors.OutcomeUnknown(f"{type(error).__name__}: {error}") from error


def _outcome_from_charge(case: _Case, result: Result) -> Result:
    """Derive the outcome of a capture or void from its charge, which is all the provider returns."""
    operation, charge = case.intent.operation, next(iter(result.snapshots), None)
    if charge is None or operation not in {Operation.CAPTURE, Operation.VOID}:
        return result
    if operation is Operation.VOID:
        is_done = charge.status in {
            ChargeStatus.VOIDED,
            ChargeStatus.EXPIRED,
            ChargeStatus.CAPTURED,
        }
    else:
        # Captures of one payment never overlap, so the charge's total identifies them.
        expected = case.captured_before_minor + case.attempt.amount_minor
        is_done = charge.captured_minor >= expected
    outcome = Outcome.SUCCEEDED if is_done else Outcome.NOT_FOUND
    return Result(outcome=outcome, reference=charge.reference, snapshots=result.snapshots)


def poll_delay(case: _Case) -> timedelta:
    """
    Return the delay until the next check: doubling from `FIRST_CHECK_DELAY`, at most 1 hour.

    If "not found" becomes final earlier than that, the check runs at that time.
    """
    doubled = min(
        attempts.FIRST_CHECK_DELAY * 2 ** min(case.attempt.status_check_count, 20), CHECK_DELAY_MAX
    )
    settles = case.attempt.created_at + case.provider.lookup_final_after - clock.now()
    return settles if timedelta(0) < settles < doubled else doubled


def _is_not_found_final(case: _Case, now: datetime) -> bool:
    old_enough = case.age(now) >= case.provider.lookup_final_after
    return old_enough and case.attempt.status_check_count + 1 >= CHECKS_MIN


def _record_result(case: _Case, result: Result, now: datetime) -> None:
    attempts.record_response(case.intent, result, source="lookup", now=now)


def _handle_not_found(case: _Case, now: datetime) -> None:
    """Mark the attempt as not sent, and enqueue its operation again under a new key."""
    intent = case.intent
    attempts.finalize(intent, status=AttemptStatus.NOT_SENT, failure_code="not_found", now=now)
    if intent.operation is Operation.REFUND:
        payload = {"refund_id": case.attempt.refund_id, "payment_id": intent.payment_id}
        jobs.enqueue("refund", payload, now=now)
    elif intent.operation in {Operation.CAPTURE, Operation.VOID}:
        charges.enqueue_capture(
            payment_id=intent.payment_id,
            operation=intent.operation,
            attempt_id=case.attempt.id.partition(".")[0],
            amount_minor=case.attempt.amount_minor,
            now=now,
        )
    else:
        jobs.enqueue("charge", {"payment_id": intent.payment_id}, now=now)


def _expire(case: _Case, result: Result, now: datetime) -> None:
    """Expire a payment whose buyer did not complete it. Money received later becomes a review."""
    attempts.record_response(case.intent, result, source="lookup", now=now)
    facts.update_attempt(
        attempt_id=case.attempt.id,
        status=AttemptStatus.DECLINED,
        failure_code="payment_expired",
        now=now,
    )
    charges.cancel(payment_id=case.intent.payment_id, closed_status="expired", now=now)


def _open_review(case: _Case, code: str, now: datetime) -> None:
    # A webhook may have finalized the attempt since the check.
    queries.lock_payment(case.intent.payment_id)
    attempts = queries.attempts_of(case.intent.payment_id)
    if not any(a.id == case.attempt.id and a.status in LIVE for a in attempts):
        return
    reviews.create_review(
        code=code,
        subject=case.intent.payment_id,
        payment_id=case.intent.payment_id,
        detail={"attempt": case.attempt.id, "operation": case.intent.operation.value},
        now=now,
    )


def needs_refresh(provider_account: str, snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """
    Return the *snapshots* that moved money without a fee or settled amount.

    Webhooks of some providers omit fee and exchange rate; the object itself has them.
    """
    if not isinstance(provider_accounts.get(provider_account), SupportsFetchObject):
        return []
    moved = (
        s
        for s in snapshots
        if (
            (s.kind is ObjectKind.CHARGE and captured_minor(s))
            or s.status == RefundStatus.SUCCEEDED
        )
        and s.fee is None
        and s.settled is None
    )
    return [
        s
        for s in moved
        if not _has_settlement(provider_account, s.kind, s.reference, s.captured_minor)
    ]


def _has_settlement(account: str, kind: ObjectKind, reference: str, captured_minor: int) -> bool:
    """Whether the fee or settled amount is already recorded from another source."""
    facts = Fact.objects.filter(provider_account_id=account, reference=reference)
    if kind is ObjectKind.CHARGE:
        return facts.filter(kind=ObjectKind.FEE, provider_version=captured_minor).exists()
    return facts.filter(kind=kind, settled_minor__isnull=False).exists()


def enqueue_refresh(provider_account: str, snapshot: Snapshot, now: datetime) -> None:
    """Enqueue the job `refresh_provider_object`, once per object and captured amount."""
    payload = {
        "provider_account": provider_account,
        "kind": snapshot.kind.value,
        "reference": snapshot.reference,
        "captured_minor": snapshot.captured_minor,
    }
    jobs.enqueue(
        "refresh_provider_object",
        payload,
        unique_key=f"refresh_provider_object/{ids.digest(*payload.values())}",
        now=now,
    )


async def refresh_provider_object(lease: jobs.Lease) -> Callable[[], None] | None:
    """Job `refresh_provider_object`: fetch an object, unless its fee is already recorded."""
    payload = lease.payload
    account, kind, reference = (
        payload["provider_account"],
        ObjectKind(payload["kind"]),
        payload["reference"],
    )

    def load() -> tuple[bool, PaymentProvider]:
        is_settled = _has_settlement(account, kind, reference, payload["captured_minor"])
        return is_settled, provider_accounts.get(account)

    is_settled, provider = await group_commit.commits.run(load)
    if is_settled or not isinstance(provider, SupportsFetchObject):
        return None
    async with (
        provider_accounts.concurrency_limit(account),
        asyncio.timeout(attempts.CALL_SECONDS_MAX),
    ):
        snapshots = tuple(await provider.fetch_object(kind, reference))
    return lambda: _record_snapshots(account, snapshots)


def _record_snapshots(account: str, snapshots: Iterable[Snapshot]) -> None:
    facts.append_facts(
        provider_account=account, snapshots=snapshots, source="lookup", now=clock.now()
    )
