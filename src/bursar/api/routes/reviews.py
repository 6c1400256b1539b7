"""Reviews: cases that need a manual decision."""

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
from bursar.api.routes.parameters import (
    LIMIT,
    Cursor,
    Id,
    IdempotencyKey,
    IfNoneMatch,
    Limit,
    StrictRoute,
)
from bursar.payments import reviews
from bursar.payments.models import Review

router = APIRouter(prefix="/v1/reviews", tags=["reviews"], route_class=StrictRoute)

Expand = Annotated[
    list[Literal["payment"]],
    Query(max_length=1, description="Objects to include in place of their ids."),
]


@router.get("", **operation(roles.REVIEWS_READ, schemas.ReviewList, responses.InvalidCursor))
async def list_reviews(
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    resolved: Annotated[
        bool | None, Query(description="`true`: only resolved reviews. `false`: only open ones.")
    ] = None,
    payment: Annotated[
        str | None, Query(max_length=60, description="Only reviews of this payment (id).")
    ] = None,
    expand: Expand = [],  # noqa: B006
) -> Response:
    """List reviews, newest first."""
    rows = Review.objects.all() if payment is None else Review.objects.filter(payment_id=payment)
    if resolved is not None:
        rows = rows.filter(resolved_at__isnull=not resolved)
    return await responses.paginate(
        rows,
        serializers.serialize_reviews,
        limit=limit,
        cursor=cursor,
        prefix=ids.REVIEW,
        expand=frozenset(expand),
    )


@router.get(
    "/{review_id}", **operation(roles.REVIEWS_READ, schemas.ReviewResponse, reviews.ReviewNotFound)
)
async def read_review(
    request: Request,
    review_id: Id,
    expand: Expand = [],  # noqa: B006
    _: IfNoneMatch = None,
) -> Response:
    """Read a review."""
    return await responses.retrieve(
        request, lambda: _review(review_id), serializers.serialize_reviews, frozenset(expand)
    )


@router.post(
    "/{review_id}/resolve",
    **operation(
        roles.REVIEWS_WRITE,
        schemas.ReviewResponse,
        reviews.ReviewNotFound,
        reviews.AlreadyResolved,
        is_idempotent=True,
    ),
)
async def resolve_review(
    request: Request, review_id: Id, body: schemas.ReviewResolve, _: IdempotencyKey = None
) -> Response:
    """Resolve a review with the decision made."""
    now = clock.now()

    def resolve() -> StoredResponse:
        reviews.resolve(review_id=review_id, resolution=body.resolution, now=now)
        return responses.stored_response(serializers.serialize_reviews([_review(review_id)])[0])

    return responses.to_response(await responses.run_idempotent(request, resolve))


def _review(review_id: str) -> Review:
    review = Review.objects.filter(id=review_id).first()
    if review is None:
        raise reviews.ReviewNotFound(f"review {review_id!r} not found")
    return review
