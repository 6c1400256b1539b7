"""The stand-in's itemised payout report, in the columns of Stripe's own."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

from bursar import money
from bursar.providers.stripe import currencies
from tests.stripe.shapes import Json
from tests.stripe.simulator import StripeSimulator

COLUMNS = (
    "automatic_payout_id",
    "automatic_payout_effective_at_utc",
    "balance_transaction_id",
    "created_utc",
    "available_on_utc",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
    "customer_facing_amount",
    "customer_facing_currency",
    "charge_id",
    "payment_intent_id",
)

Row = dict[str, str]


def rows(book: StripeSimulator) -> list[Row]:
    """Every movement that a payout has paid out, and the payout itself."""
    made = []
    for move in book.moves:
        payout = book.paid_out.get(move["id"])
        if payout is not None:
            made.append(_row(book, move, payout))
    return made


def _row(book: StripeSimulator, move: Json, payout: str) -> Row:
    source = book.objects[move["source"]]
    charge = (
        source if source["object"] == "charge" else book.objects.get(source.get("charge") or "", {})
    )
    facing = source["currency"] != move["currency"]
    size = (source.get("amount_captured") or source["amount"]) * (-1 if move["amount"] < 0 else 1)
    return {
        "automatic_payout_id": payout,
        "automatic_payout_effective_at_utc": _time(book.objects[payout]["arrival_date"]),
        "balance_transaction_id": move["id"],
        "created_utc": _time(move["created"]),
        "available_on_utc": _time(move["available_on"]),
        "currency": move["currency"],
        "gross": _major(move["amount"], move["currency"]),
        "fee": _major(move["fee"], move["currency"]),
        "net": _major(move["net"], move["currency"]),
        "reporting_category": move["reporting_category"],
        "source_id": move["source"],
        "description": "",
        "customer_facing_amount": _major(size, source["currency"]) if facing else "",
        "customer_facing_currency": source["currency"] if facing else "",
        "charge_id": charge.get("id", ""),
        "payment_intent_id": charge.get("payment_intent") or "",
    }


def write(found: list[Row], columns: tuple[str, ...] = COLUMNS) -> str:
    """The report's text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def _major(amount: int, currency: str) -> str:
    told = currencies.from_stripe_amount(amount, currency)
    return f"{told.amount:.{money.exponent_of(told.currency)}f}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
