"""Refunds, read-only; they are created at their payment."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from bursar import errors, ids
from bursar.access import roles
from bursar.api import responses, schemas, serializers
from bursar.api.openapi import operation
from bursar.api.routes.parameters import LIMIT, Cursor, Id, IfNoneMatch, Limit, StrictRoute
from bursar.payments.models import Refund

router = APIRouter(prefix="/v1/refunds", tags=["refunds"], route_class=StrictRoute)

Expand = Annotated[
    list[Literal["payment"]],
    Query(max_length=1, description="Objects to include in place of their ids."),
]


class RefundNotFound(errors.NotFound):
    """No refund has this id."""

    code = "refund_not_found"


@router.get("", **operation(roles.REFUNDS_READ, schemas.RefundList, responses.InvalidCursor))
async def list_refunds(
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    payment: Annotated[
        str | None, Query(max_length=60, description="Only refunds of this payment (id).")
    ] = None,
    expand: Expand = [],  # noqa: B006
) -> Response:
    """List refunds, newest first."""
    rows = Refund.objects.all() if payment is None else Refund.objects.filter(payment_id=payment)
    return await responses.paginate(
        rows,
        serializers.serialize_refunds,
        limit=limit,
        cursor=cursor,
        prefix=ids.REFUND,
        expand=frozenset(expand),
    )


@router.get("/{refund_id}", **operation(roles.REFUNDS_READ, schemas.RefundResponse, RefundNotFound))
async def read_refund(
    request: Request,
    refund_id: Id,
    expand: Expand = [],  # noqa: B006
    _: IfNoneMatch = None,
) -> Response:
    """Read a refund."""

    def find() -> Refund:
        refund = Refund.objects.filter(id=refund_id).first()
        if refund is None:
            raise RefundNotFound(f"there is no refund {refund_id!r}")
        return refund

    return await responses.retrieve(request, find, serializers.serialize_refunds, frozenset(expand))
