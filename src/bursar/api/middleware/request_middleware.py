"""
ASGI middleware around every request: id, host, size and time limits, authentication, errors.

It reads the complete body before the route runs, so that a route never waits for a slow client, and
parses the JSON of the public API strictly. An unexpected exception becomes a problem response with
the request's id.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bursar import card_numbers, errors, fields, ids, logs, settings
from bursar.api import metrics, problem_details, strict_json
from bursar.api.middleware import auth, rate_limit
from bursar.decorators import acting_as

BODY_BYTES_MAX = {"/v1/": 256_000, "/hooks/": 1_000_000, "/admin/": 1_000_000}
HEADERS_MAX, HEADER_BYTES_MAX, PATH_BYTES_MAX = 100, 16_384, 4_096
BODY_SECONDS_MAX = 10.0
RESPONSE_SECONDS_MAX = 60.0

#: Swagger UI sets inline styles; everything else comes from our own files.
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
        """Handle one request; pass other connection types through unchanged."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        client_id = Headers(scope=scope).get("x-request-id", "")
        request_id = client_id if _is_request_id(client_id) else ids.new("req")
        response = _ResponseSender(scope, send, request_id)
        with logs.bound_contextvars(request_id=request_id):
            try:
                await self._process(scope, receive, response)
            except errors.BursarError as error:
                await response.send_problem(error)
            except TimeoutError:
                await response.send_problem(
                    problem_details.InternalError("the response took too long")
                )
            except Exception:
                log.exception("request_crashed", path=scope["path"])
                await response.send_problem(
                    problem_details.InternalError(problem_details.INTERNAL_ERROR)
                )
            finally:
                seconds = time.monotonic() - response.started
                # A stream lasts as long as its client listens; measure the time until it starts.
                metrics.record_request(scope, response.status, response.streamed_after or seconds)
                log.info(
                    "request",
                    client=(scope.get("client") or ("-",))[0],
                    method=scope["method"],
                    path=scope["path"],
                    status=response.status,
                    milliseconds=round(seconds * 1000, 1),
                )

    async def _process(self, scope: Scope, receive: Receive, response: _ResponseSender) -> None:
        headers = Headers(scope=scope)
        _check_head(scope, headers)
        path = scope["path"]
        limit = next((size for root, size in BODY_BYTES_MAX.items() if path.startswith(root)), 0)
        principal = await auth.authenticate(scope, headers)
        if principal is not None and path != auth.DASHBOARD_PATH:
            response.more_headers = rate_limit.check_principal(principal)
        body = await _read_body(headers, receive, limit)
        if body and path.startswith("/v1/"):
            scope.setdefault("state", {})["json"] = strict_json.parse(body)
        actor = "nobody" if principal is None else principal.id
        with acting_as(principal), logs.bound_contextvars(actor=actor):
            async with asyncio.timeout(RESPONSE_SECONDS_MAX) as deadline:
                scope.setdefault("state", {})["answer_limit"] = deadline
                await self.app(scope, _replay(body, receive), response.send)


class _ResponseSender:
    """Sends a response with the common headers; records its status and start."""

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
                # The modules must all be of one version: a browser may not reuse an old one.
                headers.setdefault("Cache-Control", "no-cache")
        await self._send(message)

    async def send_problem(self, error: errors.BursarError) -> None:
        if self.status:
            return  # the response has started: the connection is cut, which the client sees
        await problem_details.to_response(error)(self._scope, _replay(b""), self.send)


def _is_request_id(text: str) -> bool:
    return bool(_REQUEST_ID.fullmatch(text)) and not card_numbers.contains_card_number(text)


def _check_head(scope: Scope, headers: Headers) -> None:
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    sizes = [len(name) + len(value) for name, value in raw]
    if len(sizes) > HEADERS_MAX or sum(sizes) > HEADER_BYTES_MAX:
        raise problem_details.RequestHeaderFieldsTooLarge(
            f"at most {HEADERS_MAX} headers with {HEADER_BYTES_MAX} bytes in total are accepted"
        )
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > PATH_BYTES_MAX:
        raise problem_details.UriTooLong(
            f"the path and query must have at most {PATH_BYTES_MAX} bytes"
        )
    host = re.sub(r":\d*$", "", headers.get("host", "").lower())
    if host not in settings.current.allowed_hosts.lower().split(","):
        raise problem_details.MisdirectedRequest(
            "the Host header is not one of BURSAR_ALLOWED_HOSTS"
        )
    for text in (scope["path"], *_query_texts(scope)):
        if "\0" in text:  # PostgreSQL stores none, and raises where one is looked for
            raise errors.ValidationError("the URL contains a NUL character", param="url")
        if card_numbers.contains_card_number(text):
            raise fields.CardNumberRefused(
                "the URL contains what looks like a card number", param="url"
            )


def _query_texts(scope: Scope) -> Iterator[str]:
    """Every name and value of the query."""
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        yield name
        yield value


async def _read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """Read the complete body: at most *limit* bytes, within `BODY_SECONDS_MAX`."""
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > limit:
        raise errors.ContentTooLarge(f"the body must have at most {limit} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise problem_details.RequestTimeout("the client disconnected")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise errors.ContentTooLarge(f"the body must have at most {limit} bytes")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise problem_details.RequestTimeout(
            f"the body did not arrive within {BODY_SECONDS_MAX:.0f} s"
        ) from None


def _replay(body: bytes, receive: Receive | None = None) -> Receive:
    """Return a `receive` that yields *body* once and then what *receive* does: the disconnect."""
    is_sent = False

    async def replay() -> Message:
        nonlocal is_sent
        if is_sent and receive is not None:
            return await receive()
        if is_sent:
            await asyncio.Event().wait()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
