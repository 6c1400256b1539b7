"""From Stripe's objects to snapshots: what each says of money, in the house's words."""

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

#: The metadata that ties an object to our attempt, and marks an intent collected on a page.
KEY, HOSTED = "bursar_attempt", "bursar_hosted"

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

#: Declines that no later try with the same method will change (docs.stripe.com/declines/codes).
HARD = frozenset(
    "card_not_supported currency_not_supported expired_card fraudulent incorrect_number "
    "invalid_account invalid_expiry_month invalid_expiry_year invalid_number lost_card "
    "merchant_blacklist new_account_information_available no_action_taken not_permitted "
    "pickup_card restricted_card revocation_of_all_authorizations revocation_of_authorization "
    "security_violation service_not_allowed stolen_card stop_payment_order testmode_decline "
    "transaction_not_allowed".split()
)


def intent(told: schemas.PaymentIntent) -> Snapshot:
    """A charge of ours: Stripe's payment intent, with its latest charge where that is told."""
    received = told.amount_received
    status = _INTENTS[told.status]
    code = ""
    if status is ChargeStatus.DECLINED:
        code = reason_of(told.last_payment_error)
        if not told.last_payment_error or HOSTED in (told.metadata or {}):
            status, code = ChargeStatus.REQUIRES_ACTION, ""  # the buyer may (still) pay
    elif status is ChargeStatus.AUTHORIZED and received:
        more = told.amount_capturable > 0
        status = ChargeStatus.PARTIALLY_CAPTURED if more else ChargeStatus.CAPTURED
    elif status is ChargeStatus.VOIDED:
        code = told.cancellation_reason or ""
        if received:
            status = ChargeStatus.CAPTURED  # the rest was released
        elif code == "automatic":
            status = ChargeStatus.EXPIRED
    made = Snapshot(
        kind=ObjectKind.CHARGE,
        reference=told.id,
        status=status,
        amount=currencies.from_stripe_amount(told.amount, told.currency),
        captured_minor=currencies.from_stripe_amount(received, told.currency).amount_minor,
        key=(told.metadata or {}).get(KEY, ""),
        code=code,
        soft=bool(code) and status is ChargeStatus.DECLINED and code not in HARD,
        occurred_at=_time(told.created),
    )
    charge = told.latest_charge
    # A charge that was captured in parts has a movement for each and names none.
    whole = isinstance(charge, schemas.StripeCharge) and charge.amount_captured == received
    return _settled(made, charge.balance_transaction) if received and whole else made  # type: ignore[union-attr]


def charge(told: schemas.StripeCharge) -> Snapshot:
    """A charge that has no payment intent; of others the intent tells all."""
    captured = told.amount_captured
    status = {"failed": ChargeStatus.DECLINED, "pending": ChargeStatus.PENDING}.get(told.status)
    if status is None:
        status = ChargeStatus.CAPTURED if told.captured else ChargeStatus.AUTHORIZED
    made = Snapshot(
        kind=ObjectKind.CHARGE,
        reference=told.payment_intent or told.id,
        status=status,
        amount=currencies.from_stripe_amount(told.amount, told.currency),
        captured_minor=currencies.from_stripe_amount(captured, told.currency).amount_minor,
        key=(told.metadata or {}).get(KEY, ""),
        code=told.failure_code or "",
        occurred_at=_time(told.created),
    )
    return _settled(made, told.balance_transaction) if captured else made


def refund(told: schemas.StripeRefund) -> Snapshot:
    """A refund; its movement tells what left the balance."""
    status = _REFUNDS[told.status or "pending"]
    made = Snapshot(
        kind=ObjectKind.REFUND,
        reference=told.id,
        status=status,
        amount=currencies.from_stripe_amount(told.amount, told.currency),
        key=(told.metadata or {}).get(KEY, ""),
        parent_reference=told.payment_intent or told.charge or "",
        code=told.failure_reason or "",
        occurred_at=_time(told.created),
    )
    return _settled(made, told.balance_transaction, sign=-1)


