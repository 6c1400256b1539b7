"""Schemas of the public API: request bodies and responses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from bursar.api import examples
from bursar.api.pricing_schemas import (
    LINES_MAX,
    QUANTITY_MAX,
    BasketCreate,
    Currency,
    MoneyResponse,
    RequestModel,
    ResponseModel,
    with_example,
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
    """A positive amount in minor units of a currency."""

    model_config = with_example({"amount": 500, "currency": "EUR"})

    amount: _Minor = Field(examples=[500])
    """Amount in minor units: cents for EUR, whole yen for JPY, thousandths for KWD."""
    currency: Currency
    """ISO 4217 code, or the code of a supported asset."""


class PaymentInput(RequestModel):
    """How to collect an order."""

    model_config = with_example(examples.PAYMENT_INPUT)

    provider_account: str = Field(min_length=1, max_length=40, examples=["europe"])
    """Name of the provider account."""
    payment_method_token: str = Field(min_length=1, max_length=120, examples=["tok_visa"])
    """The provider's token for the payment method; never a card number."""
    capture_method: Annotated[CaptureMethod, Field(strict=False)] = CaptureMethod.AUTOMATIC
    """`automatic` captures at once; `manual` authorizes and needs a capture later."""


class OrderCreate(BasketCreate):
    """An order and, optionally, the payment to collect it with."""

    model_config = with_example(examples.ORDER_CREATE)

    reference: str = Field(min_length=1, max_length=REFERENCE_LETTERS, examples=["web-1001"])
    """Your reference, such as the order number of the shop."""
    payment: PaymentInput | None = None
    """How to collect the order now; without it create a payment later."""
    buyer: Metadata = Field(default_factory=dict, examples=[{"name": "Ada"}])
    """Snapshot of the buyer; can be replaced or erased."""
    metadata: Metadata = Field(default_factory=dict, examples=[{"basket": "b-77"}])
    """Your key-value pairs; orders can be filtered by them."""


class OrderUpdate(RequestModel):
    """Changes of an order; omitted fields stay as they are."""

    model_config = with_example(examples.ORDER_UPDATE)

    metadata: dict[_Name, _Value | None] = Field(default_factory=dict, max_length=METADATA_KEYS_MAX)
    """Keys to set; null removes a key."""
    buyer: Metadata | None = None
    """Replaces the snapshot of the buyer; `{}` erases it."""


class PaymentCreate(PaymentInput):
    """A new payment of an order that has none in progress or captured."""

    model_config = with_example(examples.PAYMENT_CREATE)

    order: str = Field(min_length=1, max_length=40, examples=[examples.ORDER_ID])
    """Id of the order."""


class CaptureCreate(RequestModel):
    """How much to capture."""

    model_config = with_example(examples.CAPTURE_CREATE)

    amount: MoneyInput | None = None
    """Amount to capture; null captures the complete authorized amount."""


class PaymentCancel(RequestModel):
    """An empty object."""

    model_config = with_example({})


class RefundLineCreate(RequestModel):
    """Units of an order line to refund."""

    position: int = Field(ge=1, le=LINES_MAX, examples=[1])
    """Position of the order line, from 1."""
    quantity: int = Field(ge=1, le=QUANTITY_MAX, examples=[1])
    """Number of units to refund."""


class RefundCreate(RequestModel):
    """What to refund: an amount, units of lines, or by default the complete refundable amount."""

    model_config = with_example(examples.REFUND_CREATE)

    amount: MoneyInput | None = None
    """Amount to refund; not together with `lines`."""
    lines: list[RefundLineCreate] = Field(default_factory=list, max_length=LINES_MAX)
    """Units of order lines to refund; not together with `amount`."""
    reason: str = Field(max_length=REASON_LETTERS_MAX, default="", examples=["damaged"])
    """Reason, for the back office and reports."""


class ReviewResolve(RequestModel):
    """The resolution of a review."""

    model_config = with_example(examples.REVIEW_RESOLVE)

    resolution: str = Field(min_length=1, max_length=RESOLUTION_LETTERS_MAX)
    """The decision and its reason."""


# --- Responses ----------------------------------------------------------------------------------


class OrderLineResponse(ResponseModel):
    """One line of an order as it was priced."""

    position: int
    """Position from 1."""
    sku: str
    """Stock keeping unit."""
    description: str
    """Text of the line."""
    quantity: int
    """Number of units."""
    unit_price: str
    """Price of one unit as a decimal in major units."""
    tax_rate: str
    """Tax rate in percent."""
    tax_code: str
    """VAT category code of EN 16931."""
    net: MoneyResponse
    """Amount without tax."""
    tax: MoneyResponse
    """Tax."""
    gross: MoneyResponse
    """Amount with tax."""
    pricing_explanation: dict[str, Any]
    """Discounts, rounding and tax components of the line; empty if there are none."""


