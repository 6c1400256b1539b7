"""Pages of orders, payments, refunds and reviews."""

from __future__ import annotations

from bursar.access import roles, users
from bursar.admin import formatting, timeline
from bursar.admin.filters import ROWS_MAX, buttons, refund_state, side
from bursar.admin.formatting import (
    DetailPage,
    DetailTable,
    format_datetime,
    humanize,
    link,
    link_to,
    money,
    state,
)
from bursar.money import Money
from bursar.orders.models import Order, OrderLine
from bursar.payments.models import Payment, Refund, RefundApproval, Review
from bursar.payments.statuses import PaymentStatus


def order(row: Order) -> DetailPage:
    """An order, its lines and payments."""
    payments = list(row.payments.order_by("id")[:ROWS_MAX])
    lines = [
        (
            str(line.position),
            line.description or line.sku,
            str(line.quantity),
            _unit_price(line),
            _discounts(line, row.currency),
            f"{line.tax_rate} % {line.tax_code}",
            money(line.gross_minor, row.currency),
        )
        for line in row.lines.order_by("position")[:ROWS_MAX]
    ]
    paid = [
        (
            link(payment),
            state(payment.status),
            money(payment.captured_minor, payment.currency),
            money(payment.refunded_minor, payment.currency),
            payment.provider_account_id,
        )
        for payment in payments
    ]
    return DetailPage(
        title=f"Order {row.reference}",
        state=side(row),
        facts=[
            ("total", money(row.total_minor, row.currency)),
            ("of it tax", money(row.tax_minor, row.currency)),
            ("buyer", formatting.pairs(row.buyer)),
            ("metadata", formatting.pairs(row.metadata)),
            ("placed", format_datetime(row.placed_at)),
            ("id", row.pk),
        ],
        tables=[
            DetailTable(
                "Lines", ["#", "what", "units", "price", "discounts", "tax", "gross"], lines
            ),
            DetailTable(
                "Payments",
                ["payment", "state", "collected", "refunded", "at"],
                paid,
                "Nothing has been asked for yet.",
            ),
        ],
    )


def _unit_price(line: OrderLine) -> str:
    with_tax = line.pricing_explanation.get("price_includes_tax", False)
    return f"{line.unit_price} with tax" if with_tax else line.unit_price


def _discounts(line: OrderLine, currency: str) -> str:
    taken = line.pricing_explanation.get("discounts", ())
    return ", ".join(f"{one['name']} {Money(one['amount'], currency)}" for one in taken) or "-"


_WHY = {
    PaymentStatus.UNKNOWN: "The provider gave no clear answer. It is looked up until it is known.",
    PaymentStatus.REQUIRES_ACTION: "The buyer has to approve at their bank.",
    PaymentStatus.AUTHORIZED: "The amount is held. Capture it, or release it.",
    PaymentStatus.PROCESSING: "The provider has accepted it; the outcome comes later.",
    PaymentStatus.PENDING: "It has not been asked for yet, or nothing could be sent; it is tried.",
    PaymentStatus.EXPIRED: "Nobody paid in time.",
}


def _reason(payment: Payment) -> str:
    last = payment.attempts.filter(refund__isnull=True).order_by("-id").first()
    if payment.status == PaymentStatus.DECLINED and last is not None:
        softly = "It may succeed later or elsewhere." if last.soft_decline else "It is final."
        return f"Declined: {humanize(last.failure_code)}. {softly}"
    return _WHY.get(PaymentStatus(payment.status), "")


