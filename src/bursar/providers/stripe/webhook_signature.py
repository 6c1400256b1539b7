"""
Stripe's webhook signatures: `Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX]`.

HMAC-SHA256 of `SECONDS.BODY` (docs.stripe.com/webhooks/signature). During a rotation there is a v1
for each secret. Unlike the official library, timestamps in the future are limited too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime

from bursar.providers.interface import InvalidSignature

TOLERANCE_SECONDS = 300
#: Headers with more parts are rejected without comparing signatures.
PARTS_MAX = 10


def sign(secrets: Iterable[str], body: bytes, *, at: datetime) -> str:
    """Return the header for *body*, with a signature by each of *secrets*."""
    seconds = str(int(at.timestamp()))
    return ",".join([f"t={seconds}", *(f"v1={_mac(one, seconds, body)}" for one in secrets)])


def verify(
    secrets: Iterable[str], headers: Mapping[str, str], body: bytes, *, now: datetime
) -> None:
    """:raises InvalidSignature: unless a v1 matches one of *secrets*, within the tolerance."""
    header = next((v for n, v in headers.items() if n.lower() == "stripe-signature"), "")
    pairs = [part.strip().partition("=")[::2] for part in header.split(",")]
    if len(pairs) > PARTS_MAX:
        raise InvalidSignature("the Stripe-Signature header has too many parts")
    times = [value for name, value in pairs if name == "t"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) < 13):
        raise InvalidSignature("the Stripe-Signature header has no valid timestamp")
    if abs(now.timestamp() - int(times[0])) > TOLERANCE_SECONDS:
        raise InvalidSignature(f"the timestamp is more than {TOLERANCE_SECONDS} s from now")
    # As bytes: comparing texts raises for characters outside ASCII.
    received = [value.encode("utf-8", "replace") for name, value in pairs if name == "v1"]
    expected = [_mac(secret, times[0], body).encode() for secret in secrets]
    matches = [hmac.compare_digest(one, other) for one in received for other in expected]
    if not any(matches):
        raise InvalidSignature("no signature matches the webhook secret")


def _mac(secret: str, seconds: str, body: bytes) -> str:
    signed = seconds.encode() + b"." + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
