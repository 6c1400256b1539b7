"""The dashboard's routes: who may see it is asked here, by session or by key."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bursar import clock, errors, settings
from bursar.access import roles
from bursar.api import responses
from bursar.api.dashboard import schemas
from bursar.api.dashboard.event_stream import EventStream, Streams, TooManyStreams
from bursar.api.middleware import auth
from bursar.api.middleware.auth import RequireScope
from bursar.api.openapi import operation
from bursar.api.routes.parameters import StrictRoute
from bursar.dashboard import evaluation, history, live_state
from bursar.dashboard.config.user_monitors import UnknownSource
from bursar.dashboard.views import html, serializers, sse
from bursar.db_reader import readers
from bursar.decorators import Unauthenticated, current_principal

SCOPE: Final = roles.DASHBOARD_READ
SIGN_IN: Final = f"/admin/login/?next={auth.DASHBOARD_PATH}"
#: Five hundred tiles take half as long over a slow line for two milliseconds of work.
GZIP_LEVEL: Final = 1

page = APIRouter(include_in_schema=False)
router = APIRouter(prefix=auth.DASHBOARD_API_PREFIX, tags=["dashboard"], route_class=StrictRoute)
status = APIRouter(include_in_schema=False)

_needs = RequireScope(SCOPE)

After = Annotated[
    str | None, Query(max_length=40, description="A stream goes on from this `position`.")
]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="The same.")]


Range = Literal["day", "week", "month", "year"]
#: Of each range the width of its spans, in seconds, and how far back it goes.
RANGES: Final[Mapping[Range, tuple[int, timedelta]]] = {
    "day": (300, timedelta(days=1)),
    "week": (3_600, timedelta(days=7)),
    "month": (3_600, timedelta(days=30)),
    "year": (86_400, timedelta(days=365)),
}
Key = Annotated[str, Query(min_length=1, max_length=80, description="A tile's `key`.")]
Series = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=60,
        pattern=r"^[^\x00-\x1f]+$",
        description="A reading's name, or `seconds`.",
    ),
]


class NoStatusPage(errors.NotFound):
    """There is no public status page here."""

    code = "status_page_disabled"


@page.get(auth.DASHBOARD_PATH)
async def show_page() -> Response:
    """Show the dashboard; strangers are led to the sign-in of the back office."""
    try:
        await _needs.check()
    except Unauthenticated:
        return RedirectResponse(SIGN_IN, 303)
    return _html(html.board(mode=settings.current.mode))


@router.get("", **operation(SCOPE, schemas.DashboardResponse, TooManyStreams))
async def read_dashboard(
    request: Request,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Read the board or, with `Accept: text/event-stream`, follow it as server-sent events."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return _stream(request, last_event_id or after or "")
    shown = live_state.current()
    version = shown.version  # before the views: what comes between is told again, and not missed
    body = serializers.snapshot(shown.views(), version=version, now=clock.now())
    headers = {"Vary": "Accept, Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type="application/json")


def _stream(request: Request, position: str) -> Response:
    async def allowed() -> bool:
        try:
            principal = await auth.authenticate(request.scope, request.headers)
        except errors.BursarError:
            return False
        return principal is not None and SCOPE in principal.scopes

    streams: Streams = request.app.state.streams
    return EventStream(
        streams,
        current_principal().id,
        lambda ended: sse.events(
            live_state.current(),
            position=position,
            now=clock.now,
            ended=ended,
            allowed=allowed,
            beat_seconds=sse.BEAT_SECONDS,
            pause_seconds=sse.PAUSE_SECONDS,
        ),
    )


@router.get("/history", **operation(SCOPE, schemas.HistoryResponse, UnknownSource))
async def read_history(key: Key, series: Series = None, back: Range = "day") -> Response:
    """Read how a source was: its first number, or the series asked for, in spans as wide as fits."""
    view = live_state.current().get(key)
    if view is None:
        raise UnknownSource("no source of that key is on the dashboard")
    numbers = (each.name for each in view.readings if isinstance(each.value, float))
    wanted = series or next(numbers, evaluation.SECONDS)
    step_seconds, before = RANGES[back]
    since = clock.now() - before
    spans = await readers.run(
        lambda: history.read(source_key=key, series=wanted, step_seconds=step_seconds, since=since)
    )
    body = responses.dump_json(
        {
            "object": "history",
            "key": key,
            "series": wanted,
            "step_seconds": step_seconds,
            "data": [dataclasses.asdict(span) for span in spans],
        }
    )
    return Response(body, media_type="application/json")


@status.get("/status")
async def show_status() -> Response:
    """
    Tell the public how the groups of `BURSAR_STATUS_PAGE_GROUPS` are, in words.

    :raises NoStatusPage: unless the setting names any.
    """
    groups = settings.current.status_groups
    if not groups:
        raise NoStatusPage("there is no status page")
    shown = html.status(live_state.current().views(), groups=groups, now=clock.now())
    return _html(shown, cache="public, max-age=15")


def _html(text: str, *, cache: str = "no-store") -> Response:
    headers = {"Content-Security-Policy": html.CONTENT_POLICY, "Cache-Control": cache}
    return HTMLResponse(text, headers=headers)
