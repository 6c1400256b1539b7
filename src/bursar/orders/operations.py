"""Place orders: the order, its lines, its payment and the charge job, in one commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import connection
from django.db.models import F, Func, QuerySet, TextField, Value

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

if TYPE_CHECKING:
    from django.db.models.sql.compiler import SQLCompiler


class OrderRow(NamedTuple):
    """Columns of bursar_order, in insert order."""

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
    """Columns of bursar_orderline, in insert order."""

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


#: Final statuses without a capture: another payment may be created for the order.
_UNCOLLECTABLE = (PaymentStatus.DECLINED, PaymentStatus.CANCELED, PaymentStatus.EXPIRED)


class OrderNotFound(errors.NotFound):
    """No order has the id or reference, or several have the reference."""

    code = "order_not_found"


class OrderAlreadyPaid(errors.Conflict):
    """The order already has a payment, or its total is zero."""

    code = "order_already_paid"


#: Fields of `NewOrder` that are not part of its fingerprint, and why. All others are.
NOT_IN_FINGERPRINT: Final = {
    "idempotency_key": "the fingerprint is looked up by it",
    "placed_at": "the API sets it to the time of the request, which differs for each retry",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """
    Content of an order to place.

    *country* (ISO 3166-1) and *vat_id* are the buyer's and determine the taxes; *vat_id* is stored
    with *buyer*. *reference* is the merchant's own number. With *provider_account* the order is
    charged by *method*, a payment method token of that provider; without, no payment is created.
    *placed_at* is when the buyer placed the order.
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
        """Return the basket to price."""
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
        """Return a digest of the content, to detect a reused key with a different order."""
        return ids.fingerprint(self, excluded=NOT_IN_FINGERPRINT)


def place_order(
    order: NewOrder, *, order_id: str, payment_id: str, now: datetime, rules: Rules = NONE
) -> str:
    """
    Price and store an order and, with a provider account, its payment. Returns the order's id.

    Needs an open transaction. For an existing idempotency key with the same content the existing
    order's id is returned and nothing is written. Prices follow *rules* on the day of *placed_at*
    and are frozen; coupons are redeemed.

    :raises errors.ValidationError: if a field is invalid;
    :raises errors.IdempotencyKeyReused: if the key was used with different content.
    """
    group_commit.require_transaction()
    validate(order)
    # Before pricing: the first request may have redeemed the coupon's last use.
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
            f"the idempotency key belongs to {order_id}, which has different content",
            param="idempotency_key",
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
    Create another payment for an order whose payments all ended without a capture.

    Needs an open transaction.

    :raises OrderNotFound: if there is no such order;
    :raises OrderAlreadyPaid: if a payment is open or captured, or the total is zero.
    """
    fields.validate_text("method", method, METHOD_LETTERS, required=True)
    order = lock_order(order_id)
    active_payment = order.payments.exclude(status__in=_UNCOLLECTABLE).first()
    if active_payment is not None:
        raise OrderAlreadyPaid(
            f"{order_id} already has payment {active_payment.id} ({active_payment.status})"
        )
    if not order.total_minor:
        raise OrderAlreadyPaid(f"the total of {order_id} is zero")
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
    Return an order, locked until the transaction ends.

    :raises OrderNotFound: if there is no such order.
    """
    group_commit.require_transaction()
    rows = Order.objects.filter(id=order_id)
    # SQLite has one writer, which locks the whole database.
    order = (rows.select_for_update() if connection.vendor == "postgresql" else rows).first()
    if order is None:
        raise OrderNotFound(f"order {order_id!r} not found")
    return order


def update_order(
    *,
    order_id: str,
    metadata: Mapping[str, str | None],
    buyer: Mapping[str, str] | None,
    now: datetime,
) -> None:
    """
    Merge *metadata* into an order's (None removes a key) and replace its *buyer* ({} erases it).

    Needs an open transaction. The audit log has the metadata before and after, but no buyer data.

    :raises OrderNotFound: if there is no such order;
    :raises errors.ValidationError: if a key or value is invalid.
    """
    order = lock_order(order_id)
    merged = {**order.metadata, **metadata}
    new_metadata = {key: value for key, value in merged.items() if value is not None}
    _check_pairs("metadata", new_metadata)
    _check_pairs("buyer", buyer or {})
    new_buyer = order.buyer if buyer is None else dict(buyer)
    Order.objects.filter(id=order_id).update(metadata=new_metadata, buyer=new_buyer)
    audit_log.record(
        action="order.update",
        subject=order_id,
        now=now,
        before={"metadata": {key: order.metadata.get(key) for key in metadata}},
        after={"metadata": dict(metadata), "buyer_changed": new_buyer != order.buyer},
    )


class _MetadataValue(Func):
    """The text of a metadata key; Django's own transform takes digits for an array index."""

    output_field = TextField()

    def __init__(self, name: str) -> None:
        super().__init__(F("metadata"), Value(name, output_field=TextField()))

    def as_sqlite(self, compiler: SQLCompiler, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        """Return the SQL of SQLite, which has no operator for a key of any name."""
        column, name, parameters = self._compile(compiler)
        return (
            f"(SELECT pair.atom FROM json_each({column}) AS pair WHERE pair.key = {name})",  # noqa: S608
            parameters,
        )

    def as_postgresql(
        self, compiler: SQLCompiler, *_: Any, **__: Any
    ) -> tuple[str, tuple[Any, ...]]:
        """Return the SQL of PostgreSQL."""
        column, name, parameters = self._compile(compiler)
        return f"({column} ->> ({name})::text)", parameters

    def _compile(self, compiler: SQLCompiler) -> tuple[str, str, tuple[Any, ...]]:
        (column, first), (name, second) = (
            compiler.compile(each) for each in self.get_source_expressions()
        )
        return column, name, (*first, *second)


def filter_by_metadata(orders: QuerySet[Order], name: str, value: str) -> QuerySet[Order]:
    """Filter *orders* by a metadata key and value."""
    return orders.annotate(metadata_value=_MetadataValue(name)).filter(metadata_value=value)


def validate(order: NewOrder) -> None:
    """
    Validate the texts of an order; `pricing.calculator.price` validates its amounts.

    :raises errors.ValidationError: if a text is too long, missing, or cannot be stored.
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
