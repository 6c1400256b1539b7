"""List filters: each is answered by an index or a partial index, however long the table is."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet

from bursar.admin.formatting import humanize
from bursar.admin.queries import ROWS_MAX
from bursar.ledger.models import Account


class _OpenFilter(SimpleListFilter):
    """Base of filters by an empty or filled timestamp *column*; the empty ones have a partial index."""

    title = "status"
    parameter_name = "state"
    column = ""
    done = ""

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("open", "Open"), ("done", self.done)]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the selected choice, or all."""
        if self.value() not in {"open", "done"}:
            return queryset
        return queryset.filter(**{f"{self.column}__isnull": self.value() == "open"})


class UnresolvedFilter(_OpenFilter):
    """Reviews by whether they are resolved."""

    column = "resolved_at"
    done = "Resolved"


class UndecidedFilter(_OpenFilter):
    """Approvals by whether they are decided."""

    column = "decided_at"
    done = "Decided"


class CurrencyFilter(SimpleListFilter):
    """Rows by currency. The choices come from the few ledger accounts, not from the long table."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Return every currency that has a ledger account."""
        currencies = Account.objects.values_list("currency", flat=True).distinct()
        return [(code, code) for code in currencies.order_by("currency")[:ROWS_MAX]]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows in the selected currency, or all."""
        return queryset.filter(currency=self.value()) if self.value() else queryset


class SourceFilter(SimpleListFilter):
    """Facts by their source: API response, webhook, status check or settlement report."""

    title = "source"
    parameter_name = "source"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Return the sources."""
        return [
            (source, humanize(source)) for source in ("response", "webhook", "lookup", "settlement")
        ]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the facts of the selected source, or all."""
        return queryset.filter(source=self.value()) if self.value() else queryset
