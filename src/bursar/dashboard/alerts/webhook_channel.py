"""Alerts by webhook, signed as Standard Webhooks (standardwebhooks.com, specification 1.0) says."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import orjson

from bursar.dashboard.models import Alert
from bursar.providers import standard_webhooks
from bursar.providers.interface import Secret
from bursar.providers.webhook_sender import WebhookSender, sign_webhook

TYPE: Final = "dashboard.alert"


def body_of(alert: Alert) -> bytes:
    """What is sent: the same bytes however often."""
    told: dict[str, Any] = {
        "type": TYPE,
        "timestamp": alert.raised_at.isoformat(),
        "data": {
            "id": alert.id,
            "source": alert.source_key,
            "number": alert.number,
            "title": alert.title,
            "before": alert.before,
            "after": alert.after,
            "state": alert.state,
            "reason": alert.reason,
            "readings": alert.readings,
        },
    }
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


async def send(alert: Alert, *, url: str, secret: Secret, now: datetime) -> None:
    """
    Send an alert once.

    :raises WebhookDeliveryFailed: if it was not answered with success.
    """
    (key, *_) = standard_webhooks.parse_keys(secret)
    # The id is the alert's, so that a receiver knows a repeat.
    webhook = sign_webhook(key, event_id=alert.id, body=body_of(alert), at=now)
    async with WebhookSender() as sender:
        await sender.send(url, webhook)
