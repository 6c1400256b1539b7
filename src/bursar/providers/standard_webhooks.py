"""
Webhook signatures of the Standard Webhooks specification (standardwebhooks.com, 1.0).

The signed text is `<webhook-id>.<webhook-timestamp>.<body>`; the signature is `v1,` and the
HMAC-SHA256 in base64. The header may have several signatures, separated by spaces.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime

from bursar.providers.interface import InvalidSignature, Secret

#: Greatest difference between the timestamp and now; others may be replays.
TOLERANCE_SECONDS = 300

_PREFIX = "whsec_"


def parse_keys(secret: Secret) -> list[bytes]:
    """
    Return the signing keys in *secret*: one or, during a rotation, several separated by spaces.

    The part after `whsec_` is base64; a text without this prefix is the key itself.
    """
    return [_key(text) for text in secret.reveal().split()]


def _key(text: str) -> bytes:
    if not text.startswith(_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text[len(_PREFIX) :], validate=True)
    except binascii.Error:
        return text.encode()


def sign(key: bytes, *, event_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of one delivery: `v1,<base64>`."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")


def sign_headers(key: bytes, *, event_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of a delivery sent at *at*."""
    timestamp = int(at.timestamp())
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(key, event_id=event_id, timestamp=timestamp, body=body),
    }


def verify(
    keys: Iterable[bytes], received: Mapping[str, str], body: bytes, *, now: datetime
) -> str:
    """
    Return the event id of a delivery signed with one of *keys* within `TOLERANCE_SECONDS`.

    Header names are matched in any case. Signatures are compared in constant time, as bytes:
    comparing texts raises TypeError for characters outside ASCII.

    :raises InvalidSignature: if a header is missing or malformed, no signature matches, or the
        timestamp is outside the tolerance.
    """
    lower = {name.lower(): value for name, value in received.items()}
    event_id, timestamp = lower.get("webhook-id", ""), lower.get("webhook-timestamp", "")
    signatures = lower.get("webhook-signature", "").split()
    if not event_id or not signatures:
        raise InvalidSignature("the webhook has no webhook-id or webhook-signature header")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise InvalidSignature("the webhook-timestamp header is not a whole number of seconds")
    matches = [
        hmac.compare_digest(_bytes(_signature(key, event_id, timestamp, body)), _bytes(signature))
        for key in keys
        for signature in signatures
    ]
    if not any(matches):
        raise InvalidSignature("no signature matches the webhook secret")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise InvalidSignature(
            f"the timestamp is more than {TOLERANCE_SECONDS} s from now", signed_at=timestamp
        )
    return event_id


def _signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature over the timestamp as received, including leading zeros."""
    signed = _bytes(f"{event_id}.{timestamp}.") + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


def _bytes(text: str) -> bytes:
    # ASGI servers decode headers as Latin-1; a lone surrogate must not raise either.
    return text.encode("utf-8", "surrogatepass")
