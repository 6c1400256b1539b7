"""Snapshots, results and requests as JSON, for webhooks and the HTTP API of the sandbox."""

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
    """Return money as in the public API: minor units and currency."""
    return {"amount": money.amount_minor, "currency": money.currency}


def money_in(payload: Mapping[str, Any]) -> Money:
    """
    Parse the output of `money_out`.

    :raises KeyError: if a member is missing. :raises Invalid: if it is not an amount.
    """
    return Money(payload["amount"], payload["currency"])


def snapshot_out(snapshot: Snapshot) -> dict[str, Any]:
    """Return *snapshot* as JSON members."""
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
    Parse the output of `snapshot_out`.

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
    """Return *result* as a JSON document."""
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
    Parse the output of `result_out`.

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
    """Return the body of the webhook that reports *snapshot*."""
    event_type = f"{snapshot.kind.value}.{snapshot.status}"
    return orjson.dumps({"id": event_id, "type": event_type, "object": snapshot_out(snapshot)})


def charge_out(request: ChargeRequest) -> dict[str, Any]:
    """Return the body of a charge request; the key is a header."""
    return {
        "amount": money_out(request.amount),
        "method": request.method,
        "capture": request.capture,
        "metadata": dict(request.metadata),
    }


def charge_in(key: str, payload: Mapping[str, Any]) -> ChargeRequest:
    """Parse the output of `charge_out`. :raises KeyError: if a member is missing."""
    return ChargeRequest(
        key=key,
        amount=money_in(payload["amount"]),
        method=payload["method"],
        capture=payload["capture"],
        metadata=payload["metadata"],
    )


def refund_out(request: RefundRequest) -> dict[str, Any]:
    """Return the body of a refund request; the key is a header."""
    return {
        "charge": request.reference,
        "amount": money_out(request.amount),
        "metadata": dict(request.metadata),
    }


def refund_in(key: str, payload: Mapping[str, Any]) -> RefundRequest:
    """Parse the output of `refund_out`. :raises KeyError: if a member is missing."""
    return RefundRequest(
        key=key,
        reference=payload["charge"],
        amount=money_in(payload["amount"]),
        metadata=payload["metadata"],
    )
