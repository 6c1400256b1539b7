"""Detail pages of orders, payments, refunds, approvals and reviews."""

from __future__ import annotations

from bursar.access import roles, users
from bursar.admin import formatting, timeline
from bursar.admin.formatting import (
    DetailPage,
    DetailTable,
    format_datetime,
    format_label,
    format_money,
    format_status,
    humanize,
    link,
    link_to,
)
from bursar.admin.permissions import permitted_buttons
from bursar.admin.queries import ROWS_MAX
from bursar.admin.status_labels import order_payment_status, refund_status
from bursar.money import Money
from bursar.orders.models import Order, OrderLine
from bursar.payments.models import Payment, Refund, RefundApproval, Review
from bursar.payments.statuses import PaymentStatus


def order(row: Order) -> DetailPage:
    """Build the page of an order: lines and payments."""
    payments = list(row.payments.order_by("id")[:ROWS_MAX])
    lines = [
        (
            str(line.position),
            line.description or line.sku,
            str(line.quantity),
            _unit_price(line),
            _discounts(line, row.currency),
            f"{line.tax_rate} % {line.tax_code}",
            format_money(line.gross_minor, row.currency),
        )
        for line in row.lines.order_by("position")[:ROWS_MAX]
    ]
    payment_rows = [
        (
            link(payment),
            format_status(payment.status),
            format_money(payment.captured_minor, payment.currency),
            format_money(payment.refunded_minor, payment.currency),
            payment.provider_account_id,
        )
        for payment in payments
    ]
    return DetailPage(
        title=f"Order {row.reference}",
        status=order_payment_status(row),
        details=[
            ("Total", format_money(row.total_minor, row.currency)),
            ("Tax included", format_money(row.tax_minor, row.currency)),
            ("Buyer", formatting.format_mapping(row.buyer)),
            ("Metadata", formatting.format_mapping(row.metadata)),
            ("Placed", format_datetime(row.placed_at)),
            ("ID", row.pk),
        ],
        tables=[
            DetailTable(
                "Lines",
                ["#", "Item", "Quantity", "Unit price", "Discounts", "Tax", "Gross"],
                lines,
                numeric=("Quantity", "Unit price", "Gross"),
            ),
            DetailTable(
                "Payments",
                ["Payment", "Status", "Captured", "Refunded", "Provider"],
                payment_rows,
                "No payments.",
                numeric=("Captured", "Refunded"),
            ),
        ],
    )


def _unit_price(line: OrderLine) -> str:
    with_tax = line.pricing_explanation.get("price_includes_tax", False)
    return f"{line.unit_price} (incl. tax)" if with_tax else line.unit_price


def _discounts(line: OrderLine, currency: str) -> str:
    discounts = line.pricing_explanation.get("discounts", ())
    return ", ".join(f"{one['name']} {Money(one['amount'], currency)}" for one in discounts) or "-"


_STATUS_REASONS = {
    PaymentStatus.UNKNOWN: "Awaiting confirmation: the provider gave no clear response. Its status is being checked.",
    PaymentStatus.REQUIRES_ACTION: "The buyer has to authenticate with their bank.",
    PaymentStatus.AUTHORIZED: "Awaiting capture: capture the amount or void the authorization.",
    PaymentStatus.PROCESSING: "Accepted by the provider; the outcome is pending.",
    PaymentStatus.PENDING: "Not sent to the provider yet; the job queue retries it.",
    PaymentStatus.EXPIRED: "The payment was not completed in time.",
}


def _reason(payment: Payment) -> str:
    last = payment.attempts.filter(refund__isnull=True).order_by("-id").first()
    if payment.status == PaymentStatus.DECLINED and last is not None:
        retry = (
            "Soft decline: may be retried." if last.soft_decline else "Hard decline: do not retry."
        )
        return f"Declined: {humanize(last.failure_code)}. {retry}"
    return _STATUS_REASONS.get(PaymentStatus(payment.status), "")


