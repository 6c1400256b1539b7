"""Reading orders: their payment side is derived from their payments, never stored."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from bursar.orders.models import Order
from bursar.payments.models import Payment


class OrderPaymentStatus(StrEnum):
    """How far an order is paid."""

    UNPAID = "unpaid"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    OVERPAID = "overpaid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


def fetch_payment_status(order: Order) -> OrderPaymentStatus:
    """How far *order* is paid, over all its payments in its currency."""
    return payment_status(order, order.payments.all())


def payment_status(order: Order, collected: Iterable[Payment]) -> OrderPaymentStatus:
    """How far *order* is paid by *collected*, all the payments it has."""
    payments = [p for p in collected if p.currency == order.currency]
    paid = sum(payment.captured_minor for payment in payments)
    refunded = sum(payment.refunded_minor for payment in payments)
    if paid and refunded:
        return (
            OrderPaymentStatus.REFUNDED
            if refunded >= paid
            else OrderPaymentStatus.PARTIALLY_REFUNDED
        )
    if paid > order.total_minor:
        return OrderPaymentStatus.OVERPAID
    if paid == order.total_minor:
        return OrderPaymentStatus.PAID
    return OrderPaymentStatus.PARTIALLY_PAID if paid else OrderPaymentStatus.UNPAID