class DeclineResponse(ResponseModel):
    """Why the last attempt was declined."""

    code: str
    """Decline code of the provider."""
    soft_decline: bool
    """Whether a retry may succeed, later or with another payment method."""


class AttemptResponse(ResponseModel):
    """One operation at a provider; its id is the provider's idempotency key."""

    id: str
    """Id of the attempt."""
    object: Literal["attempt"]
    """Object type."""
    operation: Operation
    """Operation requested from the provider."""
    amount: MoneyResponse
    """Amount of the operation."""
    status: AttemptStatus
    """Status; `unknown` until the provider confirms the outcome."""
    reference: str
    """The provider's id of the charge or refund; empty until known."""
    failure_code: str
    """Decline or error code; empty if there is none."""
    soft_decline: bool
    """Whether a retry of a declined attempt may succeed."""
    redirect_url: str
    """Where to send the buyer, for example for 3-D Secure; empty if not needed."""
    created_at: datetime
    """When the attempt was created."""
    answered_at: datetime | None
    """When the provider's response arrived; null until then."""


class PaymentResponse(ResponseModel):
    """A payment of an order through one provider account."""

    model_config = with_example(examples.PAYMENT)

    id: str
    """Id of the payment."""
    object: Literal["payment"]
    """Object type."""
    order: str | OrderResponse
    """Id of the order; the order with `expand=order`."""
    provider_account: str
    """Name of the provider account."""
    status: PaymentStatus
    """Status; `unknown` until the provider confirms the outcome."""
    capture_method: CaptureMethod
    """Whether the payment is captured automatically or on request."""
    amount: MoneyResponse
    """Amount to collect."""
    tax: MoneyResponse
    """Tax included in `amount`."""
    authorized: MoneyResponse
    """Amount authorized and not yet captured."""
    captured: MoneyResponse
    """Amount captured."""
    refunded: MoneyResponse
    """Amount of succeeded refunds."""
    pending_refund: MoneyResponse
    """Amount of refunds in progress or pending approval."""
    disputed: MoneyResponse
    """Amount withdrawn by open or lost disputes."""
    refundable_amount: MoneyResponse
    """Amount that can still be refunded."""
    decline: DeclineResponse | None
    """Why the last attempt was declined; null if it was not."""
    redirect_url: str
    """Where to send the buyer, for example for 3-D Secure; empty if not needed."""
    refunds: list[str] | list[RefundResponse]
    """Ids of the refunds; the refunds with `expand=refunds`."""
    attempts: list[str] | list[AttemptResponse]
    """Ids of the attempts; the attempts with `expand=attempts`."""
    created_at: datetime
    """When the payment was created."""
    updated_at: datetime
    """When the payment last changed."""
    expires_at: datetime | None
    """When the authorization expires; null if nothing is authorized."""


class OrderResponse(ResponseModel):
    """An order; `payment_status` is derived from its payments."""

    model_config = with_example(examples.ORDER)

    id: str
    """Id of the order."""
    object: Literal["order"]
    """Object type."""
    reference: str
    """Your reference."""
    payment_status: OrderPaymentStatus
    """How much of the order is paid."""
    total: MoneyResponse
    """Amount to pay, with tax."""
    tax: MoneyResponse
    """Tax included in `total`."""
    lines: list[OrderLineResponse]
    """Lines as they were priced."""
    pricing_explanation: dict[str, Any]
    """Pricing rules, discounts, rounding and taxes; empty if no rules applied."""
    buyer: dict[str, str]
    """Snapshot of the buyer."""
    metadata: dict[str, str]
    """Your key-value pairs."""
    payments: list[str] | list[PaymentResponse]
    """Ids of the payments; the payments with `expand=payments`."""
    placed_at: datetime
    """When the order was placed; prices and taxes are of this time."""
    created_at: datetime
    """When the order was stored."""


class RefundLineResponse(ResponseModel):
    """Refunded units of an order line."""

    position: int
    """Position of the order line, from 1."""
    quantity: int
    """Number of units."""
    amount: MoneyResponse
    """Amount of these units, with tax."""
    tax: MoneyResponse
    """Tax included in `amount`."""


class RefundResponse(ResponseModel):
    """A refund of a payment."""

    model_config = with_example(examples.REFUND)

    id: str
    """Id of the refund."""
    object: Literal["refund"]
    """Object type."""
    payment: str | PaymentResponse
    """Id of the payment; the payment with `expand=payment`."""
    status: RefundStatus
    """Status at the provider."""
    approval: Literal["not_required", "pending", "approved", "rejected"]
    """Approval by a second person, required above the configured amount."""
    amount: MoneyResponse
    """Amount refunded."""
    tax: MoneyResponse
    """Tax included in `amount`."""
    reason: str
    """Reason given for the refund."""
    lines: list[RefundLineResponse]
    """Refunded units; empty for a refund by amount."""
    created_at: datetime
    """When the refund was created."""


