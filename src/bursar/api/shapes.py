"""The shapes of the public API: what a request may hold, and what an answer holds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bursar.money import MINOR_MAX
from bursar.orders.placing import (
    METADATA_KEY_LETTERS,
    METADATA_KEYS_MAX,
    METADATA_LETTERS,
    REFERENCE_LETTERS,
    SKU_LETTERS,
    TEXT_LETTERS,
)
from bursar.orders.queries import PaymentSide
from bursar.payments.refunding import REASON_LETTERS_MAX
from bursar.payments.reviewing import RESOLUTION_LETTERS_MAX
from bursar.payments.states import AttemptStatus, CaptureMethod, PaymentStatus
from bursar.providers.base import Kind, Operation, RefundStatus

LINES_MAX = 500
#: More units of one line than anybody sells; with it a line's total is refused before it overflows.
QUANTITY_MAX = 10**9


Currency = Annotated[
    str, Field(pattern=r"^[A-Z]{3,8}$", examples=["EUR"], description="ISO 4217, or a known asset.")
]
_Minor = Annotated[int, Field(ge=1, le=MINOR_MAX)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=METADATA_KEY_LETTERS)]
_Value = Annotated[str, StringConstraints(max_length=METADATA_LETTERS)]
Metadata = Annotated[dict[_Name, _Value], Field(max_length=METADATA_KEYS_MAX)]


class _Asked(BaseModel):
    """What callers send: nothing unknown, nothing of a wrong type."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class _Told(BaseModel):
    """What we answer."""

    model_config = ConfigDict(extra="forbid")


# --- Requests -----------------------------------------------------------------------------------


class AskedMoney(_Asked):
    """An amount above zero in whole minor units (cents; yen; thousandths of a dinar)."""

    amount: _Minor = Field(examples=[1999])
    currency: Currency


class AskedLine(_Asked):
    """One line of an order; *unit_price* is a plain decimal in major units, without tax."""

    sku: str = Field(max_length=SKU_LETTERS, default="", examples=["book-17"])
    description: str = Field(max_length=TEXT_LETTERS, default="", examples=["A book"])
    quantity: int = Field(ge=1, le=QUANTITY_MAX, examples=[2])
    unit_price: str = Field(
        min_length=1, max_length=40, pattern=r"^[0-9]{1,15}(\.[0-9]{1,9})?$", examples=["4.20"]
    )
    tax_rate: str = Field(
        min_length=1, max_length=20, default="0", examples=["19"], description="In percent."
    )


class AskedPayment(_Asked):
    """How an order is collected: at which provider account, with which token of its."""

    provider_account: str = Field(min_length=1, max_length=40, examples=["europe"])
    method: str = Field(min_length=1, max_length=120, examples=["tok_visa"])
    capture_method: Annotated[CaptureMethod, Field(strict=False)] = CaptureMethod.AUTOMATIC


class NewOrder(_Asked):
    """An order to place and, with *payment*, to collect at once."""

    reference: str = Field(min_length=1, max_length=REFERENCE_LETTERS, examples=["web-1001"])
    currency: Currency
    lines: list[AskedLine] = Field(min_length=1, max_length=LINES_MAX)
    payment: AskedPayment | None = None
    buyer: Metadata = Field(default_factory=dict, examples=[{"name": "Ada"}])
    metadata: Metadata = Field(default_factory=dict, examples=[{"basket": "b-77"}])


class OrderChanges(_Asked):
    """What may be changed of an order: metadata, key by key (null removes one), and the buyer."""

    metadata: dict[_Name, _Value | None] = Field(default_factory=dict, max_length=METADATA_KEYS_MAX)
    buyer: Metadata | None = Field(default=None, description="Replaces the snapshot; {} erases it.")


class NewPayment(AskedPayment):
    """Another try at collecting an order that nothing collects or has collected."""

    order: str = Field(min_length=1, max_length=40, examples=["ord_06f1x3kq8tq9x2d4y7v0m5w1zc"])


class NewCapture(_Asked):
    """What to capture; without an amount all that is authorized."""

    amount: AskedMoney | None = None


class NewCancel(_Asked):
    """Nothing needs to be said."""


class RefundedLine(_Asked):
    """How many units of the line at *position* (from 1) go back."""

    position: int = Field(ge=1, le=LINES_MAX)
    quantity: int = Field(ge=1, le=QUANTITY_MAX)


class NewRefund(_Asked):
    """What to give back: an amount, or units of lines, or with neither all that is left."""

    amount: AskedMoney | None = None
    lines: list[RefundedLine] = Field(default_factory=list, max_length=LINES_MAX)
    reason: str = Field(max_length=REASON_LETTERS_MAX, default="", examples=["sent back"])


class Resolution(_Asked):
    """What was found and decided."""

    resolution: str = Field(
        min_length=1, max_length=RESOLUTION_LETTERS_MAX, examples=["paid by bank transfer"]
    )


# --- Answers ------------------------------------------------------------------------------------


class Money(_Told):
    """Whole minor units of a currency."""

    amount: int = Field(ge=-MINOR_MAX, le=MINOR_MAX, examples=[1999])
    currency: str = Field(examples=["EUR"])


class Line(_Told):
    """One line of an order as it was priced."""

    position: int
    sku: str
    description: str
    quantity: int
    unit_price: str
    tax_rate: str
    net: Money
    tax: Money
    gross: Money


class Decline(_Told):
    """Why the last attempt was declined; a soft decline may succeed later or elsewhere."""

    code: str
    soft: bool


class Attempt(_Told):
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


class Payment(_Told):
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


class Order(_Told):
    """What a buyer agreed to pay for; whether it is paid follows from its payments."""

    id: str
    object: Literal["order"]
    reference: str
    payment_status: PaymentSide
    total: Money
    tax: Money
    lines: list[Line]
    buyer: dict[str, str]
    metadata: dict[str, str]
    payments: list[str] | list[Payment]
    placed_at: datetime
    created_at: datetime


class RefundLine(_Told):
    """Units of a line that a refund gives back, with their part of price and tax."""

    position: int
    quantity: int
    amount: Money
    tax: Money


class Refund(_Told):
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


class Review(_Told):
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


class ProviderAccount(_Told):
    """The merchant's account at a provider, and what can be done with it."""

    name: str
    object: Literal["provider_account"]
    provider: str
    capabilities: list[str]
    takes_webhooks_at: str | None
    created_at: datetime


class Event(_Told):
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


class Page(_Told):
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


class Received(_Told):
    """That a delivery is kept; *new* is false where it came before."""

    received: Literal[True]
    new: bool


class ProblemDetail(_Told):
    """One thing that was wrong with a request."""

    param: str
    detail: str


class Problem(_Told):
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
