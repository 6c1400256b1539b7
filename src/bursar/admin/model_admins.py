"""
The lists: newest first, found by index, never counted.

Nothing can be edited in a list or form of Django's: every change is a decision (`deciding`), which
calls the same function as the API.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin import display
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from bursar import clock
from bursar.access import roles
from bursar.access.models import ApiKey, AuditEntry, User
from bursar.admin import filters, formatting, monitor_admins
from bursar.admin.base import ReadOnlyModelAdmin
from bursar.ledger.models import Account, Transfer
from bursar.orders.models import Order
from bursar.payments.models import (
    Fact,
    Payment,
    ProviderAccount,
    Refund,
    RefundApproval,
    Review,
)
from bursar.queue import scheduler
from bursar.queue.models import Job, PeriodicJobStatus
from bursar.reconciliation.models import Reconciliation
from bursar.webhooks.models import WebhookEvent


class OrderAdmin(ReadOnlyModelAdmin):
    """Orders."""

    scope = roles.ORDERS_READ
    list_display = ("number", "total", "paid", "buyer_name", "placed")
    list_filter = (filters.CurrencyFilter,)
    found_by = ("pk", "reference")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        """With their payments, in one query more however many there are."""
        return super().get_queryset(request).prefetch_related("payments")  # type: ignore[no-any-return]

    @display(description="order")
    def number(self, row: Order) -> formatting.Shown:
        """The merchant's own reference."""
        return row.reference

    @display(description="total")
    def total(self, row: Order) -> formatting.Shown:
        """What it costs."""
        return formatting.money(row.total_minor, row.currency)

    @display(description="payment")
    def paid(self, row: Order) -> formatting.Shown:
        """How far it is paid."""
        return filters.side(row)

    @display(description="buyer")
    def buyer_name(self, row: Order) -> formatting.Shown:
        """Who bought."""
        return str(row.buyer.get("name", "-"))

    @display(description="placed")
    def placed(self, row: Order) -> formatting.Shown:
        """When."""
        return formatting.format_datetime(row.placed_at)


class PaymentAdmin(ReadOnlyModelAdmin):
    """Payments."""

    scope = roles.PAYMENTS_READ
    list_display = ("reference", "amount", "shown_status", "kept", "account", "opened")
    list_filter = ("status", filters.CurrencyFilter)
    list_select_related = ("order",)
    found_by = ("pk", "order__reference", "links__reference", "attempts__id")

    @display(description="order")
    def reference(self, row: Payment) -> formatting.Shown:
        """The order's reference."""
        return row.order.reference

    @display(description="asked")
    def amount(self, row: Payment) -> formatting.Shown:
        """What is to be collected."""
        return formatting.money(row.amount_minor, row.currency)

    @display(description="state")
    def shown_status(self, row: Payment) -> formatting.Shown:
        """What became of it."""
        return formatting.state(row.status)

    @display(description="collected, less refunds")
    def kept(self, row: Payment) -> formatting.Shown:
        """What is left."""
        return formatting.money(row.captured_minor - row.refunded_minor, row.currency)

    @display(description="at")
    def account(self, row: Payment) -> formatting.Shown:
        """At which provider account."""
        return str(row.provider_account_id)

    @display(description="opened")
    def opened(self, row: Payment) -> formatting.Shown:
        """When."""
        return formatting.format_datetime(row.created_at)


class RefundAdmin(ReadOnlyModelAdmin):
    """Refunds."""

    scope = roles.REFUNDS_READ
    list_display = ("pk", "amount", "shown_status", "reason", "decided")
    list_filter = ("status", filters.CurrencyFilter)
    list_select_related = ("approval",)
    found_by = ("pk", "payment_id")

    @display(description="amount")
    def amount(self, row: Refund) -> formatting.Shown:
        """What goes back."""
        return formatting.money(row.amount_minor, row.currency)

    @display(description="state")
    def shown_status(self, row: Refund) -> formatting.Shown:
        """What became of it."""
        return filters.refund_state(row)

    @display(description="decided")
    def decided(self, row: Refund) -> formatting.Shown:
        """When."""
        return formatting.format_datetime(row.created_at)


class RefundApprovalAdmin(ReadOnlyModelAdmin):
    """Refunds that a second person has to approve."""

    scope = roles.REFUNDS_READ
    list_display = ("refund_id", "amount", "requested_by", "shown_state", "asked")
    list_select_related = ("refund",)
    list_filter = (filters.UndecidedFilter,)
    found_by = ("refund_id",)

    @display(description="amount")
    def amount(self, row: RefundApproval) -> formatting.Shown:
        """What goes back."""
        return formatting.money(row.refund.amount_minor, row.refund.currency)

    @display(description="state")
    def shown_state(self, row: RefundApproval) -> formatting.Shown:
        """Whether it was decided."""
        return filters.approval_state(row)

    @display(description="asked")
    def asked(self, row: RefundApproval) -> formatting.Shown:
        """When."""
        return formatting.format_datetime(row.requested_at)


