"""From an object's status to the answer it means, for providers whose answers are objects."""

from __future__ import annotations

from collections.abc import Mapping

from bursar.providers.interface import ChargeStatus, Outcome, RefundStatus, Result, Snapshot

_OUTCOMES: Mapping[str, Outcome] = {
    ChargeStatus.PENDING: Outcome.PENDING,
    ChargeStatus.REQUIRES_ACTION: Outcome.REQUIRES_ACTION,
    ChargeStatus.DECLINED: Outcome.DECLINED,
    RefundStatus.FAILED: Outcome.DECLINED,
    RefundStatus.CANCELED: Outcome.DECLINED,
}


def outcome_of(status: str) -> Outcome:
    """What the status of a charge or refund says of the operation that made it."""
    return _OUTCOMES.get(status, Outcome.SUCCEEDED)


def result_from_snapshots(snapshot: Snapshot, *others: Snapshot, action_url: str = "") -> Result:
    """The answer that tells of *made*, the object of the operation, and of *others* it changed."""
    return Result(
        outcome=outcome_of(snapshot.status),
        reference=snapshot.reference,
        code=snapshot.code,
        soft_decline=snapshot.soft_decline,
        redirect_url=action_url,
        snapshots=(snapshot, *others),
    )


def declined_result(http_status: int, *, code: str, soft: bool = False) -> Result:
    """The answer of a provider that says 404 where it knows no such object, and 402 for a no."""
    outcome = Outcome.NOT_FOUND if http_status == 404 else Outcome.DECLINED
    return Result(outcome=outcome, code=code, soft_decline=soft)
