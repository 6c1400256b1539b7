"""Conversion of Stripe's objects to snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bursar import errors
from bursar.money import Money
from bursar.providers import http_provider
from bursar.providers.interface import (
    ChargeStatus,
    DisputeStatus,
    MovementStatus,
    ObjectKind,
    RefundStatus,
    Snapshot,
)
from bursar.providers.stripe import currencies, schemas

#: Metadata: the id of our attempt, and a mark on intents of Checkout sessions.
ATTEMPT_KEY, HOSTED_KEY = "bursar_attempt", "bursar_hosted"

_INTENTS = {
    "requires_payment_method": ChargeStatus.DECLINED,
    "requires_confirmation": ChargeStatus.PENDING,
    "requires_action": ChargeStatus.REQUIRES_ACTION,
    "processing": ChargeStatus.PENDING,
    "requires_capture": ChargeStatus.AUTHORIZED,
    "canceled": ChargeStatus.VOIDED,
    "succeeded": ChargeStatus.CAPTURED,
}
_REFUNDS = {
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.CANCELED,
}
_DISPUTES = {
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.INQUIRY,
    "warning_closed": DisputeStatus.INQUIRY_CLOSED,
    "needs_response": DisputeStatus.NEEDS_RESPONSE,
    "under_review": DisputeStatus.UNDER_REVIEW,
    "charge_refunded": DisputeStatus.WON,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}
_PAYOUTS = {
    "pending": MovementStatus.PENDING,
    "in_transit": MovementStatus.PENDING,
    "paid": MovementStatus.POSTED,
    "failed": MovementStatus.FAILED,
    "canceled": MovementStatus.FAILED,
}

#: Hard declines: no retry with the same method succeeds (docs.stripe.com/declines/codes).
HARD_DECLINES = frozenset(
    "card_not_supported currency_not_supported expired_card fraudulent incorrect_number "
    "invalid_account invalid_expiry_month invalid_expiry_year invalid_number lost_card "
    "merchant_blacklist new_account_information_available no_action_taken not_permitted "
    "pickup_card restricted_card revocation_of_all_authorizations revocation_of_authorization "
    "security_violation service_not_allowed stolen_card stop_payment_order testmode_decline "
    "transaction_not_allowed".split()
)


def from_intent(intent: schemas.PaymentIntent) -> Snapshot:
    """Convert a payment intent, with its latest charge if expanded, to a charge snapshot."""
    received = intent.amount_received
    status = _INTENTS[intent.status]
    code = ""
    if status is ChargeStatus.DECLINED:
        code = error_code(intent.last_payment_error)
        if not intent.last_payment_error or HOSTED_KEY in (intent.metadata or {}):
            status, code = ChargeStatus.REQUIRES_ACTION, ""  # the buyer can still pay
    elif status is ChargeStatus.AUTHORIZED and received:
        is_open = intent.amount_capturable > 0
        status = ChargeStatus.PARTIALLY_CAPTURED if is_open else ChargeStatus.CAPTURED
    elif status is ChargeStatus.VOIDED:
        code = intent.cancellation_reason or ""
        if received:
            status = ChargeStatus.CAPTURED  # the remainder was released
        elif code == "automatic":
            status = ChargeStatus.EXPIRED
    snapshot = Snapshot(
        kind=ObjectKind.CHARGE,
        reference=intent.id,
        status=status,
        amount=currencies.from_stripe_amount(intent.amount, intent.currency),
        captured_minor=currencies.from_stripe_amount(received, intent.currency).amount_minor,
        key=(intent.metadata or {}).get(ATTEMPT_KEY, ""),
        code=code,
        soft_decline=bool(code) and status is ChargeStatus.DECLINED and code not in HARD_DECLINES,
        occurred_at=_time(intent.created),
    )
    charge = intent.latest_charge
    # A charge captured in several parts has one balance transaction a part and names none of them.
    if received and isinstance(charge, schemas.StripeCharge) and charge.amount_captured == received:
        return _with_settlement(snapshot, charge.balance_transaction)
    return snapshot


def from_charge(charge: schemas.StripeCharge) -> Snapshot:
    """Convert a charge; charges of payment intents are read from their intent instead."""
    captured = charge.amount_captured
    status = {"failed": ChargeStatus.DECLINED, "pending": ChargeStatus.PENDING}.get(charge.status)
    if status is None:
        status = ChargeStatus.CAPTURED if charge.captured else ChargeStatus.AUTHORIZED
    snapshot = Snapshot(
        kind=ObjectKind.CHARGE,
        reference=charge.payment_intent or charge.id,
        status=status,
        amount=currencies.from_stripe_amount(charge.amount, charge.currency),
        captured_minor=currencies.from_stripe_amount(captured, charge.currency).amount_minor,
        key=(charge.metadata or {}).get(ATTEMPT_KEY, ""),
        code=charge.failure_code or "",
        occurred_at=_time(charge.created),
    )
    return _with_settlement(snapshot, charge.balance_transaction) if captured else snapshot


def from_refund(refund: schemas.StripeRefund) -> Snapshot:
    """Convert a refund; its balance transaction has the settled amount."""
    status = _REFUNDS[refund.status or "pending"]
    snapshot = Snapshot(
        kind=ObjectKind.REFUND,
        reference=refund.id,
        status=status,
        amount=currencies.from_stripe_amount(refund.amount, refund.currency),
        key=(refund.metadata or {}).get(ATTEMPT_KEY, ""),
        parent_reference=refund.payment_intent or refund.charge or "",
        code=refund.failure_reason or "",
        occurred_at=_time(refund.created),
    )
    return _with_settlement(snapshot, refund.balance_transaction, sign=-1)


def from_dispute(dispute: schemas.StripeDispute) -> Snapshot:
    """Convert a dispute, in the currency of the balance from which it was withdrawn."""
    moves = dispute.balance_transactions
    withdrawn = sum(-move.amount for move in moves if move.amount < 0)
    reinstated = sum(move.amount for move in moves if move.amount > 0)
    currency = moves[0].currency if moves else dispute.currency
    fee = sum(move.fee for move in moves)
    due = dispute.evidence_details.due_by if dispute.evidence_details else None
    return Snapshot(
        kind=ObjectKind.DISPUTE,
        reference=dispute.id,
        status=_DISPUTES[dispute.status],
        amount=currencies.from_stripe_amount(withdrawn or dispute.amount, currency),
        withdrawn_minor=currencies.from_stripe_amount(withdrawn, currency).amount_minor,
        reinstated_minor=currencies.from_stripe_amount(reinstated, currency).amount_minor,
        fee=currencies.from_stripe_amount(fee, currency) if fee else None,
        parent_reference=dispute.payment_intent or dispute.charge or "",
        code=dispute.reason,
        occurred_at=_time(dispute.created),
        evidence_due_by=_time(due) if due else None,
    )


def from_payout(payout: schemas.StripePayout) -> Snapshot:
    """Convert a payout; it reduces the balance when it is created, not when it arrives."""
    return Snapshot(
        kind=ObjectKind.PAYOUT,
        reference=payout.id,
        status=_PAYOUTS[payout.status],
        amount=currencies.from_stripe_amount(payout.amount, payout.currency),
        code=payout.failure_code or "",
        occurred_at=_time(payout.created),
    )


def from_session(session: schemas.CheckoutSession) -> Snapshot | None:
    """Convert an unpaid Checkout session; None once its payment intent has the state."""
    if isinstance(session.payment_intent, schemas.PaymentIntent):
        return from_intent(session.payment_intent)
    if session.status == "complete" or session.amount_total is None or not session.currency:
        return None
    expired = session.status == "expired"
    return Snapshot(
        kind=ObjectKind.CHARGE,
        reference=session.id,
        status=ChargeStatus.EXPIRED if expired else ChargeStatus.REQUIRES_ACTION,
        amount=currencies.from_stripe_amount(session.amount_total, session.currency),
        key=(session.metadata or {}).get(ATTEMPT_KEY, ""),
        code="expired" if expired else "",
        occurred_at=_time(session.created),
    )


_READERS: Mapping[str, tuple[type[Any], Callable[[Any], Snapshot | None]]] = {
    "payment_intent": (schemas.PaymentIntent, from_intent),
    "charge": (schemas.StripeCharge, from_charge),
    "refund": (schemas.StripeRefund, from_refund),
    "dispute": (schemas.StripeDispute, from_dispute),
    "payout": (schemas.StripePayout, from_payout),
    "checkout.session": (schemas.CheckoutSession, from_session),
}


def read_object(payload: Mapping[str, Any]) -> Iterable[Snapshot]:
    """
    Return the snapshots of any object; none if its kind moves no money.

    :raises errors.OutcomeUnknown: if it does not match its schema or has an unknown status.
    """
    kind, reader = _READERS.get(payload.get("object", ""), (None, None))
    if kind is None or reader is None:
        return []
    try:
        snapshot = reader(http_provider.decode(payload, kind, f"Stripe's {payload['object']}"))
    except KeyError as error:
        raise errors.OutcomeUnknown(
            f"Stripe's {payload['object']} has an unknown status {error}"
        ) from error
    return [] if snapshot is None else [snapshot]


def error_code(error: schemas.StripeError | None) -> str:
    """Return the most specific code of an error."""
    if error is None:
        return ""
    return error.decline_code or error.code or error.type


def _with_settlement(
    snapshot: Snapshot, transaction: str | schemas.BalanceTransaction | None, sign: int = 1
) -> Snapshot:
    if not isinstance(transaction, schemas.BalanceTransaction):
        return snapshot
    settled = currencies.from_stripe_amount(sign * transaction.amount, transaction.currency)
    fee: Money | None = (
        currencies.from_stripe_amount(transaction.fee, transaction.currency)
        if transaction.fee
        else None
    )
    rate = "" if transaction.exchange_rate is None else str(transaction.exchange_rate)
    return replace(snapshot, settled=settled, fee=fee, rate=rate)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
