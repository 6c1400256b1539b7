"""Events: the facts we were told, read by payment or kind."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from bursar import errors, ids
from bursar.access import roles
from bursar.api import answers, rendering, shapes
from bursar.api.border.callers import needs
from bursar.api.routes.parameters import LIMIT, Cursor, Id, IfNoneMatch, Limit, StrictRoute
from bursar.payments import statements
from bursar.payments.models import Fact
from bursar.providers.base import Kind

router = APIRouter(prefix="/v1/events", tags=["events"], route_class=StrictRoute)


class UnknownEvent(errors.NotFound):
    """There is no event of that id."""

    code = "unknown_event"


@router.get("", **needs(roles.EVENTS_READ, shapes.Events, answers.BadCursor))
async def list_events(
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    payment: Annotated[str | None, Query(max_length=60)] = None,
    kind: Annotated[Kind | None, Query()] = None,
) -> Response:
    """List what providers told us, latest first. For reading, not for following: see webhooks."""
    rows = Fact.objects.all() if payment is None else statements.facts_about(payment)
    rows = rows if kind is None else rows.filter(kind=kind)
    return await answers.page(rows, rendering.events, limit=limit, cursor=cursor, prefix=ids.EVENT)


@router.get("/{event_id}", **needs(roles.EVENTS_READ, shapes.Event, UnknownEvent))
async def read_event(request: Request, event_id: Id, _: IfNoneMatch = None) -> Response:
    """Read an event."""

    def find() -> Fact:
        try:
            number = answers.event_number(event_id)
        except answers.BadCursor:
            number = 0
        fact = Fact.objects.filter(pk=number).first()
        if fact is None:
            raise UnknownEvent(f"there is no event {event_id!r}")
        return fact

    return await answers.one(request, find, rendering.events)
