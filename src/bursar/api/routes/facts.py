"""Facts: what providers reported about their objects, filtered by payment or kind."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from bursar import errors, ids
from bursar.access import roles
from bursar.api import responses, schemas, serializers
from bursar.api.openapi import operation
from bursar.api.routes.parameters import LIMIT, Cursor, Id, IfNoneMatch, Limit, StrictRoute
from bursar.payments import queries
from bursar.payments.models import Fact
from bursar.providers.interface import ObjectKind

router = APIRouter(prefix="/v1/facts", tags=["facts"], route_class=StrictRoute)


class FactNotFound(errors.NotFound):
    """No fact has this id."""

    code = "fact_not_found"


@router.get("", **operation(roles.FACTS_READ, schemas.FactList, responses.InvalidCursor))
async def list_facts(
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    payment: Annotated[
        str | None, Query(max_length=60, description="Only facts of this payment (id).")
    ] = None,
    kind: Annotated[ObjectKind | None, Query(description="Only facts of this kind.")] = None,
) -> Response:
    """List what providers reported, newest first. Not a change feed: facts are not ordered by time."""
    rows = Fact.objects.all() if payment is None else queries.facts_for_payment(payment)
    rows = rows if kind is None else rows.filter(kind=kind)
    return await responses.paginate(
        rows, serializers.serialize_facts, limit=limit, cursor=cursor, prefix=ids.FACT
    )


@router.get("/{fact_id}", **operation(roles.FACTS_READ, schemas.FactResponse, FactNotFound))
async def read_fact(request: Request, fact_id: Id, _: IfNoneMatch = None) -> Response:
    """Read a fact."""

    def find() -> Fact:
        try:
            number = responses.parse_fact_id(fact_id)
        except responses.InvalidCursor:
            number = 0
        fact = Fact.objects.filter(pk=number).first()
        if fact is None:
            raise FactNotFound(f"there is no fact {fact_id!r}")
        return fact

    return await responses.retrieve(request, find, serializers.serialize_facts)