def payment(row: Payment) -> DetailPage:
    """A payment with its time line."""
    left = row.captured_minor - row.refunded_minor - row.pending_refund_minor
    left -= max(0, row.disputed_minor)
    refunds = [
        (
            link(refund),
            refund_state(refund),
            money(refund.amount_minor, refund.currency),
            refund.reason or "-",
            format_datetime(refund.created_at),
        )
        for refund in row.refunds.select_related("approval").order_by("id")[:ROWS_MAX]
    ]
    open_payment = row.status in {PaymentStatus.PENDING, PaymentStatus.DECLINED}
    held = row.authorized_minor > 0
    return DetailPage(
        title=f"Payment for {row.order.reference}",
        state=state(row.status),
        reason=_reason(row),
        facts=[
            ("asked", money(row.amount_minor, row.currency)),
            ("collected", money(row.captured_minor, row.currency)),
            ("held", money(row.authorized_minor, row.currency)),
            ("refunded", money(row.refunded_minor, row.currency)),
            ("being refunded", money(row.pending_refund_minor, row.currency)),
            ("in dispute", money(row.disputed_minor, row.currency)),
            ("order", link(row.order, row.order.reference)),
            ("at", link_to("provideraccount", row.provider_account_id)),
            ("method", row.payment_method_token),
            ("id", row.pk),
        ],
        buttons=buttons(
            (left > 0, roles.REFUNDS_WRITE, "Refund", "refund", "primary", row.pk),
            (held, roles.PAYMENTS_WRITE, "Capture", "capture", "primary", row.pk),
            (held, roles.PAYMENTS_WRITE, "Release", "cancel", "danger", row.pk),
            (
                open_payment and not row.closed_status,
                roles.PAYMENTS_WRITE,
                "Cancel",
                "cancel",
                "danger",
                row.pk,
            ),
        ),
        tables=[
            DetailTable(
                "Refunds",
                ["refund", "state", "amount", "why", "decided"],
                refunds,
                "Nothing was given back.",
            )
        ],
        moments=timeline.moments(row),
    )


def refund(row: Refund) -> DetailPage:
    """A refund and its approval."""
    approval = RefundApproval.objects.filter(refund=row).first()
    waits = approval is not None and approval.decided_at is None
    lines = [
        (
            line.order_line.description or line.order_line.sku,
            str(line.quantity),
            money(line.amount_minor, row.currency),
        )
        for line in row.lines.select_related("order_line").order_by("id")[:ROWS_MAX]
    ]
    told = (
        []
        if approval is None
        else [
            ("asked for by", approval.requested_by),
            ("owner", users.describe_owner(approval.requested_owner)),
            ("decided by", approval.decided_by or "-"),
            ("decided", format_datetime(approval.decided_at)),
        ]
    )
    return DetailPage(
        title=f"Refund {row.pk}",
        state=refund_state(row),
        reason="Above the limit: somebody else than who asked for it has to approve."
        if waits
        else "",
        facts=[
            ("amount", money(row.amount_minor, row.currency)),
            ("of it tax", money(row.tax_minor, row.currency)),
            ("why", row.reason or "-"),
            ("payment", link_to("payment", row.payment_id)),
            ("decided", format_datetime(row.created_at)),
            *told,
        ],
        buttons=buttons(
            (waits, roles.REFUNDS_APPROVE, "Approve", "approve", "primary", row.pk),
            (waits, roles.REFUNDS_WRITE, "Reject", "reject", "danger", row.pk),
        ),
        tables=[
            DetailTable("Lines", ["what", "units", "amount"], lines, "An amount, without lines.")
        ],
    )


def approval(row: RefundApproval) -> DetailPage:
    """The refund that is to be approved."""
    return refund(row.refund)


def review(row: Review) -> DetailPage:
    """A question and its answer."""
    waits = row.resolved_at is None
    subject = link_to("payment", row.payment_id) if row.payment_id else row.subject
    return DetailPage(
        title=humanize(row.code).capitalize(),
        state=state("open" if waits else "resolved"),
        reason="Only a person can decide this. Look into it, then write down what was found."
        if waits
        else row.resolution,
        facts=[
            ("about", subject),
            *((humanize(key), str(value)) for key, value in row.detail.items()),
            ("opened", format_datetime(row.opened_at)),
            ("answered", format_datetime(row.resolved_at)),
            ("by", row.resolved_by or "-"),
            ("id", row.pk),
        ],
        buttons=buttons((waits, roles.REVIEWS_WRITE, "Resolve", "resolve", "primary", row.pk)),
    )
