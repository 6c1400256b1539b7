"""Refunding an order's lines: whole units, with their own tax, and the remainder never lost."""

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


class TooManyUnits(errors.Conflict):
    """More units of a line than are left to give back."""

    code = "quantity_exceeds_refundable"


class NothingPaid(errors.Conflict):
    """The order has no payment with that much collected."""

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
    Give back *amount* of a payment, or *quantities* of its order's lines, or all that is left.

    Raises what `refund_lines` and `payments.refunds.create_refund` do.
    """
    if amount is not None and quantities:
        raise errors.ValidationError("give an amount or lines, not both", param="amount")
    payment = queries.get_payment(payment_id)
    if not quantities:
        return refunds.create_refund(
            refund_id=refund_id, payment_id=payment_id, amount=amount, reason=reason, now=now
        )
    if paid_payment(payment.order_id).id != payment_id:
        raise NothingPaid(f"the lines of {payment.order_id} were not paid by {payment_id}")
    return refund_lines(
        order_id=payment.order_id,
        quantities=quantities,
        refund_id=refund_id,
        reason=reason,
        now=now,
    )


def parse_quantities(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """
    Units by the position of their line.

    :raises errors.ValidationError: if a position is there twice.
    """
    entries = list(pairs)
    if len(dict(entries)) != len(entries):
        raise errors.ValidationError("each line once", param="lines")
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
    Give back *quantities* (position of the line -> units) of an order's payment.

    Needs an open transaction. Each unit has its share of the line's price and tax; the last unit
    takes what is left, so that all units together are the whole line. The same
    *idempotency_key* with the same units is the same refund. Returns the refund's id.

    :raises errors.ValidationError: if a line or quantity is not one;
    :raises TooManyUnits: if fewer units are left;
    :raises errors.IdempotencyKeyReused: if the key came with other units;
    :raises refunds.RefundExceedsBalance: if less money is left.
    """
    payment = paid_payment(order_id)
    # From here on nobody else counts the units that are left.
    queries.lock_payment(payment.id)
    lines = {line.position: line for line in OrderLine.objects.filter(order_id=order_id)}
    if not quantities:
        raise errors.ValidationError("name at least one line", param="lines")
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
    The payment that collected money for an order.

    :raises NothingPaid: if there is none; :raises operations.UnknownOrder: if there is no such order.
    """
    payment = Payment.objects.filter(order_id=order_id, captured_minor__gt=0).order_by("id").first()
    if payment is None:
        if not Order.objects.filter(id=order_id).exists():
            raise operations.UnknownOrder(f"there is no order {order_id!r}")
        raise NothingPaid(f"nothing was paid for {order_id}")
    return payment


def _line(lines: Mapping[int, OrderLine], position: int) -> OrderLine:
    line = lines.get(position)
    if line is None:
        raise errors.ValidationError(f"there is no line {position}", param="lines")
    return line


def _refund_line(
    lines: Mapping[int, OrderLine], position: int, quantity: int
) -> refunds.RefundLineInput:
    line = _line(lines, position)
    if type(quantity) is not int or quantity < 1:
        raise errors.ValidationError("a quantity is a whole number from 1", param="lines")
    refunded = RefundLine.objects.filter(
        order_line=line, refund__status__in=[RefundStatus.PENDING, RefundStatus.SUCCEEDED]
    ).aggregate(units=Sum("quantity"), amount=Sum("amount_minor"), tax=Sum("tax_minor"))
    units_before = int(refunded["units"] or 0)
    if units_before + quantity > line.quantity:
        raise TooManyUnits(
            f"line {position} has {line.quantity - units_before} units left, not {quantity}"
        )
    # What the units are worth together, less what was given for the others: whichever way they
    # are split, and whichever refund failed in between, they add up to the line.
    units_after = units_before + quantity
    amount = max(0, line.gross_minor * units_after // line.quantity - int(refunded["amount"] or 0))
    tax = max(0, line.tax_minor * units_after // line.quantity - int(refunded["tax"] or 0))
    return refunds.RefundLineInput(
        order_line_id=line.pk, quantity=quantity, amount_minor=amount, tax_minor=min(tax, amount)
    )
