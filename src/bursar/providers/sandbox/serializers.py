"""Snapshots, results and requests as JSON: what webhooks carry and the HTTP sandbox speaks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from bursar.money import Money
from bursar.providers.interface import (
    ChargeRequest,
    ObjectKind,
    Outcome,
    RefundRequest,
    Result,
    Snapshot,
)

_PLAIN = (
    "reference",
    "status",
    "captured_minor",
    "refunded_minor",
    "withdrawn_minor",
    "reinstated_minor",
    "rate",
    "key",
    "parent_reference",
    "code",
    "soft_decline",
    "version",
    "dispute_stage",
)


def money_out(money: Money) -> dict[str, Any]:
    """Money in the form of the public API: minor units and currency."""
    return {"amount": money.amount_minor, "currency": money.currency}


def money_in(payload: Mapping[str, Any]) -> Money:
    """
    Read what `money_out` wrote.

    :raises KeyError: if a member is missing. :raises Invalid: if it is no amount.
    """
    return Money(payload["amount"], payload["currency"])


def snapshot_out(snapshot: Snapshot) -> dict[str, Any]:
    """*snapshot* as JSON members."""
    payload: dict[str, Any] = {name: getattr(snapshot, name) for name in _PLAIN}
    payload["kind"] = snapshot.kind.value
    payload["status"] = str(snapshot.status)
    payload["amount"] = money_out(snapshot.amount)
    payload["fee"] = money_out(snapshot.fee) if snapshot.fee else None
    payload["settled"] = money_out(snapshot.settled) if snapshot.settled else None
    payload["occurred_at"] = snapshot.occurred_at  # orjson writes it as RFC 3339
    return payload


def snapshot_in(payload: Mapping[str, Any]) -> Snapshot:
    """
    Read what `snapshot_out` wrote.

    :raises KeyError: if a member is missing. :raises ValueError: if the kind is unknown.
    """
    fee, settled, at = payload["fee"], payload["settled"], payload["occurred_at"]
    return Snapshot(
        kind=ObjectKind(payload["kind"]),
        amount=money_in(payload["amount"]),
        fee=money_in(fee) if fee else None,
        settled=money_in(settled) if settled else None,
        occurred_at=datetime.fromisoformat(at) if at else None,
        **{name: payload[name] for name in _PLAIN},
    )


def result_out(result: Result) -> bytes:
    """*result* as a JSON document."""
    return orjson.dumps(
        {
            "outcome": result.outcome.value,
            "reference": result.reference,
            "code": result.code,
            "soft_decline": result.soft_decline,
            "redirect_url": result.redirect_url,
            "snapshots": [snapshot_out(snapshot) for snapshot in result.snapshots],
        }
    )


def result_in(payload: Mapping[str, Any]) -> Result:
    """
    Read what `result_out` wrote.

    :raises KeyError: if a member is missing. :raises ValueError: if the outcome is unknown.
    """
    return Result(
        outcome=Outcome(payload["outcome"]),
        reference=payload["reference"],
        code=payload["code"],
        soft_decline=payload["soft_decline"],
        redirect_url=payload["redirect_url"],
        snapshots=tuple(snapshot_in(one) for one in payload["snapshots"]),
    )


def event_out(event_id: str, snapshot: Snapshot) -> bytes:
    """The body of the webhook that tells of *snapshot*."""
    event_type = f"{snapshot.kind.value}.{snapshot.status}"
    return orjson.dumps({"id": event_id, "type": event_type, "object": snapshot_out(snapshot)})


def charge_out(request: ChargeRequest) -> dict[str, Any]:
    """A charge as the HTTP sandbox takes it; the key goes into a header."""
    return {
        "amount": money_out(request.amount),
        "method": request.method,
        "capture": request.capture,
        "metadata": dict(request.metadata),
    }


def charge_in(key: str, payload: Mapping[str, Any]) -> ChargeRequest:
    """Read what `charge_out` wrote. :raises KeyError: if a member is missing."""
    return ChargeRequest(
        key=key,
        amount=money_in(payload["amount"]),
        method=payload["method"],
        capture=payload["capture"],
        metadata=payload["metadata"],
    )


def refund_out(request: RefundRequest) -> dict[str, Any]:
    """A refund as the HTTP sandbox takes it; the key goes into a header."""
    return {
        "charge": request.reference,
        "amount": money_out(request.amount),
        "metadata": dict(request.metadata),
    }


def refund_in(key: str, payload: Mapping[str, Any]) -> RefundRequest:
    """Read what `refund_out` wrote. :raises KeyError: if a member is missing."""
    return RefundRequest(
        key=key,
        reference=payload["charge"],
        amount=money_in(payload["amount"]),
        metadata=payload["metadata"],
    )
