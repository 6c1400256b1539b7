"""Status labels: the status of each kind of object as a word in its colour."""

from __future__ import annotations

from bursar import clock
from bursar.access.models import ApiKey, User
from bursar.admin.formatting import DisplayValue, format_status
from bursar.orders import queries
from bursar.orders.models import Order
from bursar.payments.models import Refund, RefundApproval
from bursar.webhooks.models import WebhookEvent


def order_payment_status(order: Order) -> DisplayValue:
    """Return the payment status of an order."""
    return format_status(queries.fetch_payment_status(order).value)


def approval_status(row: RefundApproval) -> DisplayValue:
    """Return whether a refund is approved, rejected or still pending."""
    if row.decided_at is None:
        return format_status("waiting", "Pending approval")
    return format_status(row.decision)


def refund_status(row: Refund) -> DisplayValue:
    """Return the status of a refund, which is *pending approval* until it is decided."""
    approval = getattr(row, "approval", None)
    if approval is not None and approval.decided_at is None:
        return approval_status(approval)
    return format_status(row.status)


def webhook_event_status(row: WebhookEvent) -> DisplayValue:
    """Return whether a webhook event is processed, pending or ignored, and why it is ignored."""
    if row.ignored:
        return format_status("ignored", f"Ignored: {row.ignored}")
    return format_status("processed" if row.processed_at else "pending")


def user_status(row: User) -> DisplayValue:
    """Return whether a user is active, locked or inactive."""
    if not row.is_active:
        return format_status("inactive")
    if row.locked_until is not None and row.locked_until > clock.now():
        return format_status("locked")
    return format_status("active")


def api_key_owner(row: ApiKey) -> str:
    """Return the e-mail address of a key's owner, or `operator`."""
    return row.owner.email if row.owner else "operator"


def api_key_status(row: ApiKey) -> DisplayValue:
    """Return whether a key is active, expired or revoked, or its owner inactive."""
    if row.revoked_at is not None:
        return format_status("revoked")
    if row.owner is not None and not row.owner.is_active:
        return format_status("inactive", "Owner inactive")
    if row.expires_at is not None and row.expires_at <= clock.now():
        return format_status("expired")
    return format_status("active")
