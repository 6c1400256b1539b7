"""
How a route answers: one thing with its ETag, a page of a list, or a change made once per key.

Whatever is written is rendered inside the transaction that writes it, and kept there for whoever
asks again with the same `Idempotency-Key`.
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

#: Headers of a request that do not make it another request under its key, and why.
HEADERS_NOT_IN_FINGERPRINT: Final = {
    "idempotency-key": "it is what the request is found by, together with the caller",
    "if-match": "a repetition comes after the very change that it guarded",
    "prefer": "it says how long to wait for the answer, not what to do",
}


class InvalidCursor(errors.ValidationError):
    """The cursor is none that a page of this list ended with."""

    code = "invalid_cursor"


def etag(body: bytes) -> str:
    """A strong entity tag (RFC 9110 section 8.8.3): the same bytes, the same tag."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def dump_json(shown: Json) -> bytes:
    """The JSON of one thing or page."""
    return orjson.dumps(shown)


async def retrieve(
    request: Request,
    find: Callable[[], Model],
    render: Render,
    expand: Collection[str] = (),
) -> Response:
    """Answer with what *find* finds, or 304 where the caller has just that (`If-None-Match`)."""
    body = await readers.run(lambda: dump_json(render([find()], expand)[0]))
    tag = etag(body)
    if tag in _tags(request, "if-none-match"):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag}, media_type="application/json")


def _tags(request: Request, name: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in request.headers.get(name, "").split(",")]


def check_if_match(request: Request, shown: Json) -> None:
    """:raises problem_details.PreconditionFailed: if the caller read (`If-Match`) anything but *shown*."""
    wanted = _tags(request, "if-match")
    if wanted not in ([""], ["*"]) and etag(dump_json(shown)) not in wanted:
        raise problem_details.PreconditionFailed(
            "it was changed since you read it; read it again", param="If-Match"
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
    Answer with *limit* of *rows*, newest first, after the one *cursor* names.

    Ids begin with the time, so the order of ids is that of age; a cursor costs an index look-up
    however far back it is. *prefix* is that of the ids; `fct` is followed by a number.

    :raises BadCursor: if it is of another list.
    """
    key = _after(cursor, prefix)

    def read() -> bytes:
        wanted = rows if key is None else rows.filter(pk__lt=key)
        found: Sequence[Any] = list(wanted.order_by("-pk")[: limit + 1])
        shown = render(found[:limit], expand)
        more = shown[-1].get("id") if len(found) > limit else None
        return dump_json({"object": "list", "data": shown, "next_cursor": more})

    return Response(await readers.run(read), media_type="application/json")


def _after(cursor: str | None, prefix: str) -> str | int | None:
    if cursor is None:
        return None
    if not _CURSOR.fullmatch(cursor) or not cursor.startswith(f"{prefix}_"):
        raise InvalidCursor("take the next_cursor of a page of this list", param="cursor")
    if prefix != ids.FACT:
        return cursor
    return parse_fact_id(cursor)


def parse_fact_id(fact_id: str) -> int:
    """The number in `fct_17`. :raises BadCursor: if there is none."""
    number = fact_id.removeprefix(f"{ids.FACT}_")
    if not re.fullmatch(r"[1-9][0-9]{0,17}", number):
        raise InvalidCursor("the id of a fact is fct_ and a number", param="cursor")
    return int(number)


def fingerprint_of(request: Request, body: bytes) -> str:
    """Name a request's content: method, path, query and body, and no header."""
    url = request.url
    return ids.digest(request.method, url.path, url.query, hashlib.sha256(body).hexdigest())


async def run_idempotent(request: Request, make: Callable[[], StoredResponse]) -> StoredResponse:
    """
    Make a change once per `Idempotency-Key`, or find the answer it had.

    :raises errors.IdempotencyKeyMissing: without a key;
    :raises errors.IdempotencyKeyReused: if it came with another request.
    """
    key = request.headers.get("idempotency-key", "")
    if not _KEY.fullmatch(key) or len(request.headers.getlist("idempotency-key")) != 1:
        raise errors.IdempotencyKeyMissing(
            f"send one Idempotency-Key of 1 to {idempotency.KEY_LETTERS_MAX} visible letters",
            param="Idempotency-Key",
        )
    named = fingerprint_of(request, await request.body())
    caller, now = idempotency.caller_of(current_principal()), clock.now()
    return await group_commit.commits.run(
        lambda: idempotency.run_once(caller=caller, key=key, fingerprint=named, now=now, make=make)
    )


def stored_response(shown: Json, *, status: int = 200, location: str = "") -> StoredResponse:
    """The answer to a change that ended well."""
    body = dump_json(shown)
    headers = {"ETag": etag(body)} | ({"Location": location} if location else {})
    return StoredResponse(status, body, headers)


def object_id(answer: StoredResponse) -> str:
    """The id of the thing an answer shows, which for a replayed one is the first's."""
    return str(orjson.loads(answer.body)["id"])


def to_response(answer: StoredResponse) -> Response:
    """*answer* over HTTP, told from a first one by a header and nothing else."""
    headers = dict(answer.headers)
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(answer.body, answer.status, headers, "application/json")


async def respond_when_settled(
    request: Request, answer: StoredResponse, read: Callable[[], tuple[bool, Json]]
) -> Response:
    """
    The answer or, where the caller prefers to wait (RFC 7240), what became of it meanwhile.

    *read* says whether all is settled, and shows it as it is. What is waited for is never stored.
    """
    wish = _WAIT.search(request.headers.get("prefer", ""))
    if wish is None:
        return to_response(answer)
    seconds = min(float(wish[1]), WAIT_SECONDS_MAX)
    until, pause = clock.monotonic() + seconds, 0.01
    while True:
        done, shown = await readers.run(read)
        if done or clock.monotonic() >= until:
            break
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.25)
    body = dump_json(shown)
    headers = {**answer.headers, "ETag": etag(body), "Preference-Applied": f"wait={seconds:.0f}"}
    return to_response(StoredResponse(answer.status, body, headers, answer.replayed))
