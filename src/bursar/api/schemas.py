"""The shapes of the public API: what a request may hold, and what an answer holds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from bursar.api.pricing_schemas import (
    LINES_MAX,
    QUANTITY_MAX,
    BasketCreate,
    Currency,
    MoneyResponse,
    RequestModel,
    ResponseModel,
)
from bursar.money import MINOR_MAX
from bursar.orders.operations import (
    METADATA_KEY_LETTERS,
    METADATA_KEYS_MAX,
    METADATA_LETTERS,
    REFERENCE_LETTERS,
)
from bursar.orders.queries import OrderPaymentStatus
from bursar.payments.refunds import REASON_LETTERS_MAX
from bursar.payments.reviews import RESOLUTION_LETTERS_MAX
from bursar.payments.statuses import AttemptStatus, CaptureMethod, PaymentStatus
from bursar.providers.interface import ObjectKind, Operation, RefundStatus

_Minor = Annotated[int, Field(ge=1, le=MINOR_MAX)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=METADATA_KEY_LETTERS)]
_Value = Annotated[str, StringConstraints(max_length=METADATA_LETTERS)]
Metadata = Annotated[dict[_Name, _Value], Field(max_length=METADATA_KEYS_MAX)]


# --- Requests -----------------------------------------------------------------------------------


class MoneyInput(RequestModel):
    """An amount above zero in whole minor units (cents; yen; thousandths of a dinar)."""

    amount: _Minor = Field(examples=[1999])
    currency: Currency


class PaymentInput(RequestModel):
    """How an order is collected: at which provider account, with which token of its."""

    provider_account: str = Field(min_length=1, max_length=40, examples=["europe"])
    payment_method_token: str = Field(min_length=1, max_length=120, examples=["tok_visa"])
    capture_method: Annotated[CaptureMethod, Field(strict=False)] = CaptureMethod.AUTOMATIC


class OrderCreate(BasketCreate):
    """An order to place and, with *payment*, to collect at once."""

    reference: str = Field(min_length=1, max_length=REFERENCE_LETTERS, examples=["web-1001"])
    payment: PaymentInput | None = None
    buyer: Metadata = Field(default_factory=dict, examples=[{"name": "Ada"}])
    metadata: Metadata = Field(default_factory=dict, examples=[{"basket": "b-77"}])


class OrderUpdate(RequestModel):
    """What may be changed of an order: metadata, key by key (null removes one), and the buyer."""

    metadata: dict[_Name, _Value | None] = Field(default_factory=dict, max_length=METADATA_KEYS_MAX)
    buyer: Metadata | None = Field(default=None, description="Replaces the snapshot; {} erases it.")


class PaymentCreate(PaymentInput):
    """Another try at collecting an order that nothing collects or has collected."""

    order: str = Field(min_length=1, max_length=40, examples=["ord_06f1x3kq8tq9x2d4y7v0m5w1zc"])


class CaptureCreate(RequestModel):
    """What to capture; without an amount all that is authorized."""

    amount: MoneyInput | None = None


class PaymentCancel(RequestModel):
    """Nothing needs to be said."""


class RefundLineCreate(RequestModel):
    """How many units of the line at *position* (from 1) go back."""

    position: int = Field(ge=1, le=LINES_MAX)
    quantity: int = Field(ge=1, le=QUANTITY_MAX)


class RefundCreate(RequestModel):
    """What to give back: an amount, or units of lines, or with neither all that is left."""

    amount: MoneyInput | None = None
    lines: list[RefundLineCreate] = Field(default_factory=list, max_length=LINES_MAX)
    reason: str = Field(max_length=REASON_LETTERS_MAX, default="", examples=["sent back"])


class ReviewResolve(RequestModel):
    """What was found and decided."""

    resolution: str = Field(
        min_length=1, max_length=RESOLUTION_LETTERS_MAX, examples=["paid by bank transfer"]
    )


# --- Answers ------------------------------------------------------------------------------------


class OrderLineResponse(ResponseModel):
    """One line of an order as it was priced."""

    position: int
    sku: str
    description: str
    quantity: int
    unit_price: str
    tax_rate: str
    tax_code: str
    net: MoneyResponse
    tax: MoneyResponse
    gross: MoneyResponse
    explanation: dict[str, Any] = Field(description="Discounts and more, where there are any.")


class DeclineResponse(ResponseModel):
    """Why the last attempt was declined; a soft decline may succeed later or elsewhere."""

    code: str
    soft_decline: bool


class AttemptResponse(ResponseModel):
    """One operation asked of a provider; its id is the key of every repeat."""

    id: str
    object: Literal["attempt"]
    operation: Operation
    amount: MoneyResponse
    status: AttemptStatus
    reference: str
    failure_code: str
    soft_decline: bool
    redirect_url: str
    created_at: datetime
    answered_at: datetime | None


class PaymentResponse(ResponseModel):
    """The wish to collect an amount for an order through one provider account."""

    id: str
    object: Literal["payment"]
    order: str | OrderResponse
    provider_account: str
    status: PaymentStatus
    capture_method: CaptureMethod
    amount: MoneyResponse
    tax: MoneyResponse
    authorized: MoneyResponse
    captured: MoneyResponse
    refunded: MoneyResponse
    pending_refund: MoneyResponse
    disputed: MoneyResponse
    refundable_amount: MoneyResponse
    decline: DeclineResponse | None
    redirect_url: str
    refunds: list[str] | list[RefundResponse]
    attempts: list[str] | list[AttemptResponse]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None


class OrderResponse(ResponseModel):
    """What a buyer agreed to pay for; whether it is paid follows from its payments."""

    id: str
    object: Literal["order"]
    reference: str
    payment_status: OrderPaymentStatus
    total: MoneyResponse
    tax: MoneyResponse
    lines: list[OrderLineResponse]
    explanation: dict[str, Any] = Field(description="How the whole was priced, by rules.")
    buyer: dict[str, str]
    metadata: dict[str, str]
    payments: list[str] | list[PaymentResponse]
    placed_at: datetime
    created_at: datetime


class RefundLineResponse(ResponseModel):
    """Units of a line that a refund gives back, with their part of price and tax."""

    position: int
    quantity: int
    amount: MoneyResponse
    tax: MoneyResponse


class RefundResponse(ResponseModel):
    """Money we decided to give back on a payment."""

    id: str
    object: Literal["refund"]
    payment: str | PaymentResponse
    status: RefundStatus
    approval: Literal["not_required", "pending", "approved", "rejected"]
    amount: MoneyResponse
    tax: MoneyResponse
    reason: str
    lines: list[RefundLineResponse]
    created_at: datetime


class ReviewResponse(ResponseModel):
    """Something only a person can decide."""

    id: str
    object: Literal["review"]
    code: str
    subject: str
    payment: str | PaymentResponse | None
    detail: dict[str, Any]
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str
    resolved_by: str


class ProviderAccountResponse(ResponseModel):
    """The merchant's account at a provider, and what can be done with it."""

    name: str
    object: Literal["provider_account"]
    provider: str
    capabilities: list[str]
    webhook_url: str | None
    created_at: datetime


