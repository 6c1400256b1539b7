"""Sends signed webhooks (Standard Webhooks) over HTTP; used for alerts and sandbox events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Final

from bursar import errors
from bursar.http_client import HttpClient, HttpFailure
from bursar.providers import standard_webhooks

TIMEOUT_SECONDS: Final = 10.0


class WebhookDeliveryFailed(errors.ExternalAPIError):
    """
    The receiver could not be reached, or did not respond with 2xx.

    *http_status* is the status of its response, None if there was none.
    """

    code = "webhook_delivery_failed"
    status = None

    def __init__(self, message: str, *, http_status: int | None = None) -> None:
        super().__init__(message, http_status=http_status)
        self.http_status = http_status


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedWebhook:
    """One HTTP request to a receiver; retries have the same *event_id*."""

    event_id: str
    headers: dict[str, str]
    body: bytes


def sign_webhook(key: bytes, *, event_id: str, body: bytes, at: datetime) -> SignedWebhook:
    """Sign a JSON *body* that is sent *at* this time."""
    signature = standard_webhooks.sign_headers(key, event_id=event_id, at=at, body=body)
    headers = {"Content-Type": "application/json", **signature}
    return SignedWebhook(event_id=event_id, headers=headers, body=body)


class WebhookSender:
    """Sends webhooks from the running event loop; a context manager that closes connections."""

    def __init__(self, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._client = HttpClient()

    async def __aenter__(self) -> WebhookSender:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def send(self, url: str, webhook: SignedWebhook) -> int:
        """
        Send *webhook* once and return the status, which is 2xx; the response body is not read.

        Redirects are not followed: a signed body goes to the configured address only.

        :raises WebhookDeliveryFailed: without a 2xx response within the time-out.
        """
        try:
            response = await self._client.request(
                "POST",
                url,
                data=webhook.body,
                headers=webhook.headers,
                timeout_seconds=self._timeout_seconds,
                body_statuses=(),
            )
        except HttpFailure as failure:
            raise WebhookDeliveryFailed(
                f"the webhook receiver could not be reached: {failure}"
            ) from failure
        if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            raise WebhookDeliveryFailed(
                f"the webhook receiver responded with {response.status}",
                http_status=response.status,
            )
        return response.status
