"""The shapes of the public API: what a request may hold, and what an answer holds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from bursar.api.pricing_schemas import (
    LINES_MAX,
    QUANTITY_MAX,
    Asked,
    AskedBasket,
    Currency,
    Money,
    Told,
)
from bursar.money import MINOR_MAX
from bursar.orders.operations import (
    METADATA_KEY_LETTERS,
    METADATA_KEYS_MAX,
    METADATA_LETTERS,
    REFERENCE_LETTERS,
)
from bursar.orders.queries import PaymentSide
from bursar.payments.refunds import REASON_LETTERS_MAX
from bursar.payments.reviews import RESOLUTION_LETTERS_MAX
from bursar.payments.statuses import AttemptStatus, CaptureMethod, PaymentStatus
from bursar.providers.interface import Kind, Operation, RefundStatus

_Minor = Annotated[int, Field(ge=1, le=MINOR_MAX)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=METADATA_KEY_LETTERS)]
_Value = Annotated[str, StringConstraints(max_length=METADATA_LETTERS)]
Metadata = Annotated[dict[_Name, _Value], Field(max_length=METADATA_KEYS_MAX)]


# --- Requests -----------------------------------------------------------------------------------


class AskedMoney(Asked):
    """An amount above zero in whole minor units (cents; yen; thousandths of a dinar)."""

    amount: _Minor = Field(examples=[1999])
    currency: Currency


class AskedPayment(Asked):
    """How an order is collected: at which provider account, with which token of its."""

    provider_account: str = Field(min_length=1, max_length=40, examples=["europe"])
    method: str = Field(min_length=1, max_length=120, examples=["tok_visa"])
    capture_method: Annotated[CaptureMethod, Field(strict=False)] = CaptureMethod.AUTOMATIC


class NewOrder(AskedBasket):
    """An order to place and, with *payment*, to collect at once."""

    reference: str = Field(min_length=1, max_length=REFERENCE_LETTERS, examples=["web-1001"])
    payment: AskedPayment | None = None
    buyer: Metadata = Field(default_factory=dict, examples=[{"name": "Ada"}])
    metadata: Metadata = Field(default_factory=dict, examples=[{"basket": "b-77"}])


class OrderChanges(Asked):
    """What may be changed of an order: metadata, key by key (null removes one), and the buyer."""

    metadata: dict[_Name, _Value | None] = Field(default_factory=dict, max_length=METADATA_KEYS_MAX)
    buyer: Metadata | None = Field(default=None, description="Replaces the snapshot; {} erases it.")


class NewPayment(AskedPayment):
    """Another try at collecting an order that nothing collects or has collected."""

    order: str = Field(min_length=1, max_length=40, examples=["ord_06f1x3kq8tq9x2d4y7v0m5w1zc"])


class NewCapture(Asked):
    """What to capture; without an amount all that is authorized."""

    amount: AskedMoney | None = None


class NewCancel(Asked):
    """Nothing needs to be said."""


class RefundedLine(Asked):
    """How many units of the line at *position* (from 1) go back."""

    position: int = Field(ge=1, le=LINES_MAX)
    quantity: int = Field(ge=1, le=QUANTITY_MAX)


class NewRefund(Asked):
    """What to give back: an amount, or units of lines, or with neither all that is left."""

    amount: AskedMoney | None = None
    lines: list[RefundedLine] = Field(default_factory=list, max_length=LINES_MAX)
    reason: str = Field(max_length=REASON_LETTERS_MAX, default="", examples=["sent back"])


class Resolution(Asked):
    """What was found and decided."""

    resolution: str = Field(
        min_length=1, max_length=RESOLUTION_LETTERS_MAX, examples=["paid by bank transfer"]
    )


# --- Answers ------------------------------------------------------------------------------------


class Line(Told):
    """One line of an order as it was priced."""

    position: int
    sku: str
    description: str
    quantity: int
    unit_price: str
    tax_rate: str
    tax_code: str
    net: Money
    tax: Money
    gross: Money
    explanation: dict[str, Any] = Field(description="Discounts and more, where there are any.")


class Decline(Told):
    """Why the last attempt was declined; a soft decline may succeed later or elsewhere."""

    code: str
    soft: bool


class Attempt(Told):
    """One operation asked of a provider; its id is the key of every repeat."""

    id: str
    object: Literal["attempt"]
    operation: Operation
    amount: Money
    status: AttemptStatus
    reference: str
    code: str
    soft: bool
    action_url: str
    created_at: datetime
    answered_at: datetime | None


class Payment(Told):
    """The wish to collect an amount for an order through one provider account."""

    id: str
    object: Literal["payment"]
    order: str | Order
    provider_account: str
    status: PaymentStatus
    capture_method: CaptureMethod
    amount: Money
    tax: Money
    authorized: Money
    captured: Money
    refunded: Money
    refunding: Money
    disputed: Money
    refundable: Money
    decline: Decline | None
    action_url: str
    refunds: list[str] | list[Refund]
    attempts: list[str] | list[Attempt]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None


class Order(Told):
    """What a buyer agreed to pay for; whether it is paid follows from its payments."""

    id: str
    object: Literal["order"]
    reference: str
    payment_status: PaymentSide
    total: Money
    tax: Money
    lines: list[Line]
    explanation: dict[str, Any] = Field(description="How the whole was priced, by rules.")
    buyer: dict[str, str]
    metadata: dict[str, str]
    payments: list[str] | list[Payment]
    placed_at: datetime
    created_at: datetime


class RefundLine(Told):
    """Units of a line that a refund gives back, with their part of price and tax."""

    position: int
    quantity: int
    amount: Money
    tax: Money


class Refund(Told):
    """Money we decided to give back on a payment."""

    id: str
    object: Literal["refund"]
    payment: str | Payment
    status: RefundStatus
    approval: Literal["not_needed", "waiting", "approved", "rejected"]
    amount: Money
    tax: Money
    reason: str
    lines: list[RefundLine]
    created_at: datetime


class Review(Told):
    """Something only a person can decide."""

    id: str
    object: Literal["review"]
    code: str
    subject: str
    payment: str | Payment | None
    detail: dict[str, Any]
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str
    resolved_by: str


class ProviderAccount(Told):
    """The merchant's account at a provider, and what can be done with it."""

    name: str
    object: Literal["provider_account"]
    provider: str
    capabilities: list[str]
    takes_webhooks_at: str | None
    created_at: datetime


