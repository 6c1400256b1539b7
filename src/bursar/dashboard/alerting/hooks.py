"""Alerts by webhook, signed as Standard Webhooks (standardwebhooks.com, specification 1.0) says."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from bursar import errors
from bursar.dashboard.models import Alert
from bursar.providers import standard_webhooks
from bursar.providers.base import Secret

TYPE: Final = "dashboard.alert"
TIMEOUT_SECONDS: Final = 10.0


class HookNotTaken(errors.ExternalAPIError):
    """The receiver of alerts did not answer with success."""

    code = "alert_hook_not_taken"
    status = None


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
    Send an alert once; its answer's body is not read, and redirects are not followed.

    :raises HookNotTaken: if it was not answered with success.
    """
    body = body_of(alert)
    (key, *_) = standard_webhooks.keys_of(secret)
    # The id is the alert's, so that a receiver knows a repeat.
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "bursar",
        **standard_webhooks.headers(key, event_id=alert.id, at=now, body=body),
    }
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, OSError) as error:
        raise HookNotTaken(
            f"the alert's receiver was not reached ({type(error).__name__})"
        ) from error
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise HookNotTaken(f"the alert's receiver answered {status}")
