"""Statuses of payments and attempts."""

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
    """Computed by `payment_state.fold` from commands, attempts and facts; the row is a cache."""

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

    CREATED = "created"  # committed before the call; it may have been sent
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    NOT_SENT = "not_sent"  # certainly not processed


#: While an attempt has one of these, no other attempt of the same operation is allowed.
LIVE = (
    AttemptStatus.CREATED,
    AttemptStatus.PENDING,
    AttemptStatus.REQUIRES_ACTION,
    AttemptStatus.UNKNOWN,
)
#: The operations that collect money; a payment needs one of them.
COLLECTING = (Operation.CHARGE, Operation.AUTHORIZE)


class Decision(StrEnum):
    """What a second person decided about a refund."""

    APPROVED = "approved"
    REJECTED = "rejected"


class CaptureMethod(StrEnum):
    """Whether the payment is captured at once, or authorized first and captured later."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


#: A higher rank wins, whatever the order of arrival. Moved money outranks a decline; a refund
#: that failed after it had succeeded stays failed (a new try is another refund).
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
        DisputeStatus.LOST: 4,  # won and lost in one stage: the provider's version decides
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