class Event(Told):
    """A fact: what we were told of one provider object, once. Not in order of time."""

    id: str
    object: Literal["event"]
    provider_account: str
    kind: Kind
    reference: str
    status: str
    amount: Money
    source: str
    payment: str | None
    code: str
    occurred_at: datetime | None
    received_at: datetime


class Page(Told):
    """A part of a list, newest first; *next_cursor* asks for the part after it."""

    object: Literal["list"]
    next_cursor: str | None


class Orders(Page):
    """A page of orders, newest first."""

    data: list[Order]


class Payments(Page):
    """A page of payments, newest first."""

    data: list[Payment]


class Refunds(Page):
    """A page of refunds, newest first."""

    data: list[Refund]


class Reviews(Page):
    """A page of reviews, newest first."""

    data: list[Review]


class ProviderAccounts(Page):
    """The provider accounts, by name."""

    data: list[ProviderAccount]


class Events(Page):
    """A page of events, latest received first."""

    data: list[Event]


class Received(Told):
    """That a delivery is kept; *new* is false where it came before."""

    received: Literal[True]
    new: bool


class ProblemDetail(Told):
    """One thing that was wrong with a request."""

    param: str
    detail: str


class Problem(Told):
    """An error (RFC 9457): *code* is for programs, *detail* for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    param: str | None = None
    errors: list[ProblemDetail] = Field(default_factory=list)


for _shape in (Payment, Order, Refund, Review, Orders, Payments, Refunds, Reviews):
    _shape.model_rebuild()