def dispute(told: schemas.StripeDispute) -> Snapshot:
    """A dispute, in the currency of the balance it was withdrawn from."""
    moves = told.balance_transactions
    withdrawn = sum(-move.amount for move in moves if move.amount < 0)
    reinstated = sum(move.amount for move in moves if move.amount > 0)
    currency = moves[0].currency if moves else told.currency
    fee = sum(move.fee for move in moves)
    due = told.evidence_details.due_by if told.evidence_details else None
    return Snapshot(
        kind=ObjectKind.DISPUTE,
        reference=told.id,
        status=_DISPUTES[told.status],
        amount=currencies.from_stripe_amount(withdrawn or told.amount, currency),
        withdrawn_minor=currencies.from_stripe_amount(withdrawn, currency).amount_minor,
        reinstated_minor=currencies.from_stripe_amount(reinstated, currency).amount_minor,
        fee=currencies.from_stripe_amount(fee, currency) if fee else None,
        parent_reference=told.payment_intent or told.charge or "",
        code=told.reason,
        occurred_at=_time(told.created),
        respond_by=_time(due) if due else None,
    )


def payout(told: schemas.StripePayout) -> Snapshot:
    """A payout, which leaves the balance when it is made, not when it arrives."""
    return Snapshot(
        kind=ObjectKind.PAYOUT,
        reference=told.id,
        status=_PAYOUTS[told.status],
        amount=currencies.from_stripe_amount(told.amount, told.currency),
        code=told.failure_code or "",
        occurred_at=_time(told.created),
    )


def session(told: schemas.CheckoutSession) -> Snapshot | None:
    """A page on which nobody has paid yet; None once its intent tells the rest."""
    if isinstance(told.payment_intent, schemas.PaymentIntent):
        return intent(told.payment_intent)
    if told.status == "complete" or told.amount_total is None or not told.currency:
        return None
    expired = told.status == "expired"
    return Snapshot(
        kind=ObjectKind.CHARGE,
        reference=told.id,
        status=ChargeStatus.EXPIRED if expired else ChargeStatus.REQUIRES_ACTION,
        amount=currencies.from_stripe_amount(told.amount_total, told.currency),
        key=(told.metadata or {}).get(KEY, ""),
        code="expired" if expired else "",
        occurred_at=_time(told.created),
    )


_READERS: Mapping[str, tuple[type[Any], Callable[[Any], Snapshot | None]]] = {
    "payment_intent": (schemas.PaymentIntent, intent),
    "charge": (schemas.StripeCharge, charge),
    "refund": (schemas.StripeRefund, refund),
    "dispute": (schemas.StripeDispute, dispute),
    "payout": (schemas.StripePayout, payout),
    "checkout.session": (schemas.CheckoutSession, session),
}


def read(told: Mapping[str, Any]) -> Iterable[Snapshot]:
    """
    The snapshot of any object of Stripe's; nothing for those that move no money.

    :raises errors.OutcomeUnknown: if it has another form than its kind's.
    """
    kind, reader = _READERS.get(told.get("object", ""), (None, None))
    if kind is None or reader is None:
        return []
    try:
        made = reader(http_provider.decode(told, kind, f"Stripe's {told['object']}"))
    except KeyError as error:
        raise errors.OutcomeUnknown(
            f"Stripe's {told['object']} has a new status {error}"
        ) from error
    return [] if made is None else [made]


def reason_of(problem: schemas.StripeError | None) -> str:
    """The most exact code of a refusal."""
    if problem is None:
        return ""
    return problem.decline_code or problem.code or problem.type


def _settled(
    made: Snapshot, move: str | schemas.BalanceTransaction | None, sign: int = 1
) -> Snapshot:
    if not isinstance(move, schemas.BalanceTransaction):
        return made
    settled = currencies.from_stripe_amount(sign * move.amount, move.currency)
    fee: Money | None = currencies.from_stripe_amount(move.fee, move.currency) if move.fee else None
    rate = "" if move.exchange_rate is None else str(move.exchange_rate)
    return replace(made, settled=settled, fee=fee, rate=rate)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