def payment(row: Payment) -> DetailPage:
    """Build the page of a payment: amounts, refunds and timeline."""
    refundable = row.captured_minor - row.refunded_minor - row.pending_refund_minor
    refundable -= max(0, row.disputed_minor)
    refunds = [
        (
            link(refund),
            refund_status(refund),
            format_money(refund.amount_minor, refund.currency),
            refund.reason or "-",
            format_datetime(refund.created_at),
        )
        for refund in row.refunds.select_related("approval").order_by("id")[:ROWS_MAX]
    ]
    open_payment = row.status in {PaymentStatus.PENDING, PaymentStatus.DECLINED}
    is_authorized = row.authorized_minor > 0
    return DetailPage(
        title=f"Payment for {row.order.reference}",
        status=format_status(row.status),
        reason=_reason(row),
        details=[
            ("Amount", format_money(row.amount_minor, row.currency)),
            ("Captured", format_money(row.captured_minor, row.currency)),
            ("Authorized", format_money(row.authorized_minor, row.currency)),
            ("Refunded", format_money(row.refunded_minor, row.currency)),
            ("Refund pending", format_money(row.pending_refund_minor, row.currency)),
            ("Disputed", format_money(row.disputed_minor, row.currency)),
            ("Order", link(row.order, row.order.reference)),
            ("Provider account", link_to("provideraccount", row.provider_account_id)),
            ("Payment method", row.payment_method_token),
            ("ID", row.pk),
        ],
        buttons=permitted_buttons(
            (refundable > 0, roles.REFUNDS_WRITE, "Refund", "refund_payment", "primary", row.pk),
            (is_authorized, roles.PAYMENTS_WRITE, "Capture", "capture_payment", "primary", row.pk),
            (
                is_authorized,
                roles.PAYMENTS_WRITE,
                "Void authorization",
                "cancel_payment",
                "danger",
                row.pk,
            ),
            (
                open_payment and not row.closed_status,
                roles.PAYMENTS_WRITE,
                "Cancel payment",
                "cancel_payment",
                "danger",
                row.pk,
            ),
        ),
        tables=[
            DetailTable(
                "Refunds",
                ["Refund", "Status", "Amount", "Reason", "Created"],
                refunds,
                "No refunds.",
                numeric=("Amount",),
            )
        ],
        timeline=timeline.list_entries(row),
    )


def refund(row: Refund) -> DetailPage:
    """Build the page of a refund: lines and approval."""
    approval = RefundApproval.objects.filter(refund=row).first()
    is_pending = approval is not None and approval.decided_at is None
    lines = [
        (
            line.order_line.description or line.order_line.sku,
            str(line.quantity),
            format_money(line.amount_minor, row.currency),
        )
        for line in row.lines.select_related("order_line").order_by("id")[:ROWS_MAX]
    ]
    approval_details = (
        []
        if approval is None
        else [
            ("Requested by", approval.requested_by),
            ("Owner", users.describe_owner(approval.requested_owner)),
            ("Decided by", approval.decided_by or "-"),
            ("Decided", format_datetime(approval.decided_at)),
        ]
    )
    return DetailPage(
        title=f"Refund {row.pk}",
        status=refund_status(row),
        reason="Above the approval threshold: a second user has to approve it."
        if is_pending
        else "",
        details=[
            ("Amount", format_money(row.amount_minor, row.currency)),
            ("Tax included", format_money(row.tax_minor, row.currency)),
            ("Reason", row.reason or "-"),
            ("Payment", link_to("payment", row.payment_id)),
            ("Created", format_datetime(row.created_at)),
            *approval_details,
        ],
        buttons=permitted_buttons(
            (is_pending, roles.REFUNDS_APPROVE, "Approve", "approve_refund", "primary", row.pk),
            (is_pending, roles.REFUNDS_WRITE, "Reject", "reject_refund", "danger", row.pk),
        ),
        tables=[
            DetailTable(
                "Lines",
                ["Item", "Quantity", "Amount"],
                lines,
                "Amount only.",
                numeric=("Quantity", "Amount"),
            )
        ],
    )


def approval(row: RefundApproval) -> DetailPage:
    """Build the page of an approval: that of its refund."""
    return refund(row.refund)


def review(row: Review) -> DetailPage:
    """Build the page of a review: what it is about, and its resolution."""
    is_open = row.resolved_at is None
    subject = link_to("payment", row.payment_id) if row.payment_id else row.subject
    return DetailPage(
        title=format_label(row.code),
        status=format_status("open" if is_open else "resolved"),
        reason="Manual review required. Investigate, then record the resolution."
        if is_open
        else row.resolution,
        details=[
            ("Subject", subject),
            *((format_label(key), str(value)) for key, value in row.detail.items()),
            ("Opened", format_datetime(row.opened_at)),
            ("Resolved", format_datetime(row.resolved_at)),
            ("Resolved by", row.resolved_by or "-"),
            ("ID", row.pk),
        ],
        buttons=permitted_buttons(
            (is_open, roles.REVIEWS_WRITE, "Resolve", "resolve_review", "primary", row.pk)
        ),
    )
