"""
Rendering: rows of the database as the shapes of the API have them.

Each function takes a query of whole rows and asks for what belongs to all of them at once, so that
a page costs the same few queries however long it is. `expand` puts objects in the place of ids, one
level deep.
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


def _at(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _grouped(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    found: defaultdict[Any, list[T]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def serialize_orders(rows: Sequence[Order], expand: Collection[str] = ()) -> list[Json]:
    """Orders; expands `payments`."""
    ids = [row.id for row in rows]
    lines = _grouped(
        OrderLine.objects.filter(order_id__in=ids).order_by("position"), lambda line: line.order_id
    )
    collected = _grouped(
        Payment.objects.filter(order_id__in=ids).order_by("id"), lambda payment: payment.order_id
    )
    flat = [payment for row in rows for payment in collected[row.id]]
    shown = _named(serialize_payments(flat)) if "payments" in expand else {}
    return [
        {
            "id": row.id,
            "object": "order",
            "reference": row.reference,
            "payment_status": queries.payment_status(row, collected[row.id]).value,
            "total": _money(row.total_minor, row.currency),
            "tax": _money(row.tax_minor, row.currency),
            "lines": [_line(line, row.currency) for line in lines[row.id]],
            "explanation": row.explanation,
            "buyer": row.buyer,
            "metadata": row.metadata,
            "payments": [shown.get(each.id, each.id) for each in collected[row.id]],
            "placed_at": _at(row.placed_at),
            "created_at": _at(row.created_at),
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
        "explanation": line.explanation,
    }


def _named(rendered: Iterable[Json]) -> dict[str, Json]:
    return {one["id"]: one for one in rendered}


def serialize_payments(rows: Sequence[Payment], expand: Collection[str] = ()) -> list[Json]:
    """Payments; expands `order`, `refunds`, `attempts`."""
    ids = [row.id for row in rows]
    tried = _grouped(
        Attempt.objects.filter(payment_id__in=ids).order_by("id"), lambda one: one.payment_id
    )
    given = _grouped(
        Refund.objects.filter(payment_id__in=ids).order_by("id"), lambda one: one.payment_id
    )
    shown: dict[str, Json] = {}
    if "order" in expand:
        wanted = {row.order_id for row in rows}
        shown |= _named(serialize_orders(list(Order.objects.filter(id__in=wanted))))
    if "refunds" in expand:
        shown |= _named(serialize_refunds([refund for row in rows for refund in given[row.id]]))
    if "attempts" in expand:
        shown |= _named(_attempt(one, row) for row in rows for one in tried[row.id])
    return [
        _payment(row)
        | _last(tried[row.id])
        | {
            "order": shown.get(row.order_id, row.order_id),
            "refunds": [shown.get(one.id, one.id) for one in given[row.id]],
            "attempts": [shown.get(one.id, one.id) for one in tried[row.id]],
        }
        for row in rows
    ]


def _payment(row: Payment) -> Json:
    kept = row.captured_minor - row.refunded_minor - row.pending_refund_minor
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
        "refundable_amount": _money(max(0, kept - max(0, row.disputed_minor)), row.currency),
        "created_at": _at(row.created_at),
        "updated_at": _at(row.updated_at),
        "expires_at": _at(row.expires_at),
    }


def _last(tried: Sequence[Attempt]) -> Json:
    """What the last try at collecting says: why it was declined, or where the buyer must go."""
    last = next((one for one in reversed(tried) if one.refund_id is None), None)
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
        "created_at": _at(row.created_at),
        "answered_at": _at(row.answered_at),
    }


def serialize_refunds(rows: Sequence[Refund], expand: Collection[str] = ()) -> list[Json]:
    """Refunds; expands `payment`."""
    ids = [row.id for row in rows]
    approvals = {
        one.refund_id: one.decision for one in RefundApproval.objects.filter(refund_id__in=ids)
    }
    parts = _grouped(
        RefundLine.objects.filter(refund_id__in=ids).select_related("order_line").order_by("id"),
        lambda part: part.refund_id,
    )
    shown: dict[str, Json] = {}
    if "payment" in expand:
        wanted = {row.payment_id for row in rows}
        shown = _named(serialize_payments(list(Payment.objects.filter(id__in=wanted))))
    return [
        {
            "id": row.id,
            "object": "refund",
            "payment": shown.get(row.payment_id, row.payment_id),
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
            "created_at": _at(row.created_at),
        }
        for row in rows
    ]


def serialize_reviews(rows: Sequence[Review], expand: Collection[str] = ()) -> list[Json]:
    """Reviews; expands `payment`."""
    shown: dict[str, Json] = {}
    if "payment" in expand:
        wanted = {row.payment_id for row in rows if row.payment_id}
        shown = _named(serialize_payments(list(Payment.objects.filter(id__in=wanted))))
    return [
        {
            "id": row.id,
            "object": "review",
            "code": row.code,
            "subject": row.subject,
            "payment": shown.get(row.payment_id or "", row.payment_id),
            "detail": row.detail,
            "opened_at": _at(row.opened_at),
            "resolved_at": _at(row.resolved_at),
            "resolution": row.resolution,
            "resolved_by": row.resolved_by,
        }
        for row in rows
    ]


def serialize_provider_accounts(
    rows: Sequence[ProviderAccount],
    expand: Collection[str] = (),  # noqa: ARG001  (nothing to expand)
) -> list[Json]:
    """Provider accounts, without their settings; one that cannot be used has no capability."""
    shown = []
    for row in rows:
        try:
            provider = provider_accounts.get(row.name)
        except errors.BursarError:
            offered: list[str] = []
            hooks = False
        else:
            offered = capabilities.capabilities(provider)
            hooks = isinstance(provider, capabilities.SupportsWebhookVerification)
        shown.append(
            {
                "name": row.name,
                "object": "provider_account",
                "provider": row.provider,
                "capabilities": offered,
                "webhook_url": f"/hooks/{row.name}" if hooks else None,
                "created_at": _at(row.created_at),
            }
        )
    return shown


def serialize_facts(
    rows: Sequence[Fact],
    expand: Collection[str] = (),  # noqa: ARG001  (nothing to expand)
) -> list[Json]:
    """Facts, with the payment each belongs to."""
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
            "occurred_at": _at(row.occurred_at),
            "received_at": _at(row.received_at),
        }
        for row in rows
    ]
