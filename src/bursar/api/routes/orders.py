"""Orders: place, read, filter and update."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from bursar import clock, errors, ids
from bursar.access import idempotency, roles
from bursar.access.idempotency import StoredResponse
from bursar.api import responses, schemas, serializers
from bursar.api.openapi import operation
from bursar.api.problem_details import PreconditionFailed
from bursar.api.routes.parameters import (
    LIMIT,
    Cursor,
    Id,
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    Limit,
    Prefer,
    StrictRoute,
    parse_expand,
)
from bursar.decorators import current_principal
from bursar.orders import operations, quotes
from bursar.orders.models import Order
from bursar.payments import provider_accounts
from bursar.payments.statuses import CaptureMethod, PaymentStatus

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=StrictRoute)

Expand = Annotated[
    list[Literal["payments"]],
    Query(max_length=1, description="Objects to include in place of their ids."),
]
#: Statuses of a payment whose outcome is still open.
UNSETTLED = frozenset({PaymentStatus.PENDING, PaymentStatus.UNKNOWN, PaymentStatus.PROCESSING})


@router.post(
    "",
    **operation(
        roles.ORDERS_WRITE,
        schemas.OrderResponse,
        errors.IdempotencyKeyReused,
        provider_accounts.ProviderAccountNotFound,
        status=201,
        is_idempotent=True,
    ),
)
async def place_order(
    request: Request, order: schemas.OrderCreate, _: IdempotencyKey = None, __: Prefer = None
) -> Response:
    """Place an order and, with `payment`, start to collect it."""
    order_id, payment_id, now = ids.new(ids.ORDER), ids.new(ids.PAYMENT), clock.now()
    caller = idempotency.caller_of(current_principal())
    key = request.headers.get("idempotency-key", "")
    payment, basket = order.payment, order.to_basket()
    new = operations.NewOrder(
        reference=order.reference,
        currency=order.currency,
        lines=basket.lines,
        idempotency_key=f"{caller}/{key}",
        placed_at=now,
        provider_account=payment.provider_account if payment else "",
        method=payment.payment_method_token if payment else "",
        capture_method=payment.capture_method if payment else CaptureMethod.AUTOMATIC,
        buyer=order.buyer,
        metadata=order.metadata,
        country=basket.country,
        vat_id=basket.vat_id,
        customer_group=basket.customer_group,
        coupons=basket.coupons,
        prices_include_tax=basket.prices_include_tax,
    )

    def place() -> StoredResponse:
        # Returns the order of an earlier request with this key if its stored response was pruned.
        placed = operations.place_order(
            new, order_id=order_id, payment_id=payment_id, now=now, rules=quotes.configured_rules()
        )
        return responses.stored_response(
            _serialize(placed), status=201, location=f"/v1/orders/{placed}"
        )

    stored = await responses.run_idempotent(request, place)
    return await responses.respond_when_settled(
        request, stored, lambda: _settled(responses.object_id(stored))
    )


def _serialize(order_id: str) -> serializers.Json:
    return serializers.serialize_orders([_order(order_id)])[0]


def _order(order_id: str) -> Order:
    order = Order.objects.filter(id=order_id).first()
    if order is None:
        raise operations.OrderNotFound(f"there is no order {order_id!r}")
    return order


def _settled(order_id: str) -> tuple[bool, serializers.Json]:
    order = _order(order_id)
    statuses = {payment.status for payment in order.payments.all()}
    return not statuses & UNSETTLED, serializers.serialize_orders([order])[0]


@router.get("", **operation(roles.ORDERS_READ, schemas.OrderList, responses.InvalidCursor))
async def list_orders(
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    reference: Annotated[str | None, Query(max_length=120, description="Your reference.")] = None,
    metadata: Annotated[
        list[str],
        Query(max_length=5, description="`name:value`; repeat to require several."),
    ] = [],  # noqa: B006  (FastAPI copies it)
    expand: Expand = [],  # noqa: B006
) -> Response:
    """List orders, newest first, filtered by reference and metadata."""
    rows = Order.objects.all()
    if reference is not None:
        rows = rows.filter(reference=reference)
    for pair in metadata:
        name, _, value = pair.partition(":")
        rows = operations.filter_by_metadata(rows, name, value)
    return await responses.paginate(
        rows,
        serializers.serialize_orders,
        limit=limit,
        cursor=cursor,
        prefix=ids.ORDER,
        expand=parse_expand(expand, "payments"),
    )


@router.get(
    "/{order_id}", **operation(roles.ORDERS_READ, schemas.OrderResponse, operations.OrderNotFound)
)
async def read_order(
    request: Request,
    order_id: Id,
    expand: Expand = [],  # noqa: B006
    _: IfNoneMatch = None,
) -> Response:
    """Read an order."""
    return await responses.retrieve(
        request,
        lambda: _order(order_id),
        serializers.serialize_orders,
        parse_expand(expand, "payments"),
    )


@router.patch(
    "/{order_id}",
    **operation(
        roles.ORDERS_WRITE,
        schemas.OrderResponse,
        operations.OrderNotFound,
        PreconditionFailed,
        is_idempotent=True,
    ),
)
async def update_order(
    request: Request,
    order_id: Id,
    changes: schemas.OrderUpdate,
    _: IdempotencyKey = None,
    __: IfMatch = None,
) -> Response:
    """Update the metadata of an order, or replace or erase the snapshot of its buyer."""
    now = clock.now()

    def update() -> StoredResponse:
        order = operations.lock_order(order_id)
        responses.check_if_match(request, serializers.serialize_orders([order])[0])
        operations.update_order(
            order_id=order_id, metadata=changes.metadata, buyer=changes.buyer, now=now
        )
        return responses.stored_response(_serialize(order_id))

    return responses.to_response(await responses.run_idempotent(request, update))
