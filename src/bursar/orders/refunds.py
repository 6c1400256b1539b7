"""Refund order lines by whole units, each with its share of price and tax."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import Sum

from bursar import errors
from bursar.money import Money
from bursar.orders import operations
from bursar.orders.models import Order, OrderLine
from bursar.payments import queries, refunds
from bursar.payments.models import Payment, RefundLine
from bursar.providers.interface import RefundStatus


class QuantityExceedsRefundable(errors.Conflict):
    """The quantity exceeds the units of the line that are still refundable."""

    code = "quantity_exceeds_refundable"


class OrderNotPaid(errors.Conflict):
    """The order has no captured payment, or not by this payment."""

    code = "order_not_paid"


def refund(
    *,
    payment_id: str,
    amount: Money | None,
    quantities: Mapping[int, int],
    refund_id: str,
    now: datetime,
    reason: str = "",
) -> str:
    """
    Refund *amount* of a payment, or *quantities* of its order's lines, or the refundable rest.

    Needs an open transaction. Raises what `refund_lines` and `payments.refunds.create_refund` raise.
    """
    if amount is not None and quantities:
        raise errors.ValidationError("amount and lines are mutually exclusive", param="amount")
    payment = queries.get_payment(payment_id)
    if not quantities:
        return refunds.create_refund(
            refund_id=refund_id, payment_id=payment_id, amount=amount, reason=reason, now=now
        )
    if paid_payment(payment.order_id).id != payment_id:
        raise OrderNotPaid(f"{payment_id} did not pay the lines of {payment.order_id}")
    return refund_lines(
        order_id=payment.order_id,
        quantities=quantities,
        refund_id=refund_id,
        reason=reason,
        now=now,
    )


def parse_quantities(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """
    Return units by line position.

    :raises errors.ValidationError: if a position occurs twice.
    """
    entries = list(pairs)
    if len(dict(entries)) != len(entries):
        raise errors.ValidationError("each line may occur only once", param="lines")
    return dict(entries)


def refund_lines(
    *,
    order_id: str,
    quantities: Mapping[int, int],
    refund_id: str,
    now: datetime,
    reason: str = "",
    idempotency_key: str | None = None,
) -> str:
    """
    Refund *quantities* (line position to units) of an order. Returns the refund's id.

    Needs an open transaction. Each unit has its share of the line's price and tax; the last unit
    takes the remainder, so that all units add up to the line. The same *idempotency_key* with the
    same units returns the existing refund.

    :raises errors.ValidationError: if a line or quantity is invalid;
    :raises QuantityExceedsRefundable: if a quantity exceeds the refundable units;
    :raises errors.IdempotencyKeyReused: if the key was used with different units;
    :raises refunds.RefundExceedsBalance: if the amount exceeds the refundable balance.
    """
    payment = paid_payment(order_id)
    # The lock serializes refunds, so that refundable units are counted once.
    queries.lock_payment(payment.id)
    lines = {line.position: line for line in OrderLine.objects.filter(order_id=order_id)}
    if not quantities:
        raise errors.ValidationError("at least one line is required", param="lines")
    if existing_refund_id := refunds.find_repeated(
        idempotency_key,
        refunds.RefundContent(
            payment_id=payment.id,
            amount=None,
            reason=reason,
            lines={_line(lines, position).pk: units for position, units in quantities.items()},
        ),
    ):
        return existing_refund_id
    parts = [
        _refund_line(lines, position, quantity) for position, quantity in sorted(quantities.items())
    ]
    amount = Money(sum(part.amount_minor for part in parts), payment.currency)
    return refunds.create_refund(
        refund_id=refund_id,
        payment_id=payment.id,
        amount=amount,
        lines=parts,
        reason=reason,
        idempotency_key=idempotency_key,
        now=now,
    )


def paid_payment(order_id: str) -> Payment:
    """
    Return the first captured payment of an order.

    :raises OrderNotPaid: if it has none; :raises operations.OrderNotFound: if there is no such order.
    """
    payment = Payment.objects.filter(order_id=order_id, captured_minor__gt=0).order_by("id").first()
    if payment is None:
        if not Order.objects.filter(id=order_id).exists():
            raise operations.OrderNotFound(f"order {order_id!r} not found")
        raise OrderNotPaid(f"{order_id} has no captured payment")
    return payment


def _line(lines: Mapping[int, OrderLine], position: int) -> OrderLine:
    line = lines.get(position)
    if line is None:
        raise errors.ValidationError(f"the order has no line {position}", param="lines")
    return line


def _refund_line(
    lines: Mapping[int, OrderLine], position: int, quantity: int
) -> refunds.RefundLineInput:
    line = _line(lines, position)
    if type(quantity) is not int or quantity < 1:
        raise errors.ValidationError("quantity must be a whole number of at least 1", param="lines")
    refunded = RefundLine.objects.filter(
        order_line=line, refund__status__in=[RefundStatus.PENDING, RefundStatus.SUCCEEDED]
    ).aggregate(units=Sum("quantity"), amount=Sum("amount_minor"), tax=Sum("tax_minor"))
    units_before = int(refunded["units"] or 0)
    if units_before + quantity > line.quantity:
        raise QuantityExceedsRefundable(
            f"line {position} has {line.quantity - units_before} refundable units, "
            f"{quantity} requested"
        )
    # The cumulative value of all refunded units less what was refunded before: however the units
    # are split, and whichever refund failed in between, they add up to the line.
    units_after = units_before + quantity
    amount = max(0, line.gross_minor * units_after // line.quantity - int(refunded["amount"] or 0))
    tax = max(0, line.tax_minor * units_after // line.quantity - int(refunded["tax"] or 0))
    return refunds.RefundLineInput(
        order_line_id=line.pk, quantity=quantity, amount_minor=amount, tax_minor=min(tax, amount)
    )
