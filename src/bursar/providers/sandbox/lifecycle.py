"""
State changes of sandbox objects, immediate and scheduled.

Charges are authorized and captured, authorizations expire, pending charges and refunds complete,
disputes follow their timeline. Every function needs an open transaction of the store.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from bursar.providers.interface import ChargeStatus, ObjectKind, RefundStatus
from bursar.providers.sandbox import scenarios
from bursar.providers.sandbox.disputes import DISPUTE_TIMELINES
from bursar.providers.sandbox.fees import convert
from bursar.providers.sandbox.state import SandboxState
from bursar.providers.sandbox.store import SandboxObject

#: How long an authorization can be captured.
AUTHORIZATION_LIVES = timedelta(days=7)

_NEXT_DUE = (
    "SELECT position, action, kind, reference, step FROM scheduled_action WHERE at <= ?"
    " ORDER BY at, position LIMIT 1"
)


def schedule(
    state: SandboxState, item: SandboxObject, action: str, after: timedelta, step: int = 0
) -> None:
    """Schedule *action* for *item* in *after*."""
    state.store.execute(
        "INSERT INTO scheduled_action (at, action, kind, reference, step) VALUES (?, ?, ?, ?, ?)",
        _sortable_time(state.now() + after),
        action,
        item.kind,
        item.reference,
        step,
    )


def run_due(state: SandboxState, *, until: datetime) -> int:
    """Run the actions due at or before *until*; return their number."""
    count = 0
    while due := state.store.fetch_all(_NEXT_DUE, _sortable_time(until)):
        position, action, kind, reference, step = due[0]
        state.store.execute("DELETE FROM scheduled_action WHERE position = ?", position)
        item = state.store.find(kind, reference)
        if item is not None:
            _run_action(state, action, item, step)
        count += 1
    return count


def authorize(state: SandboxState, charge: SandboxObject, *, new: bool = False) -> None:
    """Approve a charge: capture it, or leave it authorized until captured or expired."""
    if charge.capture:
        charge.status = ChargeStatus.CAPTURED
        capture(state, charge, charge.amount_minor, new=new)
    else:
        charge.status = ChargeStatus.AUTHORIZED
        state.save_object(charge, new=new)
        schedule(state, charge, "authorization_expires", AUTHORIZATION_LIVES)


def capture(
    state: SandboxState, charge: SandboxObject, captured_minor: int, *, new: bool = False
) -> None:
    """Set the captured total of *charge*, charge the fee, and schedule a dispute."""
    first = charge.captured_minor == 0
    charge.captured_minor = captured_minor
    charge.settled_minor = convert(
        captured_minor, charge.currency, charge.rate, charge.balance_currency
    )
    charge.fee_minor = state.terms.fee_minor(charge.settled_minor)
    charge.net_minor = charge.settled_minor - charge.fee_minor
    charge.captured_at = state.now().isoformat()
    state.save_object(charge, new=new)
    if charge.fee_minor:
        state.emit_webhook(charge.fee_snapshot(), scenario=charge.scenario)
    dispute = scenarios.find_scenario(charge.scenario, {}).dispute
    if dispute and first:
        days = DISPUTE_TIMELINES[dispute][0].days
        if days:
            schedule(state, charge, "dispute", timedelta(days=days))
        else:
            _open_dispute(state, charge, 0)


def succeed_refund(state: SandboxState, refund: SandboxObject, charge: SandboxObject) -> None:
    """Complete a pending refund and add it to the charge's refunded total."""
    refund.status, refund.net_minor = RefundStatus.SUCCEEDED, -refund.settled_minor
    state.save_object(refund)
    # A running total: a refund that fails later is not subtracted; its own object reports that.
    charge.refunded_minor += refund.amount_minor
    state.save_object(charge)


def _open_dispute(state: SandboxState, charge: SandboxObject, step: int) -> None:
    # The captured amount that is not refunded, in the currency of the balance.
    claimed_minor = charge.captured_minor - state.refunded_minor(charge)
    currency = charge.balance_currency
    amount_minor = convert(claimed_minor, charge.currency, charge.rate, currency)
    if amount_minor > 0:
        dispute = state.new_object(ObjectKind.DISPUTE, "", currency, amount_minor)
        dispute.parent_reference, dispute.scenario = charge.reference, charge.scenario
        _advance_dispute(state, dispute, step, new=True)


def _advance_dispute(
    state: SandboxState, dispute: SandboxObject, step: int, *, new: bool = False
) -> None:
    timeline = DISPUTE_TIMELINES[scenarios.find_scenario(dispute.scenario, {}).dispute]
    current = timeline[step]
    dispute.status, dispute.dispute_stage = current.status, current.stage
    dispute.withdrawn_minor = dispute.amount_minor * current.withdrawn
    dispute.reinstated_minor = dispute.amount_minor * current.reinstated
    dispute.net_minor = dispute.reinstated_minor - dispute.withdrawn_minor
    state.save_object(dispute, new=new)
    if step + 1 < len(timeline):
        days = timedelta(days=timeline[step + 1].days)
        schedule(state, dispute, "dispute_goes_on", days, step + 1)


def _run_action(state: SandboxState, action: str, item: SandboxObject, step: int) -> None:
    if action == "dispute":
        _open_dispute(state, item, step)
    elif action == "dispute_goes_on":
        _advance_dispute(state, item, step)
    elif action == "refund_succeeds" and item.status == RefundStatus.PENDING:
        charge = state.store.find(ObjectKind.CHARGE, item.parent_reference)
        assert charge is not None, "a refund without its charge"
        succeed_refund(state, item, charge)
    elif action == "refund_fails":
        item.status, item.net_minor = RefundStatus.FAILED, 0
        item.code = "account_closed"
        state.save_object(item)
    elif action == "charge_ends" and item.status == ChargeStatus.PENDING:
        _end_pending(state, item)
    elif action == "authorization_expires":
        _expire(state, item)


def _end_pending(state: SandboxState, charge: SandboxObject) -> None:
    decline = scenarios.find_scenario(charge.scenario, {}).pending_decline
    if decline:
        charge.status, charge.code = ChargeStatus.DECLINED, decline
        state.save_object(charge)
    else:
        authorize(state, charge)


def _expire(state: SandboxState, charge: SandboxObject) -> None:
    # A partial capture stays; the remainder is released.
    if charge.status == ChargeStatus.AUTHORIZED:
        charge.status = ChargeStatus.EXPIRED
    elif charge.status == ChargeStatus.PARTIALLY_CAPTURED:
        charge.status = ChargeStatus.CAPTURED
    else:
        return
    state.save_object(charge)


def _sortable_time(at: datetime) -> str:
    # Always with microseconds, because the column is compared as text.
    return at.isoformat(timespec="microseconds")
