"""Example objects for the OpenAPI description: one order of two books, its payment and its refund."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

ORDER_ID: Final = "ord_06f1x3kq8tq9x2d4y7v0m5w1zc"
PAYMENT_ID: Final = "pay_06f1x3kq8tq9x2d4y7v0m5w1zd"
ATTEMPT_ID: Final = "att_06f1x3kq8tq9x2d4y7v0m5w1ze"
REFUND_ID: Final = "re_06f1x3n4ctq9x2d4y7v0m5w1zf"
REVIEW_ID: Final = "rev_06f1x3n4ctq9x2d4y7v0m5w1zg"
_CREATED_AT: Final = "2026-12-01T14:05:00Z"
_CHARGED_AT: Final = "2026-12-01T14:05:01Z"
_REFUNDED_AT: Final = "2026-12-03T09:30:00Z"
_RESOLVED_AT: Final = "2026-12-03T10:12:00Z"


def _eur(amount: int) -> Json:
    return {"amount": amount, "currency": "EUR"}


LINE_CREATE: Final[Json] = {
    "sku": "book-17",
    "description": "A book",
    "quantity": 2,
    "unit_price": "4.20",
    "tax_rate": "19",
}
PAYMENT_INPUT: Final[Json] = {"provider_account": "europe", "payment_method_token": "tok_visa"}
QUOTE_CREATE: Final[Json] = {"currency": "EUR", "lines": [LINE_CREATE], "country": "DE"}
ORDER_CREATE: Final[Json] = {
    "reference": "web-1001",
    "currency": "EUR",
    "lines": [LINE_CREATE],
    "payment": PAYMENT_INPUT,
    "metadata": {"basket": "b-77"},
}
ORDER_UPDATE: Final[Json] = {"metadata": {"basket": None, "campaign": "spring"}}
PAYMENT_CREATE: Final[Json] = {"order": ORDER_ID, **PAYMENT_INPUT}
CAPTURE_CREATE: Final[Json] = {"amount": _eur(500)}
REFUND_CREATE: Final[Json] = {
    "lines": [{"position": 1, "quantity": 1}],
    "reason": "returned by the customer",
}
REVIEW_RESOLVE: Final[Json] = {"resolution": "confirmed with the provider; no action needed"}

QUOTE: Final[Json] = {
    "object": "quote",
    "currency": "EUR",
    "total": _eur(1000),
    "net": _eur(840),
    "tax": _eur(160),
    "discount": _eur(0),
    "rounding": _eur(0),
    "rounding_mode": "line",
    "half_rounding": "half_even",
    "rules": "",
    "coupons": [],
    "taxes": [
        {
            "code": "S",
            "rate": "19",
            "reason": "",
            "base": _eur(840),
            "tax": _eur(160),
            "components": [],
        }
    ],
    "lines": [
        {
            "position": 1,
            "kind": "item",
            "sku": "book-17",
            "description": "A book",
            "quantity": 2,
            "unit_price": "4.20",
            "price_includes_tax": False,
            "list_price": _eur(840),
            "discounts": [],
            "tax_code": "S",
            "tax_rate": "19",
            "net": _eur(840),
            "tax": _eur(160),
            "gross": _eur(1000),
        }
    ],
}
ORDER: Final[Json] = {
    "id": ORDER_ID,
    "object": "order",
    "reference": "web-1001",
    "payment_status": "partially_refunded",
    "total": _eur(1000),
    "tax": _eur(160),
    "lines": [
        {
            "position": 1,
            "sku": "book-17",
            "description": "A book",
            "quantity": 2,
            "unit_price": "4.20",
            "tax_rate": "19",
            "tax_code": "S",
            "net": _eur(840),
            "tax": _eur(160),
            "gross": _eur(1000),
            "pricing_explanation": {},
        }
    ],
    "pricing_explanation": {},
    "buyer": {},
    "metadata": {"basket": "b-77"},
    "payments": [PAYMENT_ID],
    "placed_at": _CREATED_AT,
    "created_at": _CREATED_AT,
}
PAYMENT: Final[Json] = {
    "id": PAYMENT_ID,
    "object": "payment",
    "order": ORDER_ID,
    "provider_account": "europe",
    "status": "partially_refunded",
    "capture_method": "automatic",
    "amount": _eur(1000),
    "tax": _eur(160),
    "authorized": _eur(0),
    "captured": _eur(1000),
    "refunded": _eur(500),
    "pending_refund": _eur(0),
    "disputed": _eur(0),
    "refundable_amount": _eur(500),
    "decline": None,
    "redirect_url": "",
    "refunds": [REFUND_ID],
    "attempts": [ATTEMPT_ID, f"{REFUND_ID}.1"],
    "created_at": _CREATED_AT,
    "updated_at": _REFUNDED_AT,
    "expires_at": None,
}
REFUND: Final[Json] = {
    "id": REFUND_ID,
    "object": "refund",
    "payment": PAYMENT_ID,
    "status": "succeeded",
    "approval": "not_required",
    "amount": _eur(500),
    "tax": _eur(80),
    "reason": "returned by the customer",
    "lines": [{"position": 1, "quantity": 1, "amount": _eur(500), "tax": _eur(80)}],
    "created_at": _REFUNDED_AT,
}
REVIEW: Final[Json] = {
    "id": REVIEW_ID,
    "object": "review",
    "code": "over_captured",
    "subject": PAYMENT_ID,
    "payment": PAYMENT_ID,
    "detail": {"asked": "10.00 EUR", "got": "12.00 EUR"},
    "opened_at": _REFUNDED_AT,
    "resolved_at": _RESOLVED_AT,
    "resolution": "confirmed with the provider; no action needed",
    "resolved_by": "fin@example.com",
}
PROVIDER_ACCOUNT: Final[Json] = {
    "name": "europe",
    "object": "provider_account",
    "provider": "example_psp",
    "capabilities": ["capture", "void"],
    "webhook_url": "/hooks/europe",
    "created_at": _CREATED_AT,
}
FACT: Final[Json] = {
    "id": "fct_17",
    "object": "fact",
    "provider_account": "europe",
    "kind": "charge",
    "reference": "ch_8801",
    "status": "captured",
    "amount": _eur(1000),
    "source": "webhook",
    "payment": PAYMENT_ID,
    "failure_code": "",
    "occurred_at": _CHARGED_AT,
    "received_at": _CHARGED_AT,
}
