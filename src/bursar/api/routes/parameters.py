"""Path, query and header parameters that several resources share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Header, Path, Query
from fastapi.routing import APIRoute
from starlette.requests import Request

from bursar import errors
from bursar.access.idempotency import KEY_LETTERS_MAX
from bursar.api.responses import LIMIT_DEFAULT, LIMIT_MAX

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Maximum number of objects.")]
LIMIT = LIMIT_DEFAULT
Cursor = Annotated[
    str | None,
    Query(min_length=4, max_length=40, description="`next_cursor` of the previous page."),
]
Id = Annotated[
    str,
    Path(
        min_length=1, max_length=60, pattern=r"^[A-Za-z0-9_.-]+$", description="Id of the object."
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_LETTERS_MAX,
        description="Unique per change: repeating the request with the same key has no further effect.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="`ETag` you read; 412 if the object was changed since."),
]
IfNoneMatch = Annotated[
    str | None,
    Header(alias="If-None-Match", description="`ETag` you have; 304 if the object is unchanged."),
]
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description="`wait=5` responds when the outcome is known, after 5 s at the latest.",
    ),
]


class StrictRoute(APIRoute):
    """A route that uses the JSON which the middleware has parsed strictly."""

    def get_route_handler(self) -> Any:
        """Return FastAPI's handler for a request that is not parsed a second time."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Any:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handler


class _StrictRequest(Request):
    async def json(self) -> Any:
        return self.state.json


class NotExpandable(errors.ValidationError):
    """The object has no field of this name to expand."""

    code = "not_expandable"


def parse_expand(requested: Iterable[str], *allowed: str) -> frozenset[str]:
    """Return *requested* as a set. :raises NotExpandable: if one of them is not *allowed*."""
    for name in requested:
        if name not in allowed:
            raise NotExpandable(f"must be one of {', '.join(allowed)}", param="expand")
    return frozenset(requested)
