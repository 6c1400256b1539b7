"""Routes of the dashboard, with authorization by session or API key."""

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
from bursar.dashboard.config.user_monitors import MonitorNotFound
from bursar.dashboard.views import html, serializers, sse
from bursar.db_reader import readers
from bursar.decorators import Unauthenticated, current_principal

SCOPE: Final = roles.DASHBOARD_READ
LOGIN_URL: Final = f"/admin/login/?next={auth.DASHBOARD_PATH}"
#: The fastest level: it halves the transfer of 500 tiles on a slow line, for 2 ms of CPU.
GZIP_LEVEL: Final = 1

page = APIRouter(include_in_schema=False)
router = APIRouter(prefix=auth.DASHBOARD_API_PREFIX, tags=["dashboard"], route_class=StrictRoute)
status = APIRouter(include_in_schema=False)

_required_scope = RequireScope(SCOPE)

After = Annotated[
    str | None,
    Query(max_length=40, description="A `last_event_id`: the stream sends only later changes."),
]
LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="The same; takes precedence.")
]


Range = Literal["day", "week", "month", "year"]
#: The step in seconds and the duration of each range.
RANGES: Final[Mapping[Range, tuple[int, timedelta]]] = {
    "day": (300, timedelta(days=1)),
    "week": (3_600, timedelta(days=7)),
    "month": (3_600, timedelta(days=30)),
    "year": (86_400, timedelta(days=365)),
}
RangeParameter = Annotated[Range, Query(alias="range", description="How far back.")]
Key = Annotated[str, Query(min_length=1, max_length=80, description="The `key` of a tile.")]
Series = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=60,
        pattern=r"^[^\x00-\x1f]+$",
        description="The name of a measurement, or `duration_seconds`. Default: the first numeric measurement.",
    ),
]


class StatusPageDisabled(errors.NotFound):
    """The public status page is not enabled."""

    code = "status_page_disabled"


@page.get(auth.DASHBOARD_PATH)
async def show_page() -> Response:
    """Return the page of the dashboard; without a session, redirect to the login page."""
    try:
        await _required_scope.check()
    except Unauthenticated:
        return RedirectResponse(LOGIN_URL, 303)
    return _html(html.dashboard_page(mode=settings.current.mode))


@router.get("", **operation(SCOPE, schemas.DashboardResponse, TooManyStreams))
async def read_dashboard(
    request: Request,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Return all tiles; with `Accept: text/event-stream` stream them as server-sent events."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return _stream(request, last_event_id or after or "")
    current = live_state.current()
    version = current.version  # read first: a change in between is sent twice, and not missed
    body = serializers.snapshot(current.statuses(), version=version, now=clock.now())
    headers = {"Vary": "Accept, Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type="application/json")


def _stream(request: Request, event_id: str) -> Response:
    async def is_authorized() -> bool:
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
            last_event_id=event_id,
            now=clock.now,
            ended=ended,
            is_authorized=is_authorized,
            heartbeat_seconds=sse.HEARTBEAT_SECONDS,
            pause_seconds=sse.PAUSE_SECONDS,
        ),
    )


@router.get("/history", **operation(SCOPE, schemas.HistoryResponse, MonitorNotFound))
async def read_history(key: Key, series: Series = None, span: RangeParameter = "day") -> Response:
    """Return the history of one series of a monitor; the bucket size depends on the range."""
    tile = live_state.current().get(key)
    if tile is None:
        raise MonitorNotFound(f"monitor {key!r} not found")
    numeric = (each.name for each in tile.measurements if isinstance(each.value, float))
    name = series or next(numeric, evaluation.DURATION_SECONDS)
    step_seconds, duration = RANGES[span]
    since = clock.now() - duration
    buckets = await readers.run(
        lambda: history.read(source_key=key, series=name, step_seconds=step_seconds, since=since)
    )
    body = responses.dump_json(
        {
            "object": "history",
            "key": key,
            "series": name,
            "step_seconds": step_seconds,
            "data": [dataclasses.asdict(bucket) for bucket in buckets],
        }
    )
    return Response(body, media_type="application/json")


@status.get("/status")
async def show_status() -> Response:
    """
    Return the public status page of the groups in `BURSAR_STATUS_PAGE_GROUPS`.

    :raises StatusPageDisabled: if the setting names none.
    """
    groups = settings.current.status_groups
    if not groups:
        raise StatusPageDisabled("the status page is not enabled")
    text = html.status_page(live_state.current().statuses(), groups=groups, now=clock.now())
    return _html(text, cache="public, max-age=15")


def _html(text: str, *, cache: str = "no-store") -> Response:
    headers = {"Content-Security-Policy": html.CONTENT_POLICY, "Cache-Control": cache}
    return HTMLResponse(text, headers=headers)