class ReviewAdmin(ReadOnlyModelAdmin):
    """Reviews."""

    scope = roles.REVIEWS_READ
    list_display = ("question", "subject", "shown_state", "opened")
    list_filter = (filters.UnresolvedFilter,)
    found_by = ("pk", "payment_id")

    @display(description="question")
    def question(self, row: Review) -> formatting.Shown:
        """What is asked."""
        return formatting.humanize(row.code)

    @display(description="state")
    def shown_state(self, row: Review) -> formatting.Shown:
        """Open or resolved."""
        return formatting.state("open") if row.resolved_at is None else formatting.state("resolved")

    @display(description="opened")
    def opened(self, row: Review) -> formatting.Shown:
        """When."""
        return formatting.format_datetime(row.opened_at)


class LedgerAccountAdmin(ReadOnlyModelAdmin):
    """Ledger accounts; there are few, and a page shows a balance."""

    scope = roles.LEDGER_READ
    ordering = ("name",)
    list_display = ("name", "currency", "balance")
    found_by = ("pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """With their balances, added up by the database."""
        return filters.with_balances(super().get_queryset(request))

    @display(description="balance (debit positive)")
    def balance(self, row: Any) -> formatting.Shown:
        """What its transfers add up to."""
        return formatting.money(int(row.balance_minor), row.currency)


class TransferAdmin(ReadOnlyModelAdmin):
    """Transfers."""

    scope = roles.LEDGER_READ
    list_display = ("pk", "amount", "debit_account_id", "credit_account_id", "posting_date")
    list_filter = (filters.CurrencyFilter,)
    found_by = ("pk", "subject")

    @display(description="amount")
    def amount(self, row: Transfer) -> formatting.Shown:
        """How much."""
        return formatting.money(row.amount_minor, row.currency)


class FactAdmin(ReadOnlyModelAdmin):
    """Facts: what providers told us."""

    scope = roles.FACTS_READ
    list_display = ("pk", "kind", "reference", "shown_status", "amount", "source", "received")
    list_filter = ("kind", filters.SourceFilter)
    found_by = ("pk",)

    @display(description="state")
    def shown_status(self, row: Fact) -> formatting.Shown:
        """As the provider had it."""
        return formatting.state(row.status)

    @display(description="amount")
    def amount(self, row: Fact) -> formatting.Shown:
        """Of the object."""
        return formatting.money(row.amount_minor, row.currency)

    @display(description="received")
    def received(self, row: Fact) -> formatting.Shown:
        """When."""
        return formatting.format_datetime(row.received_at)


class WebhookEventAdmin(ReadOnlyModelAdmin):
    """Events of the inbox."""

    scope = roles.FACTS_READ
    list_display = ("event_type", "event_id", "provider_account_id", "received", "processed")
    found_by = ("pk", "event_id")

    @display(description="received")
    def received(self, row: WebhookEvent) -> formatting.Shown:
        """When it came."""
        return formatting.format_datetime(row.received_at)

    @display(description="read")
    def processed(self, row: WebhookEvent) -> formatting.Shown:
        """When it was translated, or why it is not."""
        is_read = row.processed_at is not None and not row.ignored
        return formatting.format_datetime(row.processed_at) if is_read else filters.event_state(row)


class JobAdmin(ReadOnlyModelAdmin):
    """Jobs, and the dead letters among them."""

    scope = roles.JOBS_READ
    list_display = ("pk", "name", "shown_state", "attempts", "why", "due")
    list_filter = ("state",)
    found_by = ("pk",)

    @display(description="state")
    def shown_state(self, row: Job) -> formatting.Shown:
        """Where it stands."""
        return formatting.state(row.state)

    @display(description="last error")
    def why(self, row: Job) -> formatting.Shown:
        """Why it is not done."""
        return row.last_error[:120] or "-"

    @display(description="due")
    def due(self, row: Job) -> formatting.Shown:
        """When it may run."""
        return formatting.format_datetime(row.run_at)


class PeriodicJobs(ReadOnlyModelAdmin):
    """Periodic jobs: when each runs next, and how its last run ended."""

    scope = roles.JOBS_READ
    ordering = ("name",)
    list_display = ("name", "schedule", "shown_state", "next_run", "last_start", "last_success")

    @display(description="state")
    def shown_state(self, row: PeriodicJobStatus) -> formatting.Shown:
        """How the last run ended, or that the next is overdue."""
        return formatting.state(scheduler.state_of(row, now=clock.now()))

    @display(description="next run")
    def next_run(self, row: PeriodicJobStatus) -> formatting.Shown:
        """When it runs next."""
        return formatting.format_datetime(row.next_run_at)

    @display(description="last start")
    def last_start(self, row: PeriodicJobStatus) -> formatting.Shown:
        """When the last run began."""
        return formatting.format_datetime(row.last_started_at)

    @display(description="last success")
    def last_success(self, row: PeriodicJobStatus) -> formatting.Shown:
        """When a run last succeeded."""
        return formatting.format_datetime(row.last_succeeded_at)


class ProviderAccountAdmin(ReadOnlyModelAdmin):
    """Provider accounts."""

    scope = roles.ACCOUNTS_READ
    ordering = ("name",)
    list_display = ("name", "provider", "added")

    @display(description="added")
    def added(self, row: ProviderAccount) -> formatting.Shown:
        """When."""
        return formatting.format_datetime(row.created_at)


class UserAdmin(ReadOnlyModelAdmin):
    """People."""

    scope = roles.PEOPLE_READ
    list_before_template = "bursar/new.html"
    new_scope, new_url, new_label = roles.PEOPLE_WRITE, "admin:decide_add_person", "Add a person"
    list_display = ("email", "name", "role", "shown_state", "signed_in")
    found_by = ("email",)

    @display(description="state")
    def shown_state(self, row: User) -> formatting.Shown:
        """Whether they may sign in."""
        return filters.person_state(row)

    @display(description="signed in")
    def signed_in(self, row: User) -> formatting.Shown:
        """When last."""
        return formatting.format_datetime(row.signed_in_at)


class ApiKeyAdmin(ReadOnlyModelAdmin):
    """API keys."""

    scope = roles.KEYS_READ
    list_before_template = "bursar/new.html"
    new_scope, new_url, new_label = roles.KEYS_WRITE, "admin:decide_key", "New API key"
    list_display = ("name", "hint", "owned_by", "shown_state", "used", "ends")
    list_select_related = ("owner",)
    found_by = ("pk",)

    @display(description="owner")
    def owned_by(self, row: ApiKey) -> formatting.Shown:
        """Whose role bounds it."""
        return filters.key_owner(row)

    @display(description="state")
    def shown_state(self, row: ApiKey) -> formatting.Shown:
        """Whether it works."""
        return filters.key_state(row)

    @display(description="last used")
    def used(self, row: ApiKey) -> formatting.Shown:
        """When last, to the minute."""
        return formatting.format_datetime(row.last_used_at)

    @display(description="ends")
    def ends(self, row: ApiKey) -> formatting.Shown:
        """When it stops working."""
        return formatting.format_datetime(row.expires_at)


class AuditEntryAdmin(ReadOnlyModelAdmin):
    """The audit trail."""

    scope = roles.AUDIT_READ
    list_display = ("when", "actor", "what", "subject")
    found_by = ("subject",)

    @display(description="at")
    def when(self, row: AuditEntry) -> formatting.Shown:
        """When."""
        return formatting.format_datetime(row.at)

    @display(description="did")
    def what(self, row: AuditEntry) -> formatting.Shown:
        """What."""
        return row.action.replace(".", " ").replace("_", " ")


class ReconciliationAdmin(ReadOnlyModelAdmin):
    """Runs of reconciliation."""

    scope = roles.LEDGER_READ
    list_display = ("when", "account", "file", "lines", "open")
    found_by = ("pk",)

    @display(description="run")
    def when(self, row: Reconciliation) -> formatting.Shown:
        """When."""
        return formatting.format_datetime(row.created_at)

    @display(description="at")
    def account(self, row: Reconciliation) -> formatting.Shown:
        """Whose report."""
        return str(row.provider_account_id)

    @display(description="lines")
    def lines(self, row: Reconciliation) -> formatting.Shown:
        """How many lines were looked at."""
        return f"{sum(total['lines'] for total in row.totals):,}"

    @display(description="does not match")
    def open(self, row: Reconciliation) -> formatting.Shown:
        """How many lines and entries of ours do not match."""
        broken = (each for each in row.totals if each["match_status"] != "matched")
        count = sum(each["lines"] + each["entries"] for each in broken)
        return f"{count:,}" if count else "-"


LISTS: dict[type[Model], type[ReadOnlyModelAdmin]] = {
    Order: OrderAdmin,
    Payment: PaymentAdmin,
    Refund: RefundAdmin,
    RefundApproval: RefundApprovalAdmin,
    Review: ReviewAdmin,
    Account: LedgerAccountAdmin,
    Transfer: TransferAdmin,
    Fact: FactAdmin,
    WebhookEvent: WebhookEventAdmin,
    Job: JobAdmin,
    PeriodicJobStatus: PeriodicJobs,
    Reconciliation: ReconciliationAdmin,
    ProviderAccount: ProviderAccountAdmin,
    User: UserAdmin,
    ApiKey: ApiKeyAdmin,
    AuditEntry: AuditEntryAdmin,
    **monitor_admins.LISTS,
}
