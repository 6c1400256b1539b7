"""Signed webhook deliveries with reproducible delivery faults."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from bursar.providers.sandbox.fault_injection import draw
from bursar.providers.webhook_sender import SignedWebhook, sign_webhook

FOREIGN_ACCOUNT = "another-merchant"
_FORGER = b"not the secret of this account"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFaults:
    """
    Probabilities (0 to 1) for each webhook: *dropped* is not delivered, *late* arrives after all
    others, *reordered* before its predecessor, *duplicate* twice. *forged* is preceded by one with
    another body and an invalid signature, *foreign* by one of another account with a valid one.
    """

    dropped: float = 0.0
    late: float = 0.0
    reordered: float = 0.0
    duplicate: float = 0.0
    forged: float = 0.0
    foreign: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(SignedWebhook):
    """One HTTP request to the merchant; *position* is that of the webhook in the store."""

    position: int
    forged: bool = False


def sign_deliveries(
    rows: Iterable[tuple[int, str, bytes]],
    *,
    key: bytes,
    at: datetime,
    seed: int,
    faults: DeliveryFaults,
) -> list[Delivery]:
    """Sign *rows* (position, event id, body) *at* a time; return them in order of arrival."""
    deliveries: list[Delivery] = []
    late: list[Delivery] = []
    for position, event_id, body in rows:

        def is_drawn(name: str, probability: float, position: int = position) -> bool:
            return probability > 0 and draw(seed, name, position) < probability

        if is_drawn("dropped", faults.dropped):
            continue
        delivery = _sign(key, position, event_id, body, at)
        if is_drawn("forged", faults.forged):
            deliveries.append(_make_forged(delivery, at))
        if is_drawn("foreign", faults.foreign):
            deliveries.append(make_foreign(delivery, key=key, at=at))
        if is_drawn("late", faults.late):
            late.append(delivery)
        elif is_drawn("reordered", faults.reordered) and deliveries:
            deliveries.insert(len(deliveries) - 1, delivery)
        else:
            deliveries.append(delivery)
        if is_drawn("duplicate", faults.duplicate):
            deliveries.append(delivery)
    return deliveries + late


def _sign(key: bytes, position: int, event_id: str, body: bytes, at: datetime) -> Delivery:
    signed = sign_webhook(key, event_id=event_id, body=body, at=at)
    return Delivery(event_id=event_id, headers=signed.headers, body=body, position=position)


def make_foreign(delivery: Delivery, *, key: bytes, at: datetime) -> Delivery:
    """Return a copy of *delivery* for `FOREIGN_ACCOUNT`, with another event id."""
    body = delivery.body.replace(b"{", b'{"account":"%s",' % FOREIGN_ACCOUNT.encode(), 1)
    return _sign(key, delivery.position, f"{delivery.event_id}_foreign", body, at)


def _make_forged(delivery: Delivery, at: datetime) -> Delivery:
    body = delivery.body.replace(b'"status":"', b'"status":"forged_', 1)
    return replace(_sign(_FORGER, delivery.position, delivery.event_id, body, at), forged=True)
