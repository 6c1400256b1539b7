"""The states of payments and attempts."""

from __future__ import annotations

from enum import StrEnum

from bursar.providers.base import Operation


class PaymentStatus(StrEnum):
    """What `folding.fold` makes of commands, attempts and facts; the row only caches it."""

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


class CaptureMethod(StrEnum):
    """Whether money is collected at once or authorized first."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
