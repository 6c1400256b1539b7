"""Approving: above a limit, a refund waits until a second person has agreed to it."""

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
    """The refund waits for nobody's approval."""

    code = "no_pending_approval"


class AlreadyDecided(errors.Conflict):
    """Somebody has decided about the refund."""

    code = "already_decided"


class SelfApprovalForbidden(Forbidden):
    """Who asked for a refund cannot approve it, with another key or session of theirs either."""

    code = "self_approval_forbidden"


def requires_approval(amount: Money) -> bool:
    """Whether *amount* is above the limit of its currency; one without a limit of its own is."""
    limits = settings.current.refund_thresholds
    return bool(limits) and amount.amount_minor > limits.get(amount.currency, 0)


def request_approval(*, refund_id: str, now: datetime) -> None:
    """Have a second person decide about a refund; it was asked for by whoever acts now."""
    RefundApproval.objects.create(
        refund_id=refund_id,
        requested_by=audit_log.actor(),
        requested_owner=owners.current_owner(),
        requested_at=now,
    )


def approve(*, refund_id: str, now: datetime) -> None:
    """
    Agree to a refund, in the name of whoever acts now; the job carries it out.

    Needs an open transaction.

    :raises NotBySame: if they asked for it; :raises AlreadyDecided: if it has been decided;
    :raises NothingToApprove: if it waits for nobody.
    """
    refund = _decide(refund_id, decision=Decision.APPROVED, now=now)
    jobs.enqueue("refund", {"refund_id": refund_id, "payment_id": refund.payment_id}, now=now)


def reject(*, refund_id: str, now: datetime) -> None:
    """
    Refuse a refund, which ends canceled; what it reserved is free again.

    Whoever asked for it may take it back like this. Raises what `approve` does, but `SelfApprovalForbidden`.
    """
    refund = _decide(refund_id, decision=Decision.REJECTED, now=now)
    payment = queries.lock_payment(refund.payment_id)
    queries.update_refund(refund_id, RefundStatus.CANCELED)
    facts.recompute_payment(payment=payment, now=now)


def _decide(refund_id: str, *, decision: Decision, now: datetime) -> Refund:
    group_commit.require_transaction()
    refund = Refund.objects.filter(id=refund_id).select_related("approval").first()
    if refund is None or not hasattr(refund, "approval"):
        raise NoPendingApproval(f"{refund_id!r} waits for nobody's approval")
    # As in every flow the payment is locked first: two who decide at once are told apart here.
    queries.lock_payment(refund.payment_id)
    by, owner = audit_log.actor(), owners.current_owner()
    is_own = owner == refund.approval.requested_owner
    if decision is Decision.APPROVED and is_own:
        raise SelfApprovalForbidden(
            "somebody else than who asked for this refund has to approve it"
        )
    changed = RefundApproval.objects.filter(refund_id=refund_id, decided_at__isnull=True).update(
        decision=decision.value,
        # Taken back by who asked for it, it was decided by nobody else.
        decided_by=f"{by} (taken back)" if is_own else by,
        decided_owner=owner,
        decided_at=now,
    )
    if not changed:
        raise AlreadyDecided(f"{refund_id} has been decided already")
    audit_log.record(
        action="refund.approve" if decision is Decision.APPROVED else "refund.reject",
        subject=refund_id,
        now=now,
        after={"payment": refund.payment_id},
    )
    return refund


def approval_threshold(currency: str) -> Money:
    """Above what amount a second person is needed."""
    return Money(settings.current.refund_thresholds.get(currency, 0), currency)
