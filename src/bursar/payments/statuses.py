"""The states of payments and attempts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from bursar.providers.interface import (
    ChargeStatus,
    DisputeStatus,
    MovementStatus,
    ObjectKind,
    Operation,
    RefundStatus,
)


class PaymentStatus(StrEnum):
    """What `payment_state.fold` makes of commands, attempts and facts; the row only caches it."""

    PENDING = "pending"
    UNKNOWN = "unknown"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"
    CAPTURED = "captured"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DECLINED = "declined"
    CANCELED = "canceled"
    EXPIRED = "expired"


class AttemptStatus(StrEnum):
    """States of one operation at one provider."""

    CREATED = "created"  # committed before the call: whether it was sent is not known
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    NOT_SENT = "not_sent"  # surely nothing happened


#: While one of these stands, no other attempt at the same thing may be made.
LIVE = (
    AttemptStatus.CREATED,
    AttemptStatus.PENDING,
    AttemptStatus.REQUIRES_ACTION,
    AttemptStatus.UNKNOWN,
)
#: The operations that collect money for a payment, of which it needs one.
COLLECTING = (Operation.CHARGE, Operation.AUTHORIZE)


class Decision(StrEnum):
    """What a second person decided about a refund."""

    APPROVED = "approved"
    REJECTED = "rejected"


class CaptureMethod(StrEnum):
    """Whether money is collected at once or authorized first."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


#: A later rank is the later truth, whenever we heard of it. Money that moved outranks a no; a
#: refund that failed after it had succeeded stays failed (a second try is another refund).
RANKS: Mapping[ObjectKind, Mapping[str, int]] = {
    ObjectKind.CHARGE: {
        ChargeStatus.PENDING: 0,
        ChargeStatus.REQUIRES_ACTION: 1,
        ChargeStatus.DECLINED: 2,
        ChargeStatus.AUTHORIZED: 3,
        ChargeStatus.PARTIALLY_CAPTURED: 4,
        ChargeStatus.VOIDED: 5,
        ChargeStatus.EXPIRED: 5,
        ChargeStatus.CAPTURED: 6,
    },
    ObjectKind.REFUND: {
        RefundStatus.PENDING: 0,
        RefundStatus.SUCCEEDED: 1,
        RefundStatus.CANCELED: 2,
        RefundStatus.FAILED: 3,
    },
    ObjectKind.DISPUTE: {
        DisputeStatus.INQUIRY: 0,
        DisputeStatus.INQUIRY_CLOSED: 1,
        DisputeStatus.NEEDS_RESPONSE: 2,
        DisputeStatus.UNDER_REVIEW: 3,
        DisputeStatus.WON: 4,
        DisputeStatus.LOST: 4,  # won and lost in one round: the provider's version decides
    },
    ObjectKind.FEE: {
        MovementStatus.PENDING: 0,
        MovementStatus.POSTED: 1,
        MovementStatus.FAILED: 2,
    },
    ObjectKind.PAYOUT: {
        MovementStatus.PENDING: 0,
        MovementStatus.POSTED: 1,
        MovementStatus.FAILED: 2,
    },
}
