"""
The border: what holds for every request, before any route sees it.

A request gets its id; it is refused when it is for another host, too large, too slow or not JSON as
we take it; who calls the public API is found out, and how often. The body is read whole here, so a
route never waits for a slow caller. A crash becomes a problem with the request's id.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bursar import card_numbers, errors, fields, ids, logs, settings
from bursar.api import metrics, problem_details, strict_json
from bursar.api.middleware import auth, session_auth
from bursar.decorators import acting_as

BODY_BYTES_MAX = {"/v1/": 256_000, "/hooks/": 1_000_000, "/admin/": 1_000_000}
HEADERS_MAX, HEADER_BYTES_MAX, PATH_BYTES_MAX = 100, 16_384, 4_096
BODY_SECONDS_MAX = 10.0
ANSWER_SECONDS_MAX = 60.0

#: Swagger's page makes its styles itself; nothing else comes from outside our own files.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")

log = logs.get(__name__)


class RequestMiddleware:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other kinds of connection go through as they are."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _is_id(given) else ids.new("req")
        answering = _Answering(scope, send, request_id)
        with logs.bound_contextvars(request_id=request_id):
            try:
                await self._admit(scope, receive, answering)
            except errors.BursarError as error:
                await answering.with_problem(error)
            except TimeoutError:
                await answering.with_problem(
                    problem_details.InternalServerError("this took too long")
                )
            except Exception:
                log.exception("request_crashed", path=scope["path"])
                await answering.with_problem(
                    problem_details.InternalServerError("something broke on our side")
                )
            finally:
                seconds = time.monotonic() - answering.started
                # A stream lasts as long as its listener likes; how fast it began is what counts.
                metrics.record_request(scope, answering.status, answering.streamed_after or seconds)
                log.info(
                    "request",
                    client=(scope.get("client") or ("-",))[0],
                    method=scope["method"],
                    path=scope["path"],
                    status=answering.status,
                    milliseconds=round(seconds * 1000, 1),
                )

    async def _admit(self, scope: Scope, receive: Receive, answering: _Answering) -> None:
        headers = Headers(scope=scope)
        _check_head(scope, headers)
        path = scope["path"]
        limit = next((most for root, most in BODY_BYTES_MAX.items() if path.startswith(root)), 0)
        principal = await session_auth.authenticate(scope, headers)
        if principal is not None and path != session_auth.DASHBOARD_PATH:
            answering.more_headers = auth.check_rate_limit(principal)
        body = await _read_body(headers, receive, limit)
        if body and path.startswith("/v1/"):
            scope.setdefault("state", {})["json"] = strict_json.parse(body)
        who = None if principal is None else principal.id
        with acting_as(principal), logs.bound_contextvars(actor=who or "nobody"):
            async with asyncio.timeout(ANSWER_SECONDS_MAX) as patience:
                scope.setdefault("state", {})["answer_limit"] = patience
                await self.app(scope, _replay(body, receive), answering.send)


class _Answering:
    """Sends the answer with the headers that all have; knows whether it was begun."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope, self._send, self._request_id = scope, send, request_id
        self.started = time.monotonic()
        self.status = 0
        self.streamed_after = 0.0
        self.more_headers: dict[str, str] = {}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            for name, value in (SECURITY_HEADERS | self.more_headers).items():
                headers.setdefault(name, value)
            if headers.get("content-type", "").startswith("text/event-stream"):
                self.streamed_after = time.monotonic() - self.started
            if "content-security-policy" not in headers:
                headers["Content-Security-Policy"] = CONTENT_POLICY
            if self._scope["path"].startswith(("/v1/", "/hooks/")):
                headers.setdefault("Cache-Control", "no-store")
            elif self._scope["path"].startswith("/static/dashboard/"):
                # Its modules are of one version: none may be an old one that a browser kept.
                headers.setdefault("Cache-Control", "no-cache")
        await self._send(message)

    async def with_problem(self, error: errors.BursarError) -> None:
        if self.status:
            return  # it is under way: the connection ends in the middle, which the caller sees
        await problem_details.to_response(error)(self._scope, _replay(b""), self.send)


def _is_id(text: str) -> bool:
    return bool(_REQUEST_ID.fullmatch(text)) and not card_numbers.contains_card_number(text)


def _check_head(scope: Scope, headers: Headers) -> None:
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    sizes = [len(name) + len(value) for name, value in raw]
    if len(sizes) > HEADERS_MAX or sum(sizes) > HEADER_BYTES_MAX:
        raise problem_details.RequestHeaderFieldsTooLarge(
            f"at most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes together"
        )
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > PATH_BYTES_MAX:
        raise problem_details.UriTooLong(f"an address of at most {PATH_BYTES_MAX} bytes")
    host = re.sub(r":\d*$", "", headers.get("host", "").lower())
    if host not in settings.current.hosts.lower().split(","):
        raise problem_details.MisdirectedRequest(
            "this installation does not answer to that host; see BURSAR_HOSTS"
        )
    for text in (scope["path"], *auth.query_texts(scope)):
        if card_numbers.contains_card_number(text):
            raise fields.CardNumberDetected(
                "an address holds what looks like a card number", param="url"
            )


async def _read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The whole body, at most *limit* bytes of it, in `BODY_SECONDS_MAX`."""
    told = headers.get("content-length", "0")
    if not told.isdigit() or int(told) > limit:
        raise errors.ContentTooLarge(f"a body of at most {limit} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise problem_details.RequestTimeout("the caller went away")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise errors.ContentTooLarge(f"a body of at most {limit} bytes")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise problem_details.RequestTimeout(
            f"the body did not come within {BODY_SECONDS_MAX:.0f} s"
        ) from None


def _replay(body: bytes, receive: Receive | None = None) -> Receive:
    """A `receive` that gives *body*, and then tells what *receive* does: that the caller is gone."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told and receive is not None:
            return await receive()
        if told:
            await asyncio.Event().wait()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
