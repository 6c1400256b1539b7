"""The refund command: parse the arguments and create the refund."""

from __future__ import annotations

from collections.abc import Sequence

from bursar import clock, errors, group_commit, ids
from bursar.money import Money
from bursar.orders import operations
from bursar.orders import refunds as order_refunding
from bursar.orders.models import Order
from bursar.payments import queries, refunds
from bursar.payments.models import Payment, Refund, RefundApproval


def refund(
    *, order: str, amount: str, lines: Sequence[str], reason: str, key: str, allow_duplicate: bool
) -> str:
    """
    Create a refund of *order* (its id, its payment's id, or the merchant's reference).

    Return the message to print; a worker processes the refund. Without *key* the idempotency key
    is derived from payment, amount or lines, and reason, so that repeating the command returns
    the same refund; *allow_duplicate* creates another one.

    :raises errors.BursarError: if the refund is not possible; nothing is changed.
    """
    if amount and lines:
        raise errors.ValidationError("--amount and --line cannot be combined", param="--amount")
    if key and allow_duplicate:
        raise errors.ValidationError(
            "--key and --allow-duplicate cannot be combined", param="--allow-duplicate"
        )
    payment = _payment(order)
    now, refund_id = clock.now(), ids.new(ids.REFUND)
    money = Money.parse(amount, payment.currency) if amount else None
    quantities = order_refunding.parse_quantities(_line(text) for text in lines)
    idempotency_key = (
        None if allow_duplicate else key or _key_of(payment.id, money, quantities, reason)
    )

    def decide() -> str:
        if quantities:
            return order_refunding.refund_lines(
                order_id=payment.order_id,
                quantities=quantities,
                refund_id=refund_id,
                reason=reason,
                idempotency_key=idempotency_key,
                now=now,
            )
        return refunds.create_refund(
            refund_id=refund_id,
            payment_id=payment.id,
            amount=money,
            reason=reason,
            idempotency_key=idempotency_key,
            now=now,
        )

    created_id = group_commit.commits.run_blocking(decide)
    if created_id == refund_id:
        if RefundApproval.objects.filter(refund_id=refund_id, decision="").exists():
            return f"{created_id} created; it needs a second user's approval in the back office"
        return f"{created_id} created; a worker processes it"
    first = Refund.objects.get(id=created_id)
    return (
        f"{created_id} already exists: {Money(first.amount_minor, first.currency)}, "
        f"{first.created_at:%Y-%m-%d %H:%M} UTC, status {first.status}. No further refund was created; "
        f"to create another one, {'use another --key' if key else 'add --allow-duplicate'}"
    )


def _key_of(payment_id: str, money: Money | None, quantities: dict[int, int], reason: str) -> str:
    """Derive the idempotency key from the command's arguments."""
    amount_minor = None if money is None else money.amount_minor
    return f"cli:{ids.digest(payment_id, amount_minor, *sorted(quantities.items()), reason)}"


def _payment(name: str) -> Payment:
    if name.startswith(f"{ids.PAYMENT}_"):
        payment = Payment.objects.filter(id=name).first()
        if payment is None:
            raise queries.PaymentNotFound(f"payment {name!r} not found")
        return payment
    if not name.startswith(f"{ids.ORDER}_"):
        order_ids = list(Order.objects.filter(reference=name).values_list("id", flat=True)[:2])
        if len(order_ids) != 1:
            many = "several orders have" if order_ids else "no order has"
            raise operations.OrderNotFound(f"{many} the reference {name!r}")
        name = order_ids[0]
    return order_refunding.paid_payment(name)


def _line(text: str) -> tuple[int, int]:
    position, _, units = text.partition("=")
    if not (position.isascii() and position.isdigit() and units.isascii() and units.isdigit()):
        raise errors.ValidationError(f"{text!r} is not POSITION=UNITS such as 1=2", param="--line")
    return int(position), int(units)
