"""What the routes of every noun take in their address, query and headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Header, Path, Query
from fastapi.routing import APIRoute
from starlette.requests import Request

from bursar import errors
from bursar.access.idempotency import KEY_LETTERS_MAX
from bursar.api.responses import LIMIT_DEFAULT, LIMIT_MAX

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most.")]
LIMIT = LIMIT_DEFAULT
Cursor = Annotated[
    str | None,
    Query(min_length=4, max_length=40, description="The `next_cursor` of the page before."),
]
Id = Annotated[str, Path(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9_.-]+$")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_LETTERS_MAX,
        description="Required. The same request with the same key is one effect and one answer.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The ETag you read; 412 where it was changed since."),
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="304 where it is as you have it.")
]
Prefer = Annotated[
    str | None,
    Header(alias="Prefer", description="`wait=5`: answer when it is settled, or after 5 s."),
]


class StrictRoute(APIRoute):
    """A route whose JSON was read, strictly, at the border."""

    def get_route_handler(self) -> Any:
        """FastAPI's handler, given a request that does not parse again."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Any:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handler


class _StrictRequest(Request):
    async def json(self) -> Any:
        return self.state.json


class NotExpandable(errors.ValidationError):
    """There is nothing of that name to expand."""

    code = "not_expandable"


def parse_expand(wanted: Iterable[str], *known: str) -> frozenset[str]:
    """:raises NotExpandable: if one of *wanted* is none of *known*."""
    for name in wanted:
        if name not in known:
            raise NotExpandable(f"one of {', '.join(known)}", param="expand")
    return frozenset(wanted)
