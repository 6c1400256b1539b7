"""Approval of refunds above the limit by a second person."""

from __future__ import annotations

from datetime import datetime

from bursar import errors, group_commit, settings
from bursar.access import audit_log, owners
from bursar.decorators import Forbidden
from bursar.money import Money
from bursar.payments import facts, queries
from bursar.payments.models import Refund, RefundApproval
from bursar.payments.statuses import Decision
from bursar.providers.interface import RefundStatus
from bursar.queue import jobs


class NoPendingApproval(errors.NotFound):
    """The refund has no pending approval."""

    code = "no_pending_approval"


class AlreadyDecided(errors.Conflict):
    """The refund is already approved or rejected."""

    code = "already_decided"


class SelfApprovalForbidden(Forbidden):
    """The requester of a refund cannot approve it, with another key or session either."""

    code = "self_approval_forbidden"


def requires_approval(amount: Money) -> bool:
    """Whether *amount* exceeds its currency's limit; a currency without a limit has limit 0."""
    limits = settings.current.refund_thresholds
    return bool(limits) and amount.amount_minor > limits.get(amount.currency, 0)


def request_approval(*, refund_id: str, now: datetime) -> None:
    """Create the pending approval of a refund requested by the current actor."""
    RefundApproval.objects.create(
        refund_id=refund_id,
        requested_by=audit_log.actor(),
        requested_owner=owners.current_owner(),
        requested_at=now,
    )


def approve(*, refund_id: str, now: datetime) -> None:
    """
    Approve a refund as the current actor and enqueue its job. Needs an open transaction.

    :raises SelfApprovalForbidden: if the actor requested the refund;
    :raises AlreadyDecided: if it is already approved or rejected;
    :raises NoPendingApproval: if it needs no approval.
    """
    refund = _decide(refund_id, decision=Decision.APPROVED, now=now)
    jobs.enqueue("refund", {"refund_id": refund_id, "payment_id": refund.payment_id}, now=now)


def reject(*, refund_id: str, now: datetime) -> None:
    """
    Reject a refund: it is canceled and its reserved amount released.

    The requester may withdraw the refund this way. Raises what `approve` does, except
    `SelfApprovalForbidden`.
    """
    refund = _decide(refund_id, decision=Decision.REJECTED, now=now)
    payment = queries.lock_payment(refund.payment_id)
    queries.update_refund(refund_id, RefundStatus.CANCELED)
    facts.recompute_payment(payment=payment, now=now)


def _decide(refund_id: str, *, decision: Decision, now: datetime) -> Refund:
    group_commit.require_transaction()
    refund = Refund.objects.filter(id=refund_id).select_related("approval").first()
    if refund is None or not hasattr(refund, "approval"):
        raise NoPendingApproval(f"{refund_id!r} has no pending approval")
    # The payment is locked first, as everywhere, so that concurrent decisions are serialized.
    queries.lock_payment(refund.payment_id)
    by, owner = audit_log.actor(), owners.current_owner()
    is_own = owner == refund.approval.requested_owner
    if decision is Decision.APPROVED and is_own:
        raise SelfApprovalForbidden("you cannot approve your own refund")
    changed = RefundApproval.objects.filter(refund_id=refund_id, decided_at__isnull=True).update(
        decision=decision.value,
        # A withdrawal by the requester is no decision by a second person.
        decided_by=f"{by} (withdrawn)" if is_own else by,
        decided_owner=owner,
        decided_at=now,
    )
    if not changed:
        raise AlreadyDecided(f"{refund_id} is already decided")
    audit_log.record(
        action="refund.approve" if decision is Decision.APPROVED else "refund.reject",
        subject=refund_id,
        now=now,
        after={"payment": refund.payment_id},
    )
    return refund


def approval_threshold(currency: str) -> Money:
    """Return the amount above which a refund in *currency* needs approval."""
    return Money(settings.current.refund_thresholds.get(currency, 0), currency)
