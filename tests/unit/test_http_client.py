"""The HTTP client against real servers: its limits, and what it says of a request that failed."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from bursar import http_client
from bursar.http_client import HttpClient, HttpFailure, HttpResponse

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def ask(
    handler: Handler, *, client: dict[str, Any] | None = None, **request: Any
) -> HttpResponse | HttpFailure:
    """The response of *handler* to one request, or why there is none."""

    async def asked() -> HttpResponse | HttpFailure:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        asking = HttpClient(**(client or {}))
        try:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            return await asking.request("GET", url, **request)
        except HttpFailure as failure:
            return failure
        finally:
            await asking.close()
            await runner.cleanup()

    return asyncio.run(asked())


def ask_url(url: str, **request: Any) -> HttpFailure:
    async def asked() -> HttpFailure:
        client = HttpClient()
        try:
            with pytest.raises(HttpFailure) as caught:
                await client.request("GET", url, **request)
            return caught.value
        finally:
            await client.close()

    return asyncio.run(asked())


def answering(body: bytes, **more: Any) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, **more)

    return handler


async def echo(request: web.Request) -> web.Response:
    return web.json_response(dict(request.headers))


async def abort(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets the event")


def described(failure: HttpResponse | HttpFailure) -> tuple[str, bool, bool, bool]:
    assert isinstance(failure, HttpFailure)
    return str(failure), failure.is_sent, failure.is_permanent, failure.is_answered


def test_a_response_has_status_headers_and_body_and_redirects_are_not_followed() -> None:
    response = ask(answering(b"[1]", status=307, headers={"Location": "/elsewhere"}))
    assert isinstance(response, HttpResponse)
    assert (response.status, response.headers["Location"], response.body) == (
        307,
        "/elsewhere",
        b"[1]",
    )


@pytest.mark.parametrize(
    ("client", "encoding"),
    [({}, b'"Accept-Encoding": "identity"'), ({"accepts_compressed": True}, b"gzip")],
)
def test_every_request_names_bursar_and_the_encodings_it_reads(
    client: dict[str, Any], encoding: bytes
) -> None:
    response = ask(echo, client=client)
    assert isinstance(response, HttpResponse)
    assert b'"User-Agent": "bursar"' in response.body
    assert encoding in response.body


@pytest.mark.parametrize(
    ("statuses", "body"), [(None, b"page"), ((200,), b""), ((404,), b"page"), ((), b"")]
)
def test_the_body_is_read_where_the_status_is_wanted(
    statuses: tuple[int, ...] | None, body: bytes
) -> None:
    response = ask(answering(b"page", status=404), body_statuses=statuses)
    assert isinstance(response, HttpResponse)
    assert (response.status, response.body) == (404, body)


@pytest.mark.parametrize(
    ("answer", "request_", "described_as"),
    [
        (abort, {}, ("connection lost", True, False, False)),
        (hang, {"timeout_seconds": 0.05}, ("no response in time", True, False, False)),
        (
            answering(b"12345"),
            {"body_bytes_max": 4},
            ("response larger than 4 bytes", True, True, True),
        ),
        (
            answering(gzip.compress(b"[1]"), headers={"Content-Encoding": "gzip"}),
            {},
            ("unexpected compressed response", True, True, True),
        ),
    ],
)
def test_what_may_have_been_carried_out_is_said_to_be_sent(
    answer: Handler, request_: dict[str, Any], described_as: tuple[str, bool, bool, bool]
) -> None:
    assert described(ask(answer, **request_)) == described_as


@pytest.mark.parametrize(
    ("url", "described_as"),
    [
        ("http://", ("invalid URL", False, True, False)),
        ("gopher://127.0.0.1/", ("invalid URL", False, True, False)),
        (
            "http://127.0.0.1:1/",
            ("connection failed (Connection refused)", False, False, False),
        ),
    ],
)
def test_what_has_not_left_this_machine_is_not_sent(
    url: str, described_as: tuple[str, bool, bool, bool]
) -> None:
    assert described(ask_url(url, timeout_seconds=5.0)) == described_as


def test_a_server_that_accepts_no_connection_in_half_the_time_was_sent_nothing() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # The queue of a listener that accepts nothing is full after these.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        failure = ask_url(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_seconds=0.2)
        for each in waiting:
            each.close()
    assert described(failure) == ("connection timed out", False, False, False)


def test_an_address_that_the_hook_refuses_is_not_connected_to() -> None:
    asked: list[str] = []

    def refuse(address: str) -> bool:
        asked.append(address)
        return False

    failure = ask(answering(b""), client={"is_address_allowed": refuse})
    assert described(failure) == ("address not allowed", False, True, False)
    assert asked == ["127.0.0.1"]


@pytest.mark.parametrize(("most", "fits"), [(100_000, True), (99_999, False)])
def test_the_limit_of_a_compressed_body_is_that_of_what_it_decompresses_to(
    most: int, fits: bool
) -> None:
    packed = answering(gzip.compress(b" " * 100_000), headers={"Content-Encoding": "gzip"})
    response = ask(packed, client={"accepts_compressed": True}, body_bytes_max=most)
    if fits:
        assert isinstance(response, HttpResponse)
        assert response.body == b" " * 100_000
    else:
        assert described(response)[0] == "response larger than 99,999 bytes"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("Fri, 02 Jan 2099 03:00:00 GMT", 3_600.0),
        ("", None),
        ("٣", None),
    ],
)
def test_retry_after_may_be_a_date(text: str, seconds: float | None) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert http_client.retry_after_seconds(text, now) == seconds
