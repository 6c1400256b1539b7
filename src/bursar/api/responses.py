"""
Responses of routes: one object with its ETag, a page of a list, or an idempotent change.

The response to a change is rendered and stored in the transaction of the change, and returned for
every later request with the same `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import orjson
from django.db.models import Model, QuerySet
from starlette.requests import Request
from starlette.responses import Response

from bursar import clock, errors, group_commit, ids
from bursar.access import idempotency
from bursar.access.idempotency import StoredResponse
from bursar.api import problem_details
from bursar.api.serializers import Json, Render
from bursar.db_reader import readers
from bursar.decorators import current_principal

LIMIT_DEFAULT, LIMIT_MAX = 20, 100
WAIT_SECONDS_MAX = 30.0
_WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,3})(?:$|[,;\s])")
_KEY = re.compile(rf"[\x21-\x7e]{{1,{idempotency.KEY_LETTERS_MAX}}}")
_CURSOR = re.compile(r"[a-z]{2,4}_[0-9a-z]{1,26}")

#: Headers that are not part of the fingerprint of a request, and why.
HEADERS_NOT_IN_FINGERPRINT: Final = {
    "idempotency-key": "it identifies the request, together with the caller",
    "if-match": "a repeated request arrives after the change that it guarded",
    "prefer": "it says how long to wait for the response, not what to do",
}


class InvalidCursor(errors.ValidationError):
    """The cursor is not a `next_cursor` of this list."""

    code = "invalid_cursor"


def etag(body: bytes) -> str:
    """Return the strong entity tag (RFC 9110 section 8.8.3) of *body*."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def dump_json(value: Json) -> bytes:
    """Serialize one object or page."""
    return orjson.dumps(value)


async def retrieve(
    request: Request,
    find: Callable[[], Model],
    render: Render,
    expand: Collection[str] = (),
) -> Response:
    """Respond with the object that *find* returns, or 304 if the client has it (`If-None-Match`)."""
    body = await readers.run(lambda: dump_json(render([find()], expand)[0]))
    tag = etag(body)
    if tag in _tags(request, "if-none-match"):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag}, media_type="application/json")


def _tags(request: Request, name: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in request.headers.get(name, "").split(",")]


def check_if_match(request: Request, current: Json) -> None:
    """:raises problem_details.PreconditionFailed: if `If-Match` does not name the *current* state."""
    tags = _tags(request, "if-match")
    if tags not in ([""], ["*"]) and etag(dump_json(current)) not in tags:
        raise problem_details.PreconditionFailed(
            "the object was changed since you read it; read it again", param="If-Match"
        )


async def paginate(
    rows: QuerySet[Any],
    render: Render,
    *,
    limit: int,
    cursor: str | None,
    prefix: str,
    expand: Collection[str] = (),
) -> Response:
    """
    Respond with at most *limit* of *rows*, newest first, after the id that *cursor* names.

    Ids start with the time, so that their order is that of age and each page is one index look-up.
    *prefix* is that of the ids; `fct` is followed by a number.

    :raises InvalidCursor: if the cursor belongs to another list.
    """
    key = _after(cursor, prefix)

    def read() -> bytes:
        remaining = rows if key is None else rows.filter(pk__lt=key)
        page: Sequence[Any] = list(remaining.order_by("-pk")[: limit + 1])
        data = render(page[:limit], expand)
        next_cursor = data[-1].get("id") if len(page) > limit else None
        return dump_json({"object": "list", "data": data, "next_cursor": next_cursor})

    return Response(await readers.run(read), media_type="application/json")


def _after(cursor: str | None, prefix: str) -> str | int | None:
    if cursor is None:
        return None
    if not _CURSOR.fullmatch(cursor) or not cursor.startswith(f"{prefix}_"):
        raise InvalidCursor("cursor must be a next_cursor of this list", param="cursor")
    if prefix != ids.FACT:
        return cursor
    return parse_fact_id(cursor)


def parse_fact_id(fact_id: str) -> int:
    """Return the number in `fct_17`. :raises InvalidCursor: if there is none."""
    number = fact_id.removeprefix(f"{ids.FACT}_")
    if not re.fullmatch(r"[1-9][0-9]{0,17}", number):
        raise InvalidCursor("cursor must be fct_ followed by a number", param="cursor")
    return int(number)


def fingerprint_of(request: Request, body: bytes) -> str:
    """Return the fingerprint of a request's method, path, query and body."""
    url = request.url
    return ids.digest(request.method, url.path, url.query, hashlib.sha256(body).hexdigest())


async def run_idempotent(request: Request, make: Callable[[], StoredResponse]) -> StoredResponse:
    """
    Run *make* once per `Idempotency-Key` in a transaction, or return the stored response.

    :raises errors.IdempotencyKeyMissing: without a valid key;
    :raises errors.IdempotencyKeyReused: if the key was used with a different request.
    """
    key = request.headers.get("idempotency-key", "")
    if not _KEY.fullmatch(key) or len(request.headers.getlist("idempotency-key")) != 1:
        raise errors.IdempotencyKeyMissing(
            f"send one Idempotency-Key of 1 to {idempotency.KEY_LETTERS_MAX} printable ASCII characters",
            param="Idempotency-Key",
        )
    fingerprint = fingerprint_of(request, await request.body())
    caller, now = idempotency.caller_of(current_principal()), clock.now()
    return await group_commit.commits.run(
        lambda: idempotency.run_once(
            caller=caller, key=key, fingerprint=fingerprint, now=now, make=make
        )
    )


def stored_response(value: Json, *, status: int = 200, location: str = "") -> StoredResponse:
    """Return the response to a successful change, for storage with it."""
    body = dump_json(value)
    headers = {"ETag": etag(body)} | ({"Location": location} if location else {})
    return StoredResponse(status, body, headers)


def object_id(stored: StoredResponse) -> str:
    """Return the id of the object in a response; a replayed one has the first request's."""
    return str(orjson.loads(stored.body)["id"])


def to_response(stored: StoredResponse) -> Response:
    """Return *stored* as an HTTP response; a replayed one differs by one header only."""
    headers = dict(stored.headers)
    if stored.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(stored.body, stored.status, headers, "application/json")


async def respond_when_settled(
    request: Request, stored: StoredResponse, read: Callable[[], tuple[bool, Json]]
) -> Response:
    """
    Return *stored* or, with `Prefer: wait` (RFC 7240), the object once its outcome is known.

    *read* returns whether it is known, and the object. The later state is not stored.
    """
    preference = _WAIT.search(request.headers.get("prefer", ""))
    if preference is None:
        return to_response(stored)
    seconds = min(float(preference[1]), WAIT_SECONDS_MAX)
    deadline, pause = clock.monotonic() + seconds, 0.01
    while True:
        is_settled, value = await readers.run(read)
        if is_settled or clock.monotonic() >= deadline:
            break
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.25)
    body = dump_json(value)
    headers = {**stored.headers, "ETag": etag(body), "Preference-Applied": f"wait={seconds:.0f}"}
    return to_response(StoredResponse(stored.status, body, headers, stored.replayed))
