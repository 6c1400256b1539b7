"""
What a payment provider is: the messages and the interface (`powers` has what it may do besides).

A provider's own words are translated here into snapshots: what one object of the provider
(a charge, a refund, a dispute, a fee, a payout) looked like when we heard of it. Snapshots of one
object can be merged in any order (`payments.payment_state`), so no provider needs to promise an order.
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
    """The kinds of provider object that move money or promise to."""

    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"
    FEE = "fee"
    PAYOUT = "payout"


class ChargeStatus(StrEnum):
    """States of a charge at its provider; `payments.payment_state` ranks them."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    DECLINED = "declined"
    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"  # and more can still be captured
    VOIDED = "voided"
    EXPIRED = "expired"
    CAPTURED = "captured"  # final: what was not captured is released


class RefundStatus(StrEnum):
    """States of a refund; a bank may return one that had succeeded, hence failed is last."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    FAILED = "failed"


class DisputeStatus(StrEnum):
    """States of a dispute; an inquiry moves no money."""

    INQUIRY = "inquiry"
    INQUIRY_CLOSED = "inquiry_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"


class MovementStatus(StrEnum):
    """States of a fee or payout."""

    PENDING = "pending"
    POSTED = "posted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    One provider object as it was told to us once.

    Amounts are totals of the object so far, never the difference to an earlier snapshot: a
    provider that reports differences adds them up in its translation.

    *reference* is the provider's id of the object; a declined charge without one takes our key.
    *key* is the idempotency key we sent, where the provider gives it back; it ties an object to
    the attempt that made it even when the answer was lost. *parent_reference* is the charge of a
    refund, dispute or fee. *version* is the provider's own counter or time for this object, only
    ever compared with versions of the same object. *round* counts a dispute's rounds from 1.
    *captured_minor* and *refunded_minor* are running totals on a charge; *withdrawn_minor* and
    *reinstated_minor* on a dispute, in the currency of *amount*. *settled* is what reached the
    provider's balance in its own currency before fees, *rate* the exchange rate as text. A dispute
    is answered by *respond_by*, where its provider sets a time.
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
    """What an answer said of the operation we asked for. An unclear answer is an exception."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    DECLINED = "declined"
    NOT_FOUND = "not_found"  # only from get_status: the provider knows no such operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    A provider's clear answer: the outcome, and the objects as they are now.

    *reference* names the object the operation made or changed. *code* and *soft* explain a
    decline: a soft one may succeed later or elsewhere, a hard one never. *action_url* is where the
    buyer must go when the outcome is `requires_action`.
    """

    outcome: Outcome
    reference: str = ""
    code: str = ""
    soft_decline: bool = False
    redirect_url: str = ""
    snapshots: tuple[Snapshot, ...] = ()


class Operation(StrEnum):
    """What one attempt asks a provider to do."""

    CHARGE = "charge"  # authorize and capture in one
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRequest:
    """
    Collect *amount* with the saved or tokenised *method* (never a card number).

    *key* is our idempotency key: the attempt's id, the same over all repeats. With
    *capture* False the amount is only authorized. *metadata* is sent along where possible.
    """

    key: str
    amount: Money
    method: str
    capture: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRequest:
    """Capture *amount* of the authorized charge *reference*; *final* releases the rest."""

    key: str
    reference: str
    amount: Money
    final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidRequest:
    """Release what is authorized and not captured of the charge *reference*."""

    key: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """Give back *amount* of the captured charge *reference*."""

    key: str
    reference: str
    amount: Money
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """
    Ask what became of an operation, by our *key* and, where known, its object's *reference*.

    For a charge or authorize the object is the charge; for a refund the refund; for a capture or
    void the charge it was asked of, whose state alone tells whether it was done.
    *parent_reference* is the charge that a refund was asked of.
    """

    operation: Operation
    key: str
    reference: str = ""
    parent_reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRequest:
    """
    Tell our side of the dispute *reference*: *texts* by the provider's names for them.

    With *submit* it goes to the bank, most often once and for good; else it is only kept.
    """

    key: str
    reference: str
    texts: Mapping[str, str]
    submit: bool = False


class Category(StrEnum):
    """Why a provider's balance moved; the words of the field for lines of settlement reports."""

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
    One movement of the provider's balance, as its settlement report tells it.

    *reference* is the provider's id of the movement, *source* that of the object that moved, named
    as in `Snapshot.reference`; *parent_reference* is the charge of a refund or dispute. Amounts are
    minor units of *currency*, the balance's own; what the merchant gets is above zero:
    net = gross - fee. *paid* is what the buyer paid or got back, where that is another currency.
    *payout* names the payout that paid this line out; "" where it has not been.
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
    """A text that prints as stars; `reveal()` gives it to the one place that needs it."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The text itself."""
        return self.__text

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.__text

    def __hash__(self) -> int:
        return hash(("Secret", self.__text))

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret is not pickled: it would leave the process in the clear")


class InvalidSignature(errors.Denied):
    """The webhook was not signed with our secret, or not now."""

    code = "invalid_signature"
    status = 401


class PaymentProvider(abc.ABC):
    """
    The three things no provider lacks.

    Each returns a `Result` for any clear answer, a decline included (`errors.Declined` is taken for
    one too). It raises `errors.Unavailable` only when surely nothing happened, and `errors.OutcomeUnknown` when it may
    have: every other exception is taken for the latter.

    The class variables declare what may be relied on when an outcome is unknown.
    *idempotency_key_ttl*: how long the provider honours a repeated key (None: it does not).
    *lookup_by_key*: `get_status` finds an operation by our key alone (by reference it always
    can). *not_found_settles_after*: once this long has passed since an operation was sent,
    "not found" is final; before that the request may still be on its way.
    *repeats_before_lookup*: finding by key lags behind (a search index), so that while the key
    lives the same request is sent again instead.
    """

    __slots__ = ("__weakref__", "config")

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    idempotency_key_ttl: ClassVar[timedelta | None] = None
    lookup_by_key: ClassVar[bool] = False
    repeats_before_lookup: ClassVar[bool] = False
    lookup_final_after: ClassVar[timedelta] = timedelta(minutes=5)
    #: True for a provider that moves no real money; a live installation refuses it.
    is_test_only: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def mode(self) -> str:
        """`test` or `live`, where the provider can tell by its config; else ""."""
        return "test" if self.is_test_only else ""

    @abc.abstractmethod
    async def charge(self, request: ChargeRequest, /) -> Result:
        """Collect or authorize money once per key."""

    @abc.abstractmethod
    async def refund(self, request: RefundRequest, /) -> Result:
        """Give money back once per key."""

    @abc.abstractmethod
    async def get_status(self, request: StatusRequest, /) -> Result:
        """Say what became of an operation; `Outcome.NOT_FOUND` where nothing is known of it."""

    async def disconnect(self) -> None:  # noqa: B027  (most providers hold nothing open)
        """Release the connections of the running event loop; the next call makes new ones."""

    async def close(self) -> None:  # noqa: B027  (most providers hold nothing open)
        """Release connections; the provider is not used afterwards."""
