"""
Webhook signatures as the Standard Webhooks specification has them (standardwebhooks.com, 1.0).

The signed text is `<webhook-id>.<webhook-timestamp>.<body>`, the signature HMAC-SHA256 in base64
with the version `v1,` before it; the header may hold several, separated by spaces.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime

from bursar.providers.interface import InvalidSignature, Secret

#: A delivery signed longer ago than this, or further in the future, may be a replay.
TOLERANCE_SECONDS = 300

_PREFIX = "whsec_"


def parse_keys(secret: Secret) -> list[bytes]:
    """
    The signing keys in *secret*: one or, while it is being rotated, several separated by spaces.

    A `whsec_` secret is base64, as the specification has it; any other text is taken as it is.
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
    """The signature of one delivery, with its version: `v1,<base64>`."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")


def sign_headers(key: bytes, *, event_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a delivery sent at *at*."""
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

    Header names in any case. Every candidate is compared in constant time, as bytes: comparing
    text would raise TypeError for a header with letters beyond ASCII.

    :raises BadSignature: if a header is missing or malformed, none matches, or it is not of now.
    """
    lower = {name.lower(): value for name, value in received.items()}
    event_id, timestamp = lower.get("webhook-id", ""), lower.get("webhook-timestamp", "")
    signatures = lower.get("webhook-signature", "").split()
    if not event_id or not signatures:
        raise InvalidSignature("the delivery has no webhook-id or webhook-signature header")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise InvalidSignature("the webhook-timestamp header is no whole number of seconds")
    matches = [
        hmac.compare_digest(_bytes(_signature(key, event_id, timestamp, body)), _bytes(signature))
        for key in keys
        for signature in signatures
    ]
    if not any(matches):
        raise InvalidSignature("no signature of the delivery was made with our secret")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise InvalidSignature("the delivery was not signed now", signed_at=timestamp)
    return event_id


def _signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    """The signature over the timestamp exactly as it was *given* (leading zeros included)."""
    signed = _bytes(f"{event_id}.{timestamp}.") + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


def _bytes(text: str) -> bytes:
    # ASGI servers decode headers as Latin-1; a lone surrogate must not raise either.
    return text.encode("utf-8", "surrogatepass")
