"""The JSON objects of the stand-in, with every field that Stripe's published schemas require."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def intent(**told: Any) -> Json:
    return {
        "object": "payment_intent",
        "amount_capturable": 0,
        "amount_received": 0,
        "confirmation_method": "automatic",
        "livemode": False,
        "payment_method_types": ["card"],
        "latest_charge": None,
        "last_payment_error": None,
        "next_action": None,
        "cancellation_reason": None,
        "canceled_at": None,
        "payment_method": None,
        "client_secret": f"{told['id']}_secret_x",
        "metadata": {},
        **told,
    }


def charge(**told: Any) -> Json:
    address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    billing = {"address": address, "email": None, "name": None, "phone": None, "tax_id": None}
    return {
        "object": "charge",
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": billing,
        "captured": False,
        "disputed": False,
        "livemode": False,
        "metadata": {},
        "paid": True,
        "refunded": False,
        "balance_transaction": None,
        "failure_code": None,
        **told,
    }


def refund(**told: Any) -> Json:
    return {
        "object": "refund",
        "metadata": {},
        "reason": None,
        "balance_transaction": None,
        "charge": None,
        "payment_intent": None,
        **told,
    }


_EVIDENCE = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure "
    "cancellation_rebuttal customer_communication customer_email_address customer_name "
    "customer_purchase_ip customer_signature duplicate_charge_documentation "
    "duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy "
    "refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation "
    "shipping_tracking_number uncategorized_file uncategorized_text"
).split()


def dispute(**told: Any) -> Json:
    details = {
        "due_by": told["created"] + 7 * 86_400,
        "has_evidence": False,
        "past_due": False,
        "submission_count": 0,
    }
    return {
        "object": "dispute",
        "balance_transactions": [],
        "evidence": dict.fromkeys(_EVIDENCE),
        "evidence_details": details,
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "reason": "fraudulent",
        **told,
    }


def move(**told: Any) -> Json:
    """A balance transaction."""
    fees = [
        {
            "amount": told["fee"],
            "application": None,
            "currency": told["currency"],
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return {
        "object": "balance_transaction",
        "description": None,
        "exchange_rate": None,
        "fee_details": fees if told["fee"] else [],
        "status": "available",
        "net": told["amount"] - told["fee"],
        "available_on": told["created"] + 2 * 86_400,
        **told,
    }


def payout(**told: Any) -> Json:
    return {
        "object": "payout",
        "arrival_date": told["created"] + 86_400,
        "automatic": True,
        "livemode": False,
        "method": "standard",
        "reconciliation_status": "completed",
        "source_type": "card",
        "type": "bank_account",
        "failure_code": None,
        "metadata": {},
        "balance_transaction": None,
        "destination": None,
        "description": None,
        "failure_balance_transaction": None,
        "failure_message": None,
        "original_payout": None,
        "reversed_by": None,
        "statement_descriptor": None,
        "trace_id": None,
        **told,
    }


def session(**told: Any) -> Json:
    return {
        "object": "checkout.session",
        "automatic_tax": {"enabled": False, "status": None},
        "custom_fields": [],
        "custom_text": {"shipping_address": None, "submit": None},
        "expires_at": told["created"] + 86_400,
        "livemode": False,
        "mode": "payment",
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "shipping_options": [],
        "payment_intent": None,
        "status": "open",
        "metadata": {},
        **told,
    }


def event(**told: Any) -> Json:
    return {
        "object": "event",
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        **told,
    }


def page(url: str, data: list[Json], *, has_more: bool) -> Json:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def error(kind: str, code: str, **told: Any) -> Json:
    return {"error": {"type": kind, "code": code, "message": f"stand-in: {code}", **told}}
