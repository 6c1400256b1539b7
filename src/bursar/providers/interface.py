"""
The interface of a payment provider: requests, results, snapshots and `PaymentProvider`.

Optional methods are in `capabilities`. A provider translates its own objects (charges, refunds,
disputes, fees, payouts) into snapshots: the state of one object at one time. Snapshots of an object
can be merged in any order (`payments.payment_state`), so events may arrive in any order.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from bursar import errors
from bursar.money import Money


class ObjectKind(StrEnum):
    """The kinds of provider objects that move money."""

    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"
    FEE = "fee"
    PAYOUT = "payout"


class ChargeStatus(StrEnum):
    """Statuses of a charge at its provider; `payments.payment_state` ranks them."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    DECLINED = "declined"
    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"  # the remaining amount can still be captured
    VOIDED = "voided"
    EXPIRED = "expired"
    CAPTURED = "captured"  # final: an uncaptured remainder is released


class RefundStatus(StrEnum):
    """Statuses of a refund. A bank can return a succeeded refund, so `failed` ranks last."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    FAILED = "failed"


class DisputeStatus(StrEnum):
    """Statuses of a dispute. An inquiry moves no money."""

    INQUIRY = "inquiry"
    INQUIRY_CLOSED = "inquiry_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"


class MovementStatus(StrEnum):
    """Statuses of a fee or payout."""

    PENDING = "pending"
    POSTED = "posted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    The state of one provider object at one time, as a response, webhook, list or report has it.

    Amounts are totals of the object, never differences to an earlier snapshot: a provider class
    that receives differences sums them up. Fields that end in `_minor` are minor units of the
    currency of *amount*.

    - *reference*: the provider's id of the object; for a declined charge without one, *key*.
    - *status*: a `ChargeStatus`, `RefundStatus`, `DisputeStatus` or `MovementStatus`.
    - *key*: the idempotency key of the request, where the provider returns it. It links the object
      to its attempt even if the response was lost.
    - *parent_reference*: the charge of a refund, dispute or fee.
    - *captured_minor*, *refunded_minor*: running totals of a charge.
    - *withdrawn_minor*, *reinstated_minor*: running totals of a dispute.
    - *fee*: the provider's fee, in the currency of its balance; None if not reported.
    - *settled*: the amount in the currency of the provider's balance, before fees; None if not
      reported. *rate* is the exchange rate as decimal text; "" without a conversion.
    - *code*: the decline or failure code, or the reason of a dispute, in the provider's words.
    - *soft_decline*: whether another attempt may succeed; False for a final decline.
    - *version*: the provider's counter or time of change; compared within one object only.
    - *dispute_stage*: the stage of a dispute, from 1.
    - *occurred_at*: when the provider changed the object; with a time zone.
    - *evidence_due_by*: until when evidence is accepted, where the provider sets a time.
    """

    kind: ObjectKind
    reference: str
    status: str
    amount: Money
    captured_minor: int = 0
    refunded_minor: int = 0
    withdrawn_minor: int = 0
    reinstated_minor: int = 0
    fee: Money | None = None
    settled: Money | None = None
    rate: str = ""
    key: str = ""
    parent_reference: str = ""
    code: str = ""
    soft_decline: bool = False
    version: int = 0
    dispute_stage: int = 1
    occurred_at: datetime | None = None
    evidence_due_by: datetime | None = None


class Outcome(StrEnum):
    """The outcome of an operation. An outcome that is not clear is an exception, never a value."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    DECLINED = "declined"
    NOT_FOUND = "not_found"  # get_status only: the provider has no such operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    A provider's clear response: the outcome, and the objects as they are now.

    *reference* is the id of the object that the operation created or changed. *code* is the decline
    code in the provider's words. With *soft_decline* another attempt may succeed, later or with
    another provider; a hard decline is final. *redirect_url* is the page to which the buyer is sent
    for `requires_action`. *snapshots* has the object of the operation first, then others that it
    changed.
    """

    outcome: Outcome
    reference: str = ""
    code: str = ""
    soft_decline: bool = False
    redirect_url: str = ""
    snapshots: tuple[Snapshot, ...] = ()


class Operation(StrEnum):
    """The operation of one attempt."""

    CHARGE = "charge"  # authorize and capture
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRequest:
    """
    Charge *amount* to *method*, a token or saved payment method (never a card number).

    *key* is the idempotency key: the attempt's id, the same for every retry. With *capture* False
    the amount is only authorized. *metadata* is stored at the provider where it supports that; it
    has the ids of the `order` and the `payment`.
    """

    key: str
    amount: Money
    method: str
    capture: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRequest:
    """Capture *amount* of the authorized charge *reference*; *final* releases the remainder."""

    key: str
    reference: str
    amount: Money
    final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidRequest:
    """Release the uncaptured amount of the charge *reference*."""

    key: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """Refund *amount* of the captured charge *reference*, at most what is not refunded yet."""

    key: str
    reference: str
    amount: Money
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """
    Look up an operation by its idempotency *key* and, if it is stored, its object's *reference*.

    *reference* is the charge for a charge, authorization, capture or void, and the refund for a
    refund. The outcome of a capture or void follows from the state of the charge.
    *parent_reference* is the charge of a refund.
    """

    operation: Operation
    key: str
    reference: str = ""
    parent_reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRequest:
    """
    Evidence for the dispute *reference*: *texts* by the provider's field names.

    With *submit* the evidence is sent to the bank, which most providers allow once; without it the
    provider stores a draft.
    """

    key: str
    reference: str
    texts: Mapping[str, str]
    submit: bool = False


