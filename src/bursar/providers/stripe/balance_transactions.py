"""
Stripe's settlement: the itemized payout reconciliation report, and balance transactions by API.

The report is `payout_reconciliation.itemized` (docs.stripe.com/reports/report-types). Its columns
are selected for each run and read by name; its amounts are in major units.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import ClassVar

from bursar import errors, money
from bursar.money import Money
from bursar.providers import http_provider
from bursar.providers.interface import Category, SettlementLine
from bursar.providers.stripe import client, currencies, schemas

#: Our category by `reporting_category` (docs.stripe.com/reports/reporting-categories).
CATEGORIES = {
    "charge": Category.CHARGE,
    "charge_failure": Category.REFUND_FAILURE,
    "refund": Category.REFUND,
    "partial_capture_reversal": Category.REFUND,
    "refund_failure": Category.REFUND_FAILURE,
    "dispute": Category.DISPUTE,
    "dispute_reversal": Category.DISPUTE_REVERSAL,
    "fee": Category.FEE,
    "tax": Category.FEE,
    "network_cost": Category.FEE,
    "payout": Category.PAYOUT,
    "payout_reversal": Category.PAYOUT_REVERSAL,
}


class StripeSettlements(client.StripeClient):
    """Settlement lines from rows of the report, or by API."""

    __slots__ = ()

    settlement_columns: ClassVar[tuple[str, ...]] = (
        "balance_transaction_id",
        "currency",
        "gross",
        "fee",
        "net",
        "reporting_category",
        "source_id",
        "payment_intent_id",
    )

    def parse_settlement_row(self, row: Mapping[str, str], /) -> SettlementLine:
        """
        Parse a row of the report. Times without a zone are UTC.

        :raises errors.ValidationError: if a value is invalid; `param` is the column.
        """
        currency = row["currency"].upper()
        if currency not in money.EXPONENTS:
            raise errors.ValidationError("is not a supported currency", param="currency")
        intent, category = row["payment_intent_id"], _category(row["reporting_category"])
        reference = row["balance_transaction_id"]
        paid = None
        customer_currency = row.get("customer_facing_currency", "").upper()
        if (
            customer_currency
            and customer_currency != currency
            and row.get("customer_facing_amount")
        ):
            paid = Money(
                _minor(row, "customer_facing_amount", customer_currency), customer_currency
            )
        return SettlementLine(
            reference=reference,
            category=category,
            source=_source(category, row["source_id"], intent) or reference,
            parent_reference=intent if category is not Category.CHARGE else "",
            currency=currency,
            gross_minor=_minor(row, "gross", currency),
            fee_minor=_minor(row, "fee", currency),
            net_minor=_minor(row, "net", currency),
            occurred_at=_occurred_at(row),
            paid=paid,
            payout=row.get("automatic_payout_id", ""),
        )

    async def list_settlement_lines(self, since: datetime, /) -> AsyncIterator[SettlementLine]:
        """Iterate over all balance transactions since then; their payout is not included."""
        after = {"created[gte]": str(int(since.timestamp()))}
        async for payload in self.pages("/v1/balance_transactions", expand="source", **after):
            transaction = http_provider.decode(
                payload, schemas.BalanceTransaction, "the balance transaction"
            )
            source = (
                transaction.source
                if isinstance(transaction.source, dict)
                else {"id": transaction.source or ""}
            )
            intent = source.get("payment_intent") or ""
            category = _category(transaction.reporting_category)
            paid = None
            if transaction.exchange_rate is not None and source.get("currency"):
                sign = -1 if transaction.amount < 0 else 1
                paid = currencies.from_stripe_amount(
                    sign * int(source["amount"]), source["currency"]
                )
            yield SettlementLine(
                reference=transaction.id,
                category=category,
                source=_source(category, source["id"], intent) or transaction.id,
                parent_reference=intent if category is not Category.CHARGE else "",
                currency=transaction.currency.upper(),
                gross_minor=currencies.from_stripe_amount(
                    transaction.amount, transaction.currency
                ).amount_minor,
                fee_minor=currencies.from_stripe_amount(
                    transaction.fee, transaction.currency
                ).amount_minor,
                net_minor=currencies.from_stripe_amount(
                    transaction.net, transaction.currency
                ).amount_minor,
                occurred_at=datetime.fromtimestamp(transaction.created, UTC),
                paid=paid,
                rate="" if transaction.exchange_rate is None else str(transaction.exchange_rate),
            )


def _source(category: Category, source: str, intent: str) -> str:
    # A charge has the reference of its payment intent; other objects have their own.
    return intent or source if category is Category.CHARGE else source


def _category(reporting_category: str) -> Category:
    return CATEGORIES.get(reporting_category, Category.OTHER)


def _minor(row: Mapping[str, str], column: str, currency: str) -> int:
    """Return a decimal in major units as minor units; raises on extra digits other than zero."""
    try:
        exact = Decimal(row[column]).scaleb(money.exponent_of(currency))
    except InvalidOperation as error:
        raise errors.ValidationError("is not an amount", param=column) from error
    if not exact.is_finite() or exact != exact.to_integral_value():
        raise errors.ValidationError(f"has more decimals than {currency}", param=column)
    return Money(int(exact), currency).amount_minor


def _occurred_at(row: Mapping[str, str]) -> datetime:
    for column in ("created_utc", "created"):
        if text := row.get(column, ""):
            try:
                at = datetime.fromisoformat(text)
            except ValueError as error:
                raise errors.ValidationError("is not a date and time", param=column) from error
            return at if at.tzinfo else at.replace(tzinfo=UTC)
    raise errors.ValidationError("is missing: select created_utc", param="created_utc")
