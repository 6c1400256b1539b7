"""Webhooks sent to real servers: signed, once, and failed unless the answer is 2xx."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from aiohttp import web

from bursar.providers import standard_webhooks
from bursar.providers.webhook_sender import (
    SignedWebhook,
    WebhookDeliveryFailed,
    WebhookSender,
    sign_webhook,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = b"a signing key"
BODY = b'{"type":"test"}'


def webhook() -> SignedWebhook:
    return sign_webhook(KEY, event_id="evt_1", body=BODY, at=NOW)


def send(
    status: int = 204, *, timeout_seconds: float = 5.0, hangs: bool = False
) -> list[tuple[str, dict[str, str], bytes]]:
    """What a receiver that answers with *status* has received."""
    received = []

    async def handler(request: web.Request) -> web.Response:
        received.append((request.path, dict(request.headers), await request.read()))
        if hangs:
            await asyncio.Event().wait()
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with WebhookSender(timeout_seconds=timeout_seconds) as sender:
                url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
                assert await sender.send(url, webhook()) == status
        finally:
            await runner.cleanup()

    try:
        asyncio.run(main())
    except WebhookDeliveryFailed as error:
        error.add_note(str(len(received)))
        raise
    return received


def test_a_webhook_arrives_signed_and_as_it_was_signed() -> None:
    [(path, headers, body)] = send()
    assert (path, headers["Content-Type"], body) == ("/hook", "application/json", BODY)
    assert standard_webhooks.verify([KEY], headers, body, now=NOW) == "evt_1"


@pytest.mark.parametrize("status", [302, 307, 401, 410, 503])
def test_what_is_not_answered_with_2xx_has_failed_and_is_sent_once(status: int) -> None:
    with pytest.raises(WebhookDeliveryFailed) as caught:
        send(status)
    assert caught.value.http_status == status
    assert caught.value.message == f"the webhook receiver responded with {status}"
    assert caught.value.__notes__ == ["1"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1/", "connection failed (Connection refused)"),
        ("gopher://127.0.0.1/", "invalid URL"),
    ],
)
def test_a_receiver_that_is_not_reached_has_no_status(url: str, why: str) -> None:
    async def main() -> None:
        async with WebhookSender() as sender:
            await sender.send(url, webhook())

    with pytest.raises(WebhookDeliveryFailed) as caught:
        asyncio.run(main())
    assert caught.value.http_status is None
    assert caught.value.message == f"the webhook receiver could not be reached: {why}"


def test_a_receiver_that_does_not_answer_in_time_is_not_waited_for() -> None:
    with pytest.raises(WebhookDeliveryFailed, match="no response in time"):
        send(hangs=True, timeout_seconds=0.1)
