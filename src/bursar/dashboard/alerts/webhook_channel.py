"""Alert channel: webhooks, signed as in Standard Webhooks 1.0 (standardwebhooks.com)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import orjson

from bursar.dashboard.models import Alert
from bursar.providers import standard_webhooks
from bursar.providers.interface import Secret
from bursar.providers.webhook_sender import WebhookSender, sign_webhook

EVENT_TYPE: Final = "dashboard.alert"


def serialize_alert(alert: Alert) -> bytes:
    """Return the body of the webhook; it is the same for every delivery of an alert."""
    body: dict[str, Any] = {
        "type": EVENT_TYPE,
        "timestamp": alert.raised_at.isoformat(),
        "data": {
            "id": alert.id,
            "source": alert.source_key,
            "sequence": alert.sequence,
            "title": alert.title,
            "previous_level": alert.previous_level,
            "new_level": alert.new_level,
            "state": alert.state,
            "reason": alert.reason,
            "measurements": alert.measurements,
        },
    }
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


async def send(alert: Alert, *, url: str, secret: Secret, now: datetime) -> None:
    """
    Send the webhook of an alert once.

    :raises WebhookDeliveryFailed: if the response is not a success.
    """
    (key, *_) = standard_webhooks.parse_keys(secret)
    # The event id is that of the alert, so that a receiver recognises a repeat.
    webhook = sign_webhook(key, event_id=alert.id, body=serialize_alert(alert), at=now)
    async with WebhookSender() as sender:
        await sender.send(url, webhook)