class Category(StrEnum):
    """The category of a line of a settlement report: why the provider's balance changed."""

    CHARGE = "charge"
    REFUND = "refund"
    REFUND_FAILURE = "refund_failure"
    DISPUTE = "dispute"
    DISPUTE_REVERSAL = "dispute_reversal"
    FEE = "fee"
    PAYOUT = "payout"
    PAYOUT_REVERSAL = "payout_reversal"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementLine:
    """
    One line of a provider's settlement report: one change of its balance.

    *reference* is the provider's id of the line; *source* is the reference of the object, as in
    `Snapshot.reference`; *parent_reference* is the charge of a refund or dispute. Amounts are minor
    units of *currency*, the currency of the balance, and positive where the merchant receives
    money: net = gross - fee. *paid* is the amount that the buyer paid or received, where it has
    another currency, and *rate* the exchange rate as decimal text. *payout* is the payout that
    includes the line; "" if it is not paid out yet.
    """

    reference: str
    category: Category
    source: str
    currency: str
    gross_minor: int
    fee_minor: int
    net_minor: int
    occurred_at: datetime
    parent_reference: str = ""
    paid: Money | None = None
    rate: str = ""
    payout: str = ""


class Secret:
    """A secret text. It prints as stars and cannot be pickled; `reveal()` returns it."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the text."""
        return self.__text

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.__text

    def __hash__(self) -> int:
        return hash(("Secret", self.__text))

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret cannot be pickled: the text would leave the process unencrypted")


class InvalidSignature(errors.Denied):
    """The webhook has no valid signature, or its timestamp is outside the tolerance."""

    code = "invalid_signature"
    status = 401


class PaymentProvider(abc.ABC):
    """
    Base class of all providers; `charge`, `refund` and `get_status` are required.

    Each method returns a `Result` for a clear response, including a decline (`errors.Declined`
    counts as one). It raises `errors.Unavailable` only if the operation was certainly not carried
    out, and `errors.OutcomeUnknown` if it may have been. Every other exception counts as
    `OutcomeUnknown`. An instance acts for one provider account; its methods run concurrently in one
    event loop or several.

    Class variables declare how an unknown outcome can be resolved:

    - *idempotency_key_ttl*: how long a repeated key returns the first response; None if the
      provider ignores keys.
    - *lookup_by_key*: whether `get_status` finds an operation by key alone. By reference it always
      does.
    - *lookup_final_after*: how long after the request was sent `NOT_FOUND` is final; before, the
      request may still be in transit.
    - *repeats_before_lookup*: whether the lookup by key lags behind (a search index). The same
      request is then sent again while *idempotency_key_ttl* lasts, before a lookup.
    """

    __slots__ = ("__weakref__", "config")

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    idempotency_key_ttl: ClassVar[timedelta | None] = None
    lookup_by_key: ClassVar[bool] = False
    repeats_before_lookup: ClassVar[bool] = False
    lookup_final_after: ClassVar[timedelta] = timedelta(minutes=5)
    #: Whether the provider moves no real money. A live installation rejects it.
    is_test_only: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def mode(self) -> str:
        """`test` or `live`, where the config shows it; else ""."""
        return "test" if self.is_test_only else ""

    @abc.abstractmethod
    async def charge(self, request: ChargeRequest, /) -> Result:
        """
        Charge, or with `capture` False authorize, the amount of *request*.

        A repeated call with the same key must not charge twice where `idempotency_key_ttl` is
        declared; it returns the first result, or raises.

        :raises errors.Unavailable: if nothing was charged. :raises errors.OutcomeUnknown: if it may
            have been.
        """

    @abc.abstractmethod
    async def refund(self, request: RefundRequest, /) -> Result:
        """
        Refund the amount of *request*; errors and repeated calls as for `charge`.

        An amount above what is refundable is declined.
        """

    @abc.abstractmethod
    async def get_status(self, request: StatusRequest, /) -> Result:
        """
        Return the outcome of an operation that was sent before; it changes nothing.

        The outcome is `NOT_FOUND` if the provider has no such operation.

        :raises errors.OutcomeUnknown: if the provider cannot say.
        """

    async def disconnect(self) -> None:  # noqa: B027  (optional: some have no connections)
        """Close the connections of the running event loop; the next call opens new ones."""

    async def close(self) -> None:  # noqa: B027  (optional: some have no connections)
        """Close all connections; the instance is not used afterwards."""
