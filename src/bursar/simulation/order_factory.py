"""Orders of the simulated shop: products, buyers and payment methods."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

from bursar.orders.operations import NewOrder
from bursar.payments.statuses import CaptureMethod
from bursar.pricing.baskets import Line

#: (description, SKU, price by currency); tax rate in percent by currency.
PRODUCTS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "Fountain pen",
        "pen-01",
        {"EUR": "38.50", "USD": "42.00", "GBP": "33.00", "JPY": "5800", "KWD": "12.750"},
    ),
    (
        "Notebook, dotted",
        "note-07",
        {"EUR": "9.90", "USD": "11.00", "GBP": "8.50", "JPY": "1480", "KWD": "3.250"},
    ),
    (
        "Ink, 50 ml",
        "ink-12",
        {"EUR": "14.20", "USD": "15.50", "GBP": "12.40", "JPY": "2100", "KWD": "4.500"},
    ),
    (
        "Desk lamp",
        "lamp-03",
        {"EUR": "119.00", "USD": "129.00", "GBP": "99.00", "JPY": "17800", "KWD": "39.900"},
    ),
    (
        "Writing desk",
        "desk-02",
        {"EUR": "649.00", "USD": "699.00", "GBP": "549.00", "JPY": "98000", "KWD": "215.000"},
    ),
)
TAXES = {"EUR": "19", "USD": "0", "GBP": "20", "JPY": "10", "KWD": "0"}
CURRENCIES, SHARES = ("EUR", "USD", "GBP", "JPY", "KWD"), (50, 20, 15, 10, 5)
BUYERS = (
    "Ada Byron",
    "Grace Murray",
    "Edsger D.",
    "Barbara L.",
    "Alan M.",
    "Katherine J.",
    "Tim B.",
    "Radia P.",
    "Leslie L.",
    "Frances A.",
)

#: Weights of the sandbox's payment methods, per thousand.
METHODS = {
    "tok_visa": 430,
    "tok_mastercard": 210,
    "tok_amex": 60,
    "tok_chargeDeclinedInsufficientFunds": 40,
    "tok_chargeDeclinedExpiredCard": 20,
    "tok_declined_hard": 18,
    "tok_chargeDeclinedFraudulent": 8,
    "tok_declined_soft": 14,
    "tok_requires_action": 40,
    "tok_pending": 22,
    "tok_pending_declined": 8,
    "tok_timeout_after_charge": 22,
    "tok_timeout_before": 12,
    "tok_reset_mid_response": 10,
    "tok_garbage_response": 8,
    "tok_unavailable_once": 14,
    "tok_duplicate_response": 10,
    "tok_refund_pending": 8,
    "tok_refund_fails_later": 8,
    "tok_createDispute": 6,
    "tok_dispute_lost": 6,
    "tok_dispute_won": 6,
    "tok_dispute_inquiry": 6,
    "tok_wrong_amount": 3,
    "tok_wrong_currency": 2,
    "tok_slow": 4,
}
MANUAL_SHARE = 0.12


def make_order(rng: random.Random, *, number: int, account: str, placed_at: datetime) -> NewOrder:
    """Create a random order, determined by the state of *rng* and *number*."""
    currency = rng.choices(CURRENCIES, SHARES)[0]
    chosen = rng.choices(PRODUCTS, (30, 40, 30, 9, 2), k=rng.choice((1, 1, 1, 2, 2, 3)))
    lines = [
        Line(
            sku=sku,
            description=name,
            quantity=rng.choice((1, 1, 1, 2, 3)),
            unit_price=prices[currency],
            tax_rate=TAXES[currency],
        )
        for name, sku, prices in {item[1]: item for item in chosen}.values()
    ]
    method = rng.choices(list(METHODS), list(METHODS.values()))[0]
    if method == "tok_visa" and rng.random() < MANUAL_SHARE / 0.43:
        capture = CaptureMethod.MANUAL
    else:
        capture = CaptureMethod.AUTOMATIC
    metadata: dict[str, Any] = {"channel": rng.choice(("web", "web", "app", "phone"))}
    return NewOrder(
        reference=f"W-{number:05}",
        currency=currency,
        lines=lines,
        idempotency_key=f"simulation/{number}",
        placed_at=placed_at,
        provider_account=account,
        method=method,
        capture_method=capture,
        buyer={"name": rng.choice(BUYERS)},
        metadata=metadata,
    )