class ReviewResponse(ResponseModel):
    """A case that needs a manual decision."""

    model_config = with_example(examples.REVIEW)

    id: str
    """Id of the review."""
    object: Literal["review"]
    """Object type."""
    code: str
    """What is wrong, for programs."""
    subject: str
    """Id or reference of the object concerned."""
    payment: str | PaymentResponse | None
    """Id of the payment, or the payment with `expand=payment`; null if there is none."""
    detail: dict[str, Any]
    """Amounts and references that explain the case."""
    opened_at: datetime
    """When the review was opened."""
    resolved_at: datetime | None
    """When the review was resolved; null while it is open."""
    resolution: str
    """The decision; empty while the review is open."""
    resolved_by: str
    """User, API key or process that resolved the review."""


class ProviderAccountResponse(ResponseModel):
    """An account at a payment provider."""

    model_config = with_example(examples.PROVIDER_ACCOUNT)

    name: str
    """Name of the account."""
    object: Literal["provider_account"]
    """Object type."""
    provider: str
    """Name of the provider."""
    capabilities: list[str]
    """Operations the provider supports; empty if its configuration is invalid."""
    webhook_url: str | None
    """Path for the provider's webhooks on this installation; null if it sends none."""
    created_at: datetime
    """When the account was created."""


class FactResponse(ResponseModel):
    """A state of a provider object as it was reported; stored once, not in order of time."""

    model_config = with_example(examples.FACT)

    id: str
    """Id of the fact."""
    object: Literal["fact"]
    """Object type."""
    provider_account: str
    """Name of the provider account."""
    kind: ObjectKind
    """Kind of the provider object."""
    reference: str
    """The provider's id of the object."""
    status: str
    """Status of the object."""
    amount: MoneyResponse
    """Amount of the object."""
    source: str
    """How it was reported, such as `answer`, `lookup` or `webhook`."""
    payment: str | None
    """Id of the payment; null if none matches."""
    failure_code: str
    """Decline or error code; empty if there is none."""
    occurred_at: datetime | None
    """The provider's time of the state; null if it reports none."""
    received_at: datetime
    """When it was received."""


class ListResponse(ResponseModel):
    """A page of a list, newest first."""

    object: Literal["list"]
    """Object type."""
    next_cursor: str | None = Field(examples=[None])
    """Pass as `cursor` for the next page; null on the last page."""


class OrderList(ListResponse):
    """A page of orders, newest first."""

    data: list[OrderResponse]
    """The orders of this page."""


class PaymentList(ListResponse):
    """A page of payments, newest first."""

    data: list[PaymentResponse]
    """The payments of this page."""


class RefundList(ListResponse):
    """A page of refunds, newest first."""

    data: list[RefundResponse]
    """The refunds of this page."""


class ReviewList(ListResponse):
    """A page of reviews, newest first."""

    data: list[ReviewResponse]
    """The reviews of this page."""


class ProviderAccountList(ListResponse):
    """All provider accounts, by name."""

    data: list[ProviderAccountResponse]
    """The provider accounts."""


class FactList(ListResponse):
    """A page of facts, newest first."""

    data: list[FactResponse]
    """The facts of this page."""


class WebhookReceipt(ResponseModel):
    """Confirms that a webhook is stored."""

    model_config = with_example({"received": True, "duplicate": False})

    received: Literal[True]
    """Always true: the webhook is stored durably."""
    duplicate: bool
    """Whether the event was delivered before."""


class FieldError(ResponseModel):
    """One invalid field of a request."""

    param: str = Field(examples=["amount"])
    """Path of the field, such as `lines[0].quantity`."""
    detail: str = Field(examples=['amount must be an object {"amount": 500, "currency": "EUR"}'])
    """What is expected."""


class ProblemDetails(ResponseModel):
    """An error (RFC 9457)."""

    type: str
    """URN of the error, `urn:bursar:problem:` and the code."""
    title: str
    """Phrase of the HTTP status."""
    status: int
    """HTTP status."""
    detail: str
    """What went wrong, for people; the text may change."""
    code: str
    """Stable code, for programs."""
    request_id: str
    """Id of the request, also in `X-Request-Id` and the log."""
    param: str | None = None
    """The field that is invalid, if it is one."""
    errors: list[FieldError] = Field(default_factory=list)
    """All invalid fields."""


for _model in (
    PaymentResponse,
    OrderResponse,
    RefundResponse,
    ReviewResponse,
    OrderList,
    PaymentList,
    RefundList,
    ReviewList,
):
    _model.model_rebuild()