class FactResponse(ResponseModel):
    """A fact: what we were told of one provider object, once. Not in order of time."""

    id: str
    object: Literal["fact"]
    provider_account: str
    kind: ObjectKind
    reference: str
    status: str
    amount: MoneyResponse
    source: str
    payment: str | None
    failure_code: str
    occurred_at: datetime | None
    received_at: datetime


class ListResponse(ResponseModel):
    """A part of a list, newest first; *next_cursor* asks for the part after it."""

    object: Literal["list"]
    next_cursor: str | None


class OrderList(ListResponse):
    """A page of orders, newest first."""

    data: list[OrderResponse]


class PaymentList(ListResponse):
    """A page of payments, newest first."""

    data: list[PaymentResponse]


class RefundList(ListResponse):
    """A page of refunds, newest first."""

    data: list[RefundResponse]


class ReviewList(ListResponse):
    """A page of reviews, newest first."""

    data: list[ReviewResponse]


class ProviderAccountList(ListResponse):
    """The provider accounts, by name."""

    data: list[ProviderAccountResponse]


class FactList(ListResponse):
    """A page of events, latest received first."""

    data: list[FactResponse]


class WebhookReceipt(ResponseModel):
    """A stored webhook; *duplicate* is true if it was delivered before."""

    received: Literal[True]
    duplicate: bool


class FieldError(ResponseModel):
    """One thing that was wrong with a request."""

    param: str
    detail: str


class ProblemDetails(ResponseModel):
    """An error (RFC 9457): *code* is for programs, *detail* for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    param: str | None = None
    errors: list[FieldError] = Field(default_factory=list)


for _shape in (
    PaymentResponse,
    OrderResponse,
    RefundResponse,
    ReviewResponse,
    OrderList,
    PaymentList,
    RefundList,
    ReviewList,
):
    _shape.model_rebuild()
