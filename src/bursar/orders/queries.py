"""Reading orders: their payment side is derived from their payments, never stored."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from bursar.orders.models import Order
from bursar.payments.models import Payment


class PaymentSide(StrEnum):
    """How far an order is paid."""

    UNPAID = "unpaid"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    OVERPAID = "overpaid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


def payment_side(order: Order) -> PaymentSide:
    """How far *order* is paid, over all its payments in its currency."""
    return side_of(order, order.payments.all())


def side_of(order: Order, collected: Iterable[Payment]) -> PaymentSide:
    """How far *order* is paid by *collected*, all the payments it has."""
    payments = [p for p in collected if p.currency == order.currency]
    paid = sum(payment.captured_minor for payment in payments)
    refunded = sum(payment.refunded_minor for payment in payments)
    if paid and refunded:
        return PaymentSide.REFUNDED if refunded >= paid else PaymentSide.PARTIALLY_REFUNDED
    if paid > order.total_minor:
        return PaymentSide.OVERPAID
    if paid == order.total_minor:
        return PaymentSide.PAID
    return PaymentSide.PARTIALLY_PAID if paid else PaymentSide.UNPAID
