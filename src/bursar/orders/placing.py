"""Placing: an order, its lines, its payment and the job that charges it, in one commit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bursar import errors, fields, groupcommit, ids, logs, sql
from bursar.payments import charging
from bursar.payments.states import CaptureMethod
from bursar.pricing import calculator

INSERT_ORDER = (
    "INSERT INTO bursar_order (id, reference, currency, total_minor, tax_minor, buyer, metadata, "
    "idempotency_key, fingerprint, placed_at, created_at) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (idempotency_key) DO NOTHING"
)
INSERT_LINE = (
    "INSERT INTO bursar_orderline (order_id, position, sku, description, quantity, unit_price, "
    "tax_rate, net_minor, tax_minor, gross_minor) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
FIND_KEY = "SELECT id, fingerprint FROM bursar_order WHERE idempotency_key = %s"

METADATA_KEYS_MAX, METADATA_KEY_LETTERS, METADATA_LETTERS = 50, 40, 500
REFERENCE_LETTERS, TEXT_LETTERS, SKU_LETTERS = 120, 300, 80
_SURROGATE = re.compile("[\ud800-\udfff]")


class KeyReused(errors.Invalid):
    """The idempotency key came before with another order."""

    code = "order_key_reused"


class CardNumber(errors.ValidationError):
    """A text holds what looks like a card number; Bursar never keeps one."""

    code = "card_number_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """
    An order to place.

    *reference* is the merchant's own name for it. With *provider_account* it is charged with
    *method*, a token of that provider; without, it waits for a payment. *placed_at* is when the
    buyer agreed.
    """

    reference: str
    currency: str
    lines: Sequence[calculator.Line]
    idempotency_key: str
    placed_at: datetime
    provider_account: str = ""
    method: str = ""
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    buyer: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Name the content, so that a key used twice for different orders is noticed."""
        lines = [(i.sku, i.description, i.quantity, i.unit_price, i.tax_rate) for i in self.lines]
        return ids.digest(
            self.reference, self.currency, lines, self.provider_account, self.method,
            self.capture_method.value, sorted(self.buyer.items()), sorted(self.metadata.items()),
        )  # fmt: skip


def place(order: NewOrder, *, order_id: str, payment_id: str, now: datetime) -> str:
    """
    Price and store an order and, with a provider account, the payment that collects it.

    Needs an open transaction. The same idempotency key with the same content is the same order:
    its id is returned and nothing is written.

    :raises errors.ValidationError: if something in it is wrong, naming the field;
    :raises KeyReused: if the key came with other content.
    """
    groupcommit.require_transaction()
    check(order)
    price = calculator.price(order.lines, currency=order.currency)
    row: list[fields.Parameter] = [
        order_id, order.reference, order.currency, price.total.amount_minor,
        price.tax.amount_minor, json.dumps(dict(order.buyer)), json.dumps(dict(order.metadata)),
        order.idempotency_key, order.fingerprint(), fields.at(order.placed_at), fields.at(now),
    ]  # fmt: skip
    if sql.run(INSERT_ORDER, row) == 0:
        return _known(order)
    sql.run_many(INSERT_LINE, _line_rows(order_id, price))
    if order.provider_account and price.total.amount_minor:
        charging.open_payment(
            payment_id=payment_id,
            order_id=order_id,
            provider_account=order.provider_account,
            amount=price.total,
            tax_minor=price.tax.amount_minor,
            method=order.method,
            capture_method=order.capture_method,
            now=now,
        )
    return order_id


def _line_rows(order_id: str, price: calculator.Price) -> list[tuple[fields.Parameter, ...]]:
    return [
        (
            order_id, position, p.line.sku, p.line.description, p.line.quantity,
            p.line.unit_price, p.line.tax_rate, p.net_minor, p.tax_minor, p.gross_minor,
        )
        for position, p in enumerate(price.lines, 1)
    ]  # fmt: skip


def _known(order: NewOrder) -> str:
    [(order_id, fingerprint)] = sql.rows(FIND_KEY, [order.idempotency_key])
    if fingerprint != order.fingerprint():
        raise KeyReused(
            f"the key of {order_id} was used again for another order", param="idempotency_key"
        )
    return str(order_id)


def check(order: NewOrder) -> None:
    """
    Check the texts of an order; its amounts are `calculator.price`'s to check.

    :raises errors.ValidationError: if one is too long, missing, or cannot be stored.
    """
    check_text("reference", order.reference, REFERENCE_LETTERS, required=True)
    check_text("idempotency_key", order.idempotency_key, 255, required=True)
    check_text("method", order.method, 120, required=bool(order.provider_account))
    for number, line in enumerate(order.lines, 1):
        check_text(f"lines[{number}].sku", line.sku, SKU_LETTERS)
        check_text(f"lines[{number}].description", line.description, TEXT_LETTERS)
    if len(order.metadata) > METADATA_KEYS_MAX:
        raise errors.ValidationError(f"at most {METADATA_KEYS_MAX} keys", param="metadata")
    for name, values in (("metadata", order.metadata), ("buyer", order.buyer)):
        for key, value in values.items():
            check_text(f"{name} key", key, METADATA_KEY_LETTERS, required=True)
            check_text(f"{name}.{key}", value, METADATA_LETTERS)


def check_text(param: str, text: str, letters_max: int, *, required: bool = False) -> None:
    """
    Check one text; *param* names it.

    :raises errors.ValidationError: if it is too long, missing, or cannot be stored;
    :raises CardNumber: if it holds what looks like one.
    """
    if len(text) > letters_max or (required and not text):
        raise errors.ValidationError(f"a text of at most {letters_max} letters", param=param)
    if "\x00" in text or (not text.isascii() and _SURROGATE.search(text)):
        raise errors.ValidationError("NUL and lone surrogates cannot be stored", param=param)
    if logs.looks_like_card_number(text):
        raise CardNumber("this looks like a card number, which is never stored", param=param)
