"""Payment status of orders, derived from their payments and never stored."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from bursar.orders.models import Order
from bursar.payments.models import Payment


class OrderPaymentStatus(StrEnum):
    """Payment status of an order."""

    UNPAID = "unpaid"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    OVERPAID = "overpaid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


def fetch_payment_status(order: Order) -> OrderPaymentStatus:
    """Return the payment status of *order*, reading its payments from the database."""
    return payment_status(order, order.payments.all())


def payment_status(order: Order, collected: Iterable[Payment]) -> OrderPaymentStatus:
    """Return the payment status of *order*; *collected* are all its payments."""
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
