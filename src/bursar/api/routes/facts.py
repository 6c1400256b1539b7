"""Events: the facts we were told, read by payment or kind."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from bursar import errors, ids
from bursar.access import roles
from bursar.api import responses, schemas, serializers
from bursar.api.middleware.auth import requires
from bursar.api.routes.parameters import LIMIT, Cursor, Id, IfNoneMatch, Limit, StrictRoute
from bursar.payments import queries
from bursar.payments.models import Fact
from bursar.providers.interface import ObjectKind

router = APIRouter(prefix="/v1/events", tags=["events"], route_class=StrictRoute)


class UnknownEvent(errors.NotFound):
    """There is no event of that id."""

    code = "fact_not_found"


@router.get("", **requires(roles.EVENTS_READ, schemas.FactList, responses.InvalidCursor))
async def list_events(
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    payment: Annotated[str | None, Query(max_length=60)] = None,
    kind: Annotated[ObjectKind | None, Query()] = None,
) -> Response:
    """List what providers told us, latest first. For reading, not for following: see webhooks."""
    rows = Fact.objects.all() if payment is None else queries.facts_for_payment(payment)
    rows = rows if kind is None else rows.filter(kind=kind)
    return await responses.paginate(
        rows, serializers.serialize_facts, limit=limit, cursor=cursor, prefix=ids.EVENT
    )


@router.get("/{event_id}", **requires(roles.EVENTS_READ, schemas.FactResponse, UnknownEvent))
async def read_event(request: Request, event_id: Id, _: IfNoneMatch = None) -> Response:
    """Read an event."""

    def find() -> Fact:
        try:
            number = responses.event_number(event_id)
        except responses.InvalidCursor:
            number = 0
        fact = Fact.objects.filter(pk=number).first()
        if fact is None:
            raise UnknownEvent(f"there is no event {event_id!r}")
        return fact

    return await responses.retrieve(request, find, serializers.serialize_facts)
