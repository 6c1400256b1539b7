"""Queries that several lists and pages share."""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, Model, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from bursar.ledger.models import Account, Transfer

#: Rows of a table on a page; the lists have pages of their own.
ROWS_MAX = 100


def find_keys(model: type[Model], columns: tuple[str, ...], term: str) -> list[Any]:
    """Return the keys of the rows that have exactly *term* in one of *columns*, each by its index."""
    keys: list[Any] = []
    for column in columns:
        try:
            rows = model._default_manager.filter(**{column: term}).order_by("-pk")
            keys += rows.values_list("pk", flat=True)[:ROWS_MAX]
        except (ValueError, OverflowError):
            continue  # a column of numbers, and *term* is not one
    return keys


def with_balances(accounts: QuerySet[Account]) -> QuerySet[Any]:
    """Annotate *accounts* with `balance_minor`: debits minus credits, in minor units."""

    def total(column: str) -> Any:
        sums = Transfer.objects.filter(**{column: OuterRef("pk")}).values(column)
        return Coalesce(
            Subquery(sums.annotate(total=Sum("amount_minor")).values("total")),
            Value(0),
            output_field=BigIntegerField(),
        )

    return accounts.annotate(balance_minor=total("debit_account") - total("credit_account"))
