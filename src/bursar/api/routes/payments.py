"""Payments: try again, capture, cancel and refund."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from bursar import clock, ids
from bursar.access import roles
from bursar.access.idempotency import StoredResponse
from bursar.api import responses, schemas, serializers
from bursar.api.middleware.auth import operation
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

Expand = Annotated[list[Literal["order", "refunds", "attempts"]], Query(max_length=3)]


@router.post(
    "",
    **operation(
        roles.ORDERS_WRITE,
        schemas.PaymentResponse,
        operations.UnknownOrder,
        operations.OrderAlreadyPaid,
        provider_accounts.UnknownAccount,
        status=201,
        keyed=True,
    ),
)
async def create_payment(
    request: Request, asked: schemas.PaymentCreate, _: IdempotencyKey = None, __: Prefer = None
) -> Response:
    """Try again to collect an order: after a decline, at another account, or for the first time."""
    payment_id, now = ids.new(ids.PAYMENT), clock.now()

    def collect() -> StoredResponse:
        operations.create_payment(
            order_id=asked.order,
            payment_id=payment_id,
            provider_account=asked.provider_account,
            method=asked.payment_method_token,
            capture_method=asked.capture_method,
            now=now,
        )
        return responses.stored_response(
            _serialize(payment_id), status=201, location=f"/v1/payments/{payment_id}"
        )

    answer = await responses.run_idempotent(request, collect)
    return await responses.respond_when_settled(
        request, answer, lambda: _settled(responses.object_id(answer))
    )


@router.get("", **operation(roles.PAYMENTS_READ, schemas.PaymentList, responses.InvalidCursor))
async def list_payments(
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    order: Annotated[str | None, Query(max_length=60)] = None,
    status: Annotated[PaymentStatus | None, Query()] = None,
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
    **operation(roles.PAYMENTS_READ, schemas.PaymentResponse, queries.UnknownPayment),
)
async def read_payment(
    request: Request,
    payment_id: Id,
    expand: Expand = [],  # noqa: B006
    _: IfNoneMatch = None,
) -> Response:
    """Read a payment."""
    wanted = parse_expand(expand, "order", "refunds", "attempts")
    return await responses.retrieve(
        request, lambda: _payment(payment_id), serializers.serialize_payments, wanted
    )


@router.post(
    "/{payment_id}/capture",
    **operation(
        roles.PAYMENTS_WRITE,
        schemas.PaymentResponse,
        queries.UnknownPayment,
        charges.NotCapturable,
        capabilities.OperationNotSupported,
        status=202,
        keyed=True,
    ),
)
async def capture_payment(
    request: Request,
    payment_id: Id,
    asked: schemas.CaptureCreate,
    _: IdempotencyKey = None,
    __: Prefer = None,
) -> Response:
    """Capture what is authorized, or a part of it; the rest is released."""
    attempt_id, now = ids.new(ids.ATTEMPT), clock.now()

    def capture() -> StoredResponse:
        payment = queries.lock_payment(payment_id)
        whole = Money(payment.authorized_minor, payment.currency)
        amount = Money(asked.amount.amount, asked.amount.currency) if asked.amount else whole
        charges.request_capture(
            payment_id=payment_id, amount=amount, attempt_id=attempt_id, now=now
        )
        return responses.stored_response(_serialize(payment_id), status=202)

    answer = await responses.run_idempotent(request, capture)
    return await responses.respond_when_settled(request, answer, lambda: _changed(payment_id))


@router.post(
    "/{payment_id}/cancel",
    **operation(
        roles.PAYMENTS_WRITE,
        schemas.PaymentResponse,
        queries.UnknownPayment,
        charges.NotCancelable,
        capabilities.OperationNotSupported,
        status=202,
        keyed=True,
    ),
)
async def cancel_payment(
    request: Request,
    payment_id: Id,
    _: schemas.PaymentCancel,
    __: IdempotencyKey = None,
    ___: Prefer = None,
) -> Response:
    """Give up a payment that holds no money, or release what is authorized of it."""
    attempt_id, now = ids.new(ids.ATTEMPT), clock.now()

    def cancel() -> StoredResponse:
        charges.abandon_attempt(payment_id=payment_id, attempt_id=attempt_id, now=now)
        return responses.stored_response(_serialize(payment_id), status=202)

    answer = await responses.run_idempotent(request, cancel)
    return await responses.respond_when_settled(request, answer, lambda: _changed(payment_id))


@router.post(
    "/{payment_id}/refunds",
    **operation(
        roles.REFUNDS_WRITE,
        schemas.RefundResponse,
        queries.UnknownPayment,
        refunds.RefundExceedsBalance,
        order_refunding.TooManyUnits,
        status=201,
        keyed=True,
    ),
)
async def refund_payment(
    request: Request,
    payment_id: Id,
    asked: schemas.RefundCreate,
    _: IdempotencyKey = None,
    __: Prefer = None,
) -> Response:
    """Give money back: an amount, units of lines, or all that is left."""
    refund_id, now = ids.new(ids.REFUND), clock.now()
    amount = Money(asked.amount.amount, asked.amount.currency) if asked.amount else None

    def refund() -> StoredResponse:
        order_refunding.refund(
            payment_id=payment_id,
            amount=amount,
            quantities=order_refunding.parse_quantities(
                (line.position, line.quantity) for line in asked.lines
            ),
            refund_id=refund_id,
            reason=asked.reason,
            now=now,
        )
        shown = serializers.serialize_refunds([Refund.objects.get(id=refund_id)])[0]
        return responses.stored_response(shown, status=201, location=f"/v1/refunds/{refund_id}")

    answer = await responses.run_idempotent(request, refund)
    return await responses.respond_when_settled(
        request, answer, lambda: refund_settled(responses.object_id(answer))
    )


def refund_settled(refund_id: str) -> tuple[bool, serializers.Json]:
    """Whether a refund needs no more waiting for, and the refund."""
    shown = serializers.serialize_refunds([Refund.objects.get(id=refund_id)])[0]
    return shown["status"] != "pending" or shown["approval"] == "pending", shown


def _payment(payment_id: str) -> Payment:
    payment = Payment.objects.filter(id=payment_id).first()
    if payment is None:
        raise queries.UnknownPayment(f"there is no payment {payment_id!r}")
    return payment


def _serialize(payment_id: str) -> serializers.Json:
    return serializers.serialize_payments([_payment(payment_id)])[0]


def _settled(payment_id: str) -> tuple[bool, serializers.Json]:
    shown = _serialize(payment_id)
    return shown["status"] not in UNSETTLED, shown


def _changed(payment_id: str) -> tuple[bool, serializers.Json]:
    """Whether what was decided about an authorization has been done."""
    return not charges.is_in_progress(payment_id), _serialize(payment_id)
