"""Build results from snapshots, for providers whose responses are objects."""

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
    """Return the outcome of an operation whose charge or refund has *status*."""
    return _OUTCOMES.get(status, Outcome.SUCCEEDED)


def result_from_snapshots(snapshot: Snapshot, *others: Snapshot, redirect_url: str = "") -> Result:
    """Return the result with *snapshot*, the object of the operation, and *others* it changed."""
    return Result(
        outcome=outcome_of(snapshot.status),
        reference=snapshot.reference,
        code=snapshot.code,
        soft_decline=snapshot.soft_decline,
        redirect_url=redirect_url,
        snapshots=(snapshot, *others),
    )


def declined_result(http_status: int, *, code: str, soft_decline: bool = False) -> Result:
    """Return `NOT_FOUND` for a response with status 404, else a decline with *code*."""
    outcome = Outcome.NOT_FOUND if http_status == 404 else Outcome.DECLINED
    return Result(outcome=outcome, code=code, soft_decline=soft_decline)
