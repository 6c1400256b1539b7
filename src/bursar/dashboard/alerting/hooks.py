"""Alerts by webhook, signed as Standard Webhooks (standardwebhooks.com, specification 1.0) says."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from bursar import errors
from bursar.dashboard.models import Alert

TYPE: Final = "dashboard.alert"
TIMEOUT_SECONDS: Final = 10.0
_PREFIX: Final = "whsec_"


class HookNotTaken(errors.ExternalAPIError):
    """The receiver of alerts did not answer with success."""

    code = "alert_hook_not_taken"


def key_of(secret: str) -> bytes:
    """The key in a secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`; the settings checked it."""
    return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)


def body_of(alert: Alert) -> bytes:
    """What is sent: the same bytes however often."""
    told: dict[str, Any] = {
        "type": TYPE,
        "timestamp": alert.raised_at.isoformat(),
        "data": {
            "id": alert.id, "source": alert.source_key, "number": alert.number, "title": alert.title,
            "before": alert.before, "after": alert.after, "state": alert.state,
            "reason": alert.reason, "readings": alert.readings,
        },
    }  # fmt: skip
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def headers_of(alert: Alert, body: bytes, *, secret: str, now: datetime) -> dict[str, str]:
    """The id (of the alert, so always the same), the time of this try, and the signature of all."""
    seconds = str(int(now.timestamp()))
    signed = b".".join((alert.id.encode(), seconds.encode(), body))
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "bursar",
        "webhook-id": alert.id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode('ascii')}",
    }


async def send(alert: Alert, *, url: str, secret: str, now: datetime) -> None:
    """
    Send an alert once; its answer's body is not read, and redirects are not followed.

    :raises HookNotTaken: if it was not answered with success.
    """
    body = body_of(alert)
    headers = headers_of(alert, body, secret=secret, now=now)
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
