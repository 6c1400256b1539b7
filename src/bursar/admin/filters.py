"""States of rows as words in colour, and who sees and decides what."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import BigIntegerField, Model, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse

from bursar import clock
from bursar.access.models import ApiKey, User
from bursar.admin.formatting import ActionButton, Shown, humanize, state
from bursar.decorators import Unauthenticated, current_principal
from bursar.ledger.models import Account, Transfer
from bursar.orders import queries
from bursar.orders.models import Order
from bursar.payments.models import Refund, RefundApproval
from bursar.webhooks.models import WebhookEvent

ROWS_MAX = 100


def scopes(request: HttpRequest) -> frozenset[str]:
    """What the person of a request may do."""
    person = request.user
    return person.scopes if isinstance(person, User) else frozenset()


def keys_of(model: type[Model], found_by: tuple[str, ...], term: str) -> list[Any]:
    """The keys of the rows that have exactly *term* in one of the columns, each by its index."""
    found: list[Any] = []
    for column in found_by:
        try:
            rows = model._default_manager.filter(**{column: term}).order_by("-pk")
            found += rows.values_list("pk", flat=True)[:ROWS_MAX]
        except (ValueError, OverflowError):
            continue  # a number is asked for, and this is none
    return found


class _Still(SimpleListFilter):
    """Those that still wait, by a partial index; or the others."""

    title = "state"
    parameter_name = "state"
    column = ""

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """What may be chosen."""
        return [("open", "open"), ("done", "done")]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of the choice."""
        if self.value() not in {"open", "done"}:
            return queryset
        return queryset.filter(**{f"{self.column}__isnull": self.value() == "open"})


class UnresolvedFilter(_Still):
    """Reviews that wait for an answer."""

    column = "resolved_at"


class UndecidedFilter(_Still):
    """Approvals that wait for a decision."""

    column = "decided_at"


class CurrencyFilter(SimpleListFilter):
    """By currency; which there are the ledger's few accounts tell, not the long table itself."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Every currency that was ever booked."""
        known = Account.objects.values_list("currency", flat=True).distinct().order_by("currency")
        return [(code, code) for code in known[:ROWS_MAX]]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows in that currency."""
        return queryset.filter(currency=self.value()) if self.value() else queryset


class SourceFilter(SimpleListFilter):
    """By the road on which a fact came."""

    title = "source"
    parameter_name = "source"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """The roads there are."""
        return [(road, humanize(road)) for road in ("response", "webhook", "lookup", "settlement")]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The facts of that road."""
        return queryset.filter(source=self.value()) if self.value() else queryset


def side(order: Order) -> Shown:
    """How far an order is paid."""
    return state(queries.fetch_payment_status(order).value)


def approval_state(row: RefundApproval) -> Shown:
    """Whether a refund was approved."""
    if row.decided_at is None:
        return state("waiting", "waits for a second person")
    return state(row.decision)


def refund_state(row: Refund) -> Shown:
    """A refund's state; one that waits for approval says so."""
    approval = getattr(row, "approval", None)
    if approval is not None and approval.decided_at is None:
        return approval_state(approval)
    return state(
        "refund_succeeded" if row.status == "succeeded" else row.status, humanize(row.status)
    )


def event_state(row: WebhookEvent) -> Shown:
    """Whether a provider's event was translated."""
    if row.ignored:
        return state("ignored", f"ignored, {row.ignored}")
    return state("read") if row.processed_at else state("waiting")


def person_state(row: User) -> Shown:
    """Whether somebody may sign in."""
    if not row.is_active:
        return state("inactive")
    if row.locked_until is not None and row.locked_until > clock.now():
        return state("locked")
    return state("active")


def key_owner(row: ApiKey) -> str:
    """Whose role bounds a key."""
    return row.owner.email if row.owner else "operator"


def key_state(row: ApiKey) -> Shown:
    """Whether a key works."""
    if row.revoked_at is not None:
        return state("revoked")
    if row.owner is not None and not row.owner.is_active:
        return state("inactive", "its owner is inactive")
    if row.expires_at is not None and row.expires_at <= clock.now():
        return state("expired")
    return state("active")


def with_balances(accounts: QuerySet[Account]) -> QuerySet[Any]:
    """*accounts* with `balance_minor`: their debits less their credits."""

    def total(column: str) -> Any:
        sums = Transfer.objects.filter(**{column: OuterRef("pk")}).values(column)
        return Coalesce(
            Subquery(sums.annotate(total=Sum("amount_minor")).values("total")),
            Value(0),
            output_field=BigIntegerField(),
        )

    return accounts.annotate(balance_minor=total("debit_account") - total("credit_account"))


def buttons(*wanted: tuple[bool, str, str, str, str, object]) -> list[ActionButton]:
    """Those whose condition holds and whose scope the person has: label, decision, tone, key."""
    try:
        may = current_principal().scopes
    except Unauthenticated:
        may = frozenset()
    return [
        ActionButton(label, reverse(f"admin:decide_{decision}", args=[key] if key else []), tone)
        for holds, scope, label, decision, tone, key in wanted
        if holds and scope in may
    ]
