"""Placing: an order, its lines, its payment and the job that charges it, in one commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from bursar import errors, fields, group_commit, ids, sql
from bursar.access import audit_log
from bursar.money import Money
from bursar.orders import quotes
from bursar.orders.models import Order
from bursar.payments import charges
from bursar.payments.statuses import CaptureMethod, PaymentStatus
from bursar.pricing.baskets import Basket, Line
from bursar.pricing.quotes import Quote
from bursar.pricing.rules import NONE, Rules


class OrderRow(NamedTuple):
    """A row of the table of orders: its columns, in the order in which they are inserted."""

    id: str
    reference: str
    currency: str
    total_minor: int
    tax_minor: int
    buyer: str
    metadata: str
    idempotency_key: str
    fingerprint: str
    pricing_explanation: str
    placed_at: fields.Parameter
    created_at: fields.Parameter


class OrderLineRow(NamedTuple):
    """A row of the table of order lines: its columns, in the order in which they are inserted."""

    order_id: str
    position: int
    sku: str
    description: str
    quantity: int
    unit_price: str
    tax_rate: str
    tax_code: str
    net_minor: int
    tax_minor: int
    gross_minor: int
    pricing_explanation: str


INSERT_ORDER = (
    sql.insert("bursar_order", OrderRow._fields) + " ON CONFLICT (idempotency_key) DO NOTHING"
)
INSERT_LINE = sql.insert("bursar_orderline", OrderLineRow._fields)
FIND_KEY = "SELECT id, fingerprint FROM bursar_order WHERE idempotency_key = %s"

METADATA_KEYS_MAX, METADATA_KEY_LETTERS, METADATA_LETTERS = 50, 40, 500
REFERENCE_LETTERS, TEXT_LETTERS, SKU_LETTERS, METHOD_LETTERS = 120, 300, 80, 120


#: A payment in one of these collects nothing any more, so that another may be opened.
_UNCOLLECTABLE = (PaymentStatus.DECLINED, PaymentStatus.CANCELED, PaymentStatus.EXPIRED)


class UnknownOrder(errors.NotFound):
    """No order has that id or reference, or more than one has."""

    code = "order_not_found"


class OrderAlreadyPaid(errors.Conflict):
    """A payment collects the order, or has collected it."""

    code = "order_already_paid"


#: Fields of a new order that do not make it another order, and why. Every other field does.
NOT_IN_FINGERPRINT: Final = {
    "idempotency_key": "it is what the content is found by",
    "placed_at": "the API takes the time of the request, which is another for each repetition",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """
    An order to place.

    *country* (ISO 3166-1) and *vat_id* are the buyer's and decide on its taxes; the latter is kept
    in the snapshot of the buyer. *reference* is the merchant's own name for it. With *provider_account* it is charged with
    *method*, a token of that provider; without, it waits for a payment. *placed_at* is when the
    buyer agreed.
    """

    reference: str
    currency: str
    lines: Sequence[Line]
    idempotency_key: str
    placed_at: datetime
    provider_account: str = ""
    method: str = ""
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    buyer: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    country: str = ""
    vat_id: str = ""
    customer_group: str = ""
    coupons: Sequence[str] = ()
    prices_include_tax: bool | None = None

    def basket(self) -> Basket:
        """What is to be priced."""
        return Basket(
            currency=self.currency,
            lines=tuple(self.lines),
            country=self.country,
            vat_id=self.vat_id,
            customer_group=self.customer_group,
            coupons=tuple(self.coupons),
            payment_method=self.provider_account,
            prices_include_tax=self.prices_include_tax,
        )

    def fingerprint(self) -> str:
        """Name the content, so that a key used twice for different orders is noticed."""
        return ids.fingerprint(self, excluded=NOT_IN_FINGERPRINT)


def place_order(
    order: NewOrder, *, order_id: str, payment_id: str, now: datetime, rules: Rules = NONE
) -> str:
    """
    Price and store an order and, with a provider account, the payment that collects it.

    Needs an open transaction. The same idempotency key with the same content is the same order:
    its id is returned and nothing is written. Its prices, by *rules* on the day it was placed,
    are frozen with it; its coupons are used up.

    :raises errors.ValidationError: if something in it is wrong, naming the field;
    :raises errors.IdempotencyKeyReused: if the key came with other content.
    """
    group_commit.require_transaction()
    validate(order)
    # Before it is priced: what came before may have used its coupon up.
    if order.coupons and sql.rows(FIND_KEY, [order.idempotency_key]):
        return _existing_order_id(order)
    quote = quotes.create_quote(order.basket(), at=order.placed_at, rules=rules)
    buyer = {**order.buyer, **({"vat_id": order.vat_id} if order.vat_id else {})}
    row = OrderRow(
        id=order_id,
        reference=order.reference,
        currency=order.currency,
        total_minor=quote.total.amount_minor,
        tax_minor=quote.tax.amount_minor,
        buyer=json.dumps(buyer),
        metadata=json.dumps(dict(order.metadata)),
        idempotency_key=order.idempotency_key,
        fingerprint=order.fingerprint(),
        pricing_explanation=json.dumps(quotes.explain_quote(quote)),
        placed_at=fields.to_db_datetime(order.placed_at),
        created_at=fields.to_db_datetime(now),
    )
    if sql.run(INSERT_ORDER, row) == 0:
        return _existing_order_id(order)
    sql.run_many(INSERT_LINE, _line_rows(order_id, quote))
    quotes.redeem_coupons(quote)
    if order.provider_account and quote.total.amount_minor:
        charges.create_payment(
            payment_id=payment_id,
            order_id=order_id,
            provider_account=order.provider_account,
            amount=quote.total,
            tax_minor=quote.tax.amount_minor,
            payment_method_token=order.method,
            capture_method=order.capture_method,
            now=now,
        )
    return order_id


def _line_rows(order_id: str, quote: Quote) -> list[OrderLineRow]:
    return [
        OrderLineRow(
            order_id=order_id,
            position=position,
            sku=p.line.sku,
            description=p.line.description,
            quantity=p.line.quantity,
            unit_price=p.unit_price,
            tax_rate=p.tax.rate,
            tax_code=p.tax.code.value,
            net_minor=p.net_minor,
            tax_minor=p.tax_minor,
            gross_minor=p.gross_minor,
            pricing_explanation=json.dumps(quotes.explain_line(p)),
        )
        for position, p in enumerate(quote.lines, 1)
    ]


def _existing_order_id(order: NewOrder) -> str:
    [(order_id, fingerprint)] = sql.rows(FIND_KEY, [order.idempotency_key])
    if fingerprint != order.fingerprint():
        raise errors.IdempotencyKeyReused(
            f"the key of {order_id} was used again for another order", param="idempotency_key"
        )
    return str(order_id)


def create_payment(
    *,
    order_id: str,
    payment_id: str,
    provider_account: str,
    method: str,
    capture_method: CaptureMethod,
    now: datetime,
) -> None:
    """
    Open another payment for an order that nothing collects or has collected.

    Needs an open transaction.

    :raises UnknownOrder: if there is none; :raises CollectedAlready: if a payment of it stands.
    """
    fields.validate_text("method", method, METHOD_LETTERS, required=True)
    order = lock_order(order_id)
    active_payment = order.payments.exclude(status__in=_UNCOLLECTABLE).first()
    if active_payment is not None:
        raise OrderAlreadyPaid(f"{active_payment.id} collects {order_id} ({active_payment.status})")
    if not order.total_minor:
        raise OrderAlreadyPaid(f"{order_id} costs nothing")
    charges.create_payment(
        payment_id=payment_id,
        order_id=order_id,
        provider_account=provider_account,
        amount=Money(order.total_minor, order.currency),
        tax_minor=order.tax_minor,
        payment_method_token=method,
        capture_method=capture_method,
        now=now,
    )


def lock_order(order_id: str) -> Order:
    """
    Read an order and keep everybody else off it until the transaction ends.

    :raises UnknownOrder: if there is none.
    """
    group_commit.require_transaction()
    rows = Order.objects.filter(id=order_id)
    # SQLite's one writer has the whole database.
    order = (rows.select_for_update() if connection.vendor == "postgresql" else rows).first()
    if order is None:
        raise UnknownOrder(f"there is no order {order_id!r}")
    return order


def update_order(
    *,
    order_id: str,
    metadata: Mapping[str, str | None],
    buyer: Mapping[str, str] | None,
    now: datetime,
) -> None:
    """
    Change an order's *metadata* key by key (None removes one), and replace its *buyer*; {} erases.

    The audit trail tells which keys were changed, and of the buyer nothing.

    :raises UnknownOrder: if there is none; :raises errors.ValidationError: as `check` does.
    """
    order = lock_order(order_id)
    merged = {**order.metadata, **metadata}
    new_metadata = {key: value for key, value in merged.items() if value is not None}
    _check_pairs("metadata", new_metadata)
    _check_pairs("buyer", buyer or {})
    new_buyer = order.buyer if buyer is None else dict(buyer)
    Order.objects.filter(id=order_id).update(metadata=new_metadata, buyer=new_buyer)
    audit_log.record(
        action="order.describe",
        subject=order_id,
        now=now,
        before={"metadata": {key: order.metadata.get(key) for key in metadata}},
        after={"metadata": dict(metadata), "buyer_changed": new_buyer != order.buyer},
    )


def filter_by_metadata(orders: QuerySet[Order], name: str, value: str) -> QuerySet[Order]:
    """Those of *orders* whose metadata has *value* under *name*."""
    # Without the cast Django compares on SQLite with JSON, which a plain text is not.
    metadata_value = Cast(KeyTextTransform(name, "metadata"), TextField())
    return orders.annotate(found=metadata_value).filter(found=value)


def validate(order: NewOrder) -> None:
    """
    Check the texts of an order; its amounts are `pricing.calculator.price`'s to check.

    :raises errors.ValidationError: if one is too long, missing, or cannot be stored.
    """
    fields.validate_text("reference", order.reference, REFERENCE_LETTERS, required=True)
    fields.validate_text("idempotency_key", order.idempotency_key, 255, required=True)
    fields.validate_text(
        "method", order.method, METHOD_LETTERS, required=bool(order.provider_account)
    )
    for number, line in enumerate(order.lines, 1):
        fields.validate_text(f"lines[{number}].sku", line.sku, SKU_LETTERS)
        fields.validate_text(f"lines[{number}].description", line.description, TEXT_LETTERS)
    fields.validate_text("customer_group", order.customer_group, METADATA_KEY_LETTERS)
    _check_pairs("metadata", order.metadata)
    _check_pairs("buyer", order.buyer)


def _check_pairs(name: str, values: Mapping[str, str]) -> None:
    if len(values) > METADATA_KEYS_MAX:
        raise errors.ValidationError(f"at most {METADATA_KEYS_MAX} keys", param=name)
    for key, value in values.items():
        fields.validate_text(f"{name} key", key, METADATA_KEY_LETTERS, required=True)
        fields.validate_text(f"{name}.{key}", value, METADATA_LETTERS)
