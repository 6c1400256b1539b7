"""
Serializers: database rows as the JSON of the API.

Each function takes complete rows and queries what belongs to all of them at once, so that a page
costs the same number of queries at any length. `expand` puts objects in place of ids, one level
deep.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from bursar import errors, ids
from bursar.orders import queries
from bursar.orders.models import Order, OrderLine
from bursar.payments import provider_accounts
from bursar.payments.models import (
    Attempt,
    Fact,
    FactLink,
    Payment,
    ProviderAccount,
    Refund,
    RefundApproval,
    RefundLine,
    Review,
)
from bursar.payments.statuses import AttemptStatus
from bursar.providers import capabilities

Json = dict[str, Any]
T = TypeVar("T")
Render = Callable[[Sequence[Any], Collection[str]], list[Json]]


def _money(amount_minor: int, currency: str) -> Json:
    return {"amount": amount_minor, "currency": currency}


def _timestamp(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _group(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    groups: defaultdict[Any, list[T]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def serialize_orders(rows: Sequence[Order], expand: Collection[str] = ()) -> list[Json]:
    """Serialize orders; expands `payments`."""
    ids = [row.id for row in rows]
    lines = _group(
        OrderLine.objects.filter(order_id__in=ids).order_by("position"), lambda line: line.order_id
    )
    payments = _group(
        Payment.objects.filter(order_id__in=ids).order_by("id"), lambda payment: payment.order_id
    )
    flat = [payment for row in rows for payment in payments[row.id]]
    expanded = _by_id(serialize_payments(flat)) if "payments" in expand else {}
    return [
        {
            "id": row.id,
            "object": "order",
            "reference": row.reference,
            "payment_status": queries.payment_status(row, payments[row.id]).value,
            "total": _money(row.total_minor, row.currency),
            "tax": _money(row.tax_minor, row.currency),
            "lines": [_line(line, row.currency) for line in lines[row.id]],
            "pricing_explanation": row.pricing_explanation,
            "buyer": row.buyer,
            "metadata": row.metadata,
            "payments": [expanded.get(each.id, each.id) for each in payments[row.id]],
            "placed_at": _timestamp(row.placed_at),
            "created_at": _timestamp(row.created_at),
        }
        for row in rows
    ]


def _line(line: OrderLine, currency: str) -> Json:
    return {
        "position": line.position,
        "sku": line.sku,
        "description": line.description,
        "quantity": line.quantity,
        "unit_price": line.unit_price,
        "tax_rate": line.tax_rate,
        "tax_code": line.tax_code,
        "net": _money(line.net_minor, currency),
        "tax": _money(line.tax_minor, currency),
        "gross": _money(line.gross_minor, currency),
        "pricing_explanation": line.pricing_explanation,
    }


def _by_id(objects: Iterable[Json]) -> dict[str, Json]:
    return {each["id"]: each for each in objects}


def serialize_payments(rows: Sequence[Payment], expand: Collection[str] = ()) -> list[Json]:
    """Serialize payments; expands `order`, `refunds`, `attempts`."""
    ids = [row.id for row in rows]
    attempts = _group(
        Attempt.objects.filter(payment_id__in=ids).order_by("id"), lambda row: row.payment_id
    )
    refunds = _group(
        Refund.objects.filter(payment_id__in=ids).order_by("id"), lambda row: row.payment_id
    )
    expanded: dict[str, Json] = {}
    if "order" in expand:
        expanded_ids = {row.order_id for row in rows}
        expanded |= _by_id(serialize_orders(list(Order.objects.filter(id__in=expanded_ids))))
    if "refunds" in expand:
        expanded |= _by_id(
            serialize_refunds([refund for row in rows for refund in refunds[row.id]])
        )
    if "attempts" in expand:
        expanded |= _by_id(_attempt(attempt, row) for row in rows for attempt in attempts[row.id])
    return [
        _payment(row)
        | _last_attempt(attempts[row.id])
        | {
            "order": expanded.get(row.order_id, row.order_id),
            "refunds": [expanded.get(each.id, each.id) for each in refunds[row.id]],
            "attempts": [expanded.get(each.id, each.id) for each in attempts[row.id]],
        }
        for row in rows
    ]


def _payment(row: Payment) -> Json:
    balance_minor = row.captured_minor - row.refunded_minor - row.pending_refund_minor
    return {
        "id": row.id,
        "object": "payment",
        "provider_account": row.provider_account_id,
        "status": row.status,
        "capture_method": row.capture_method,
        "amount": _money(row.amount_minor, row.currency),
        "tax": _money(row.tax_minor, row.currency),
        "authorized": _money(row.authorized_minor, row.currency),
        "captured": _money(row.captured_minor, row.currency),
        "refunded": _money(row.refunded_minor, row.currency),
        "pending_refund": _money(row.pending_refund_minor, row.currency),
        "disputed": _money(row.disputed_minor, row.currency),
        "refundable_amount": _money(
            max(0, balance_minor - max(0, row.disputed_minor)), row.currency
        ),
        "created_at": _timestamp(row.created_at),
        "updated_at": _timestamp(row.updated_at),
        "expires_at": _timestamp(row.expires_at),
    }


def _last_attempt(attempts: Sequence[Attempt]) -> Json:
    """Return the decline or the redirect URL of the last attempt that collects money."""
    last = next((one for one in reversed(attempts) if one.refund_id is None), None)
    declined = last is not None and last.status == AttemptStatus.DECLINED
    acting = last is not None and last.status == AttemptStatus.REQUIRES_ACTION
    return {
        "decline": {"code": last.failure_code, "soft_decline": last.soft_decline}
        if last and declined
        else None,
        "redirect_url": last.redirect_url if last and acting else "",
    }


def _attempt(row: Attempt, payment: Payment) -> Json:
    return {
        "id": row.id,
        "object": "attempt",
        "operation": row.operation,
        "amount": _money(row.amount_minor, payment.currency),
        "status": row.status,
        "reference": row.reference,
        "failure_code": row.failure_code,
        "soft_decline": row.soft_decline,
        "redirect_url": row.redirect_url,
        "created_at": _timestamp(row.created_at),
        "answered_at": _timestamp(row.answered_at),
    }


def serialize_refunds(rows: Sequence[Refund], expand: Collection[str] = ()) -> list[Json]:
    """Serialize refunds; expands `payment`."""
    ids = [row.id for row in rows]
    approvals = {
        one.refund_id: one.decision for one in RefundApproval.objects.filter(refund_id__in=ids)
    }
    parts = _group(
        RefundLine.objects.filter(refund_id__in=ids).select_related("order_line").order_by("id"),
        lambda part: part.refund_id,
    )
    expanded: dict[str, Json] = {}
    if "payment" in expand:
        expanded_ids = {row.payment_id for row in rows}
        expanded = _by_id(serialize_payments(list(Payment.objects.filter(id__in=expanded_ids))))
    return [
        {
            "id": row.id,
            "object": "refund",
            "payment": expanded.get(row.payment_id, row.payment_id),
            "status": row.status,
            "approval": (approvals[row.id] or "pending") if row.id in approvals else "not_required",
            "amount": _money(row.amount_minor, row.currency),
            "tax": _money(row.tax_minor, row.currency),
            "reason": row.reason,
            "lines": [
                {
                    "position": part.order_line.position,
                    "quantity": part.quantity,
                    "amount": _money(part.amount_minor, row.currency),
                    "tax": _money(part.tax_minor, row.currency),
                }
                for part in parts[row.id]
            ],
            "created_at": _timestamp(row.created_at),
        }
        for row in rows
    ]


def serialize_reviews(rows: Sequence[Review], expand: Collection[str] = ()) -> list[Json]:
    """Serialize reviews; expands `payment`."""
    expanded: dict[str, Json] = {}
    if "payment" in expand:
        expanded_ids = {row.payment_id for row in rows if row.payment_id}
        expanded = _by_id(serialize_payments(list(Payment.objects.filter(id__in=expanded_ids))))
    return [
        {
            "id": row.id,
            "object": "review",
            "code": row.code,
            "subject": row.subject,
            "payment": expanded.get(row.payment_id or "", row.payment_id),
            "detail": row.detail,
            "opened_at": _timestamp(row.opened_at),
            "resolved_at": _timestamp(row.resolved_at),
            "resolution": row.resolution,
            "resolved_by": row.resolved_by,
        }
        for row in rows
    ]


def serialize_provider_accounts(
    rows: Sequence[ProviderAccount],
    expand: Collection[str] = (),  # noqa: ARG001  (nothing to expand)
) -> list[Json]:
    """Serialize provider accounts without configuration; a misconfigured one has no capabilities."""
    accounts = []
    for row in rows:
        try:
            provider = provider_accounts.get(row.name)
        except errors.BursarError:
            names: list[str] = []
            has_webhooks = False
        else:
            names = capabilities.capabilities(provider)
            has_webhooks = isinstance(provider, capabilities.SupportsWebhookVerification)
        accounts.append(
            {
                "name": row.name,
                "object": "provider_account",
                "provider": row.provider,
                "capabilities": names,
                "webhook_url": f"/hooks/{row.name}" if has_webhooks else None,
                "created_at": _timestamp(row.created_at),
            }
        )
    return accounts


def serialize_facts(
    rows: Sequence[Fact],
    expand: Collection[str] = (),  # noqa: ARG001  (nothing to expand)
) -> list[Json]:
    """Serialize facts with the payment that each belongs to."""
    references = {row.reference for row in rows}
    links = {
        (link.provider_account_id, link.kind, link.reference): link.payment_id
        for link in FactLink.objects.filter(
            provider_account_id__in={row.provider_account_id for row in rows},
            reference__in=references,
        )
    }
    return [
        {
            "id": f"{ids.FACT}_{row.pk}",
            "object": "fact",
            "provider_account": row.provider_account_id,
            "kind": row.kind,
            "reference": row.reference,
            "status": row.status,
            "amount": _money(row.amount_minor, row.currency),
            "source": row.source,
            "payment": links.get((row.provider_account_id, row.kind, row.reference)),
            "failure_code": row.failure_code,
            "occurred_at": _timestamp(row.occurred_at),
            "received_at": _timestamp(row.received_at),
        }
        for row in rows
    ]
