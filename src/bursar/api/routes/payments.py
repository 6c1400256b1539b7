"""Payments: create, capture, cancel and refund."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from bursar import clock, ids
from bursar.access import roles
from bursar.access.idempotency import StoredResponse
from bursar.api import responses, schemas, serializers
from bursar.api.openapi import operation
from bursar.api.routes.orders import UNSETTLED
from bursar.api.routes.parameters import (
    LIMIT,
    Cursor,
    Id,
    IdempotencyKey,
    IfNoneMatch,
    Limit,
    Prefer,
    StrictRoute,
    parse_expand,
)
from bursar.money import Money
from bursar.orders import operations
from bursar.orders import refunds as order_refunding
from bursar.payments import charges, provider_accounts, queries, refunds
from bursar.payments.models import Payment, Refund
from bursar.payments.statuses import PaymentStatus
from bursar.providers import capabilities

router = APIRouter(prefix="/v1/payments", tags=["payments"], route_class=StrictRoute)

Expand = Annotated[
    list[Literal["order", "refunds", "attempts"]],
    Query(max_length=3, description="Objects to include in place of their ids."),
]


@router.post(
    "",
    **operation(
        roles.ORDERS_WRITE,
        schemas.PaymentResponse,
        operations.OrderNotFound,
        operations.OrderAlreadyPaid,
        provider_accounts.ProviderAccountNotFound,
        status=201,
        is_idempotent=True,
    ),
)
async def create_payment(
    request: Request, body: schemas.PaymentCreate, _: IdempotencyKey = None, __: Prefer = None
) -> Response:
    """Create a payment of an order, for example after a decline or at another account."""
    payment_id, now = ids.new(ids.PAYMENT), clock.now()

    def collect() -> StoredResponse:
        operations.create_payment(
            order_id=body.order,
            payment_id=payment_id,
            provider_account=body.provider_account,
            method=body.payment_method_token,
            capture_method=body.capture_method,
            now=now,
        )
        return responses.stored_response(
            _serialize(payment_id), status=201, location=f"/v1/payments/{payment_id}"
        )

    stored = await responses.run_idempotent(request, collect)
    return await responses.respond_when_settled(
        request, stored, lambda: _settled(responses.object_id(stored))
    )


@router.get("", **operation(roles.PAYMENTS_READ, schemas.PaymentList, responses.InvalidCursor))
async def list_payments(
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    order: Annotated[
        str | None, Query(max_length=60, description="Only payments of this order (id).")
    ] = None,
    status: Annotated[
        PaymentStatus | None, Query(description="Only payments in this status.")
    ] = None,
    expand: Expand = [],  # noqa: B006
) -> Response:
    """List payments, newest first."""
    rows = Payment.objects.all()
    rows = rows if order is None else rows.filter(order_id=order)
    rows = rows if status is None else rows.filter(status=status)
    return await responses.paginate(
        rows,
        serializers.serialize_payments,
        limit=limit,
        cursor=cursor,
        prefix=ids.PAYMENT,
        expand=parse_expand(expand, "order", "refunds", "attempts"),
    )


@router.get(
    "/{payment_id}",
    **operation(roles.PAYMENTS_READ, schemas.PaymentResponse, queries.PaymentNotFound),
)
async def read_payment(
    request: Request,
    payment_id: Id,
    expand: Expand = [],  # noqa: B006
    _: IfNoneMatch = None,
) -> Response:
    """Read a payment."""
    expanded = parse_expand(expand, "order", "refunds", "attempts")
    return await responses.retrieve(
        request, lambda: _payment(payment_id), serializers.serialize_payments, expanded
    )


@router.post(
    "/{payment_id}/capture",
    **operation(
        roles.PAYMENTS_WRITE,
        schemas.PaymentResponse,
        queries.PaymentNotFound,
        charges.PaymentNotCapturable,
        capabilities.OperationNotSupported,
        status=202,
        is_idempotent=True,
    ),
)
async def capture_payment(
    request: Request,
    payment_id: Id,
    body: schemas.CaptureCreate,
    _: IdempotencyKey = None,
    __: Prefer = None,
) -> Response:
    """Capture the authorized amount or a part of it."""
    attempt_id, now = ids.new(ids.ATTEMPT), clock.now()

    def capture() -> StoredResponse:
        payment = queries.lock_payment(payment_id)
        authorized = Money(payment.authorized_minor, payment.currency)
        amount = Money(body.amount.amount, body.amount.currency) if body.amount else authorized
        charges.request_capture(
            payment_id=payment_id, amount=amount, attempt_id=attempt_id, now=now
        )
        return responses.stored_response(_serialize(payment_id), status=202)

    stored = await responses.run_idempotent(request, capture)
    return await responses.respond_when_settled(request, stored, lambda: _changed(payment_id))


@router.post(
    "/{payment_id}/cancel",
    **operation(
        roles.PAYMENTS_WRITE,
        schemas.PaymentResponse,
        queries.PaymentNotFound,
        charges.PaymentNotCancelable,
        capabilities.OperationNotSupported,
        status=202,
        is_idempotent=True,
    ),
)
async def cancel_payment(
    request: Request,
    payment_id: Id,
    _: schemas.PaymentCancel,
    __: IdempotencyKey = None,
    ___: Prefer = None,
) -> Response:
    """Cancel a payment that is not captured; releases its authorization."""
    attempt_id, now = ids.new(ids.ATTEMPT), clock.now()

    def cancel() -> StoredResponse:
        charges.abandon_attempt(payment_id=payment_id, attempt_id=attempt_id, now=now)
        return responses.stored_response(_serialize(payment_id), status=202)

    stored = await responses.run_idempotent(request, cancel)
    return await responses.respond_when_settled(request, stored, lambda: _changed(payment_id))


@router.post(
    "/{payment_id}/refunds",
    **operation(
        roles.REFUNDS_WRITE,
        schemas.RefundResponse,
        queries.PaymentNotFound,
        refunds.RefundExceedsBalance,
        order_refunding.QuantityExceedsRefundable,
        status=201,
        is_idempotent=True,
    ),
)
async def refund_payment(
    request: Request,
    payment_id: Id,
    body: schemas.RefundCreate,
    _: IdempotencyKey = None,
    __: Prefer = None,
) -> Response:
    """Refund an amount, units of lines, or the complete refundable amount."""
    refund_id, now = ids.new(ids.REFUND), clock.now()
    amount = Money(body.amount.amount, body.amount.currency) if body.amount else None

    def refund() -> StoredResponse:
        order_refunding.refund(
            payment_id=payment_id,
            amount=amount,
            quantities=order_refunding.parse_quantities(
                (line.position, line.quantity) for line in body.lines
            ),
            refund_id=refund_id,
            reason=body.reason,
            now=now,
        )
        refund_json = serializers.serialize_refunds([Refund.objects.get(id=refund_id)])[0]
        return responses.stored_response(
            refund_json, status=201, location=f"/v1/refunds/{refund_id}"
        )

    stored = await responses.run_idempotent(request, refund)
    return await responses.respond_when_settled(
        request, stored, lambda: read_settled_refund(responses.object_id(stored))
    )


def read_settled_refund(refund_id: str) -> tuple[bool, serializers.Json]:
    """Return whether a refund is final or waits for approval, and the refund."""
    refund = serializers.serialize_refunds([Refund.objects.get(id=refund_id)])[0]
    return refund["status"] != "pending" or refund["approval"] == "pending", refund


def _payment(payment_id: str) -> Payment:
    payment = Payment.objects.filter(id=payment_id).first()
    if payment is None:
        raise queries.PaymentNotFound(f"payment {payment_id!r} not found")
    return payment


def _serialize(payment_id: str) -> serializers.Json:
    return serializers.serialize_payments([_payment(payment_id)])[0]


def _settled(payment_id: str) -> tuple[bool, serializers.Json]:
    payment = _serialize(payment_id)
    return payment["status"] not in UNSETTLED, payment


def _changed(payment_id: str) -> tuple[bool, serializers.Json]:
    """Return whether no capture or void of a payment is in progress, and the payment."""
    return not charges.is_in_progress(payment_id), _serialize(payment_id)
