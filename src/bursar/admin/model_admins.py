"""
The lists: read-only, newest first, searched by index, never counted.

Every change is an action (`admin.actions`), which calls the same function as the API.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin import display
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from bursar import clock
from bursar.access import roles
from bursar.access.models import ApiKey, AuditEntry, User
from bursar.admin import filters, formatting, monitor_admins, queries, status_labels
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
    list_display = ("order", "total", "payment_status", "buyer_name", "placed")
    list_filter = (filters.CurrencyFilter,)
    search_columns = ("pk", "reference")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        """Return the orders with their payments, in two queries."""
        return super().get_queryset(request).prefetch_related("payments")  # type: ignore[no-any-return]

    @display(description="order")
    def order(self, row: Order) -> formatting.DisplayValue:
        """Return the merchant's order reference."""
        return row.reference

    @display(description="total")
    def total(self, row: Order) -> formatting.DisplayValue:
        """Return the total amount."""
        return formatting.format_money(row.total_minor, row.currency)

    @display(description="payment status")
    def payment_status(self, row: Order) -> formatting.DisplayValue:
        """Return the payment status."""
        return status_labels.order_payment_status(row)

    @display(description="buyer")
    def buyer_name(self, row: Order) -> formatting.DisplayValue:
        """Return the buyer's name."""
        return str(row.buyer.get("name", "-"))

    @display(description="placed")
    def placed(self, row: Order) -> formatting.DisplayValue:
        """Return when the order was placed."""
        return formatting.format_datetime(row.placed_at)


class PaymentAdmin(ReadOnlyModelAdmin):
    """Payments."""

    scope = roles.PAYMENTS_READ
    list_display = (
        "order_reference",
        "amount",
        "status_label",
        "net_captured",
        "account",
        "created",
    )
    list_filter = ("status", filters.CurrencyFilter)
    list_select_related = ("order",)
    search_columns = ("pk", "order__reference", "links__reference", "attempts__id")

    @display(description="order")
    def order_reference(self, row: Payment) -> formatting.DisplayValue:
        """Return the order's reference."""
        return row.order.reference

    @display(description="amount")
    def amount(self, row: Payment) -> formatting.DisplayValue:
        """Return the amount to collect."""
        return formatting.format_money(row.amount_minor, row.currency)

    @display(description="status")
    def status_label(self, row: Payment) -> formatting.DisplayValue:
        """Return the status."""
        return formatting.format_status(row.status)

    @display(description="captured, net of refunds")
    def net_captured(self, row: Payment) -> formatting.DisplayValue:
        """Return the captured amount minus refunds."""
        return formatting.format_money(row.captured_minor - row.refunded_minor, row.currency)

    @display(description="provider account")
    def account(self, row: Payment) -> formatting.DisplayValue:
        """Return the provider account."""
        return str(row.provider_account_id)

    @display(description="created")
    def created(self, row: Payment) -> formatting.DisplayValue:
        """Return when the payment was created."""
        return formatting.format_datetime(row.created_at)


class RefundAdmin(ReadOnlyModelAdmin):
    """Refunds."""

    scope = roles.REFUNDS_READ
    list_display = ("refund_id", "amount", "status_label", "reason", "created")
    list_filter = ("status", filters.CurrencyFilter)
    list_select_related = ("approval",)
    search_columns = ("pk", "payment_id")

    @display(description="refund")
    def refund_id(self, row: Refund) -> formatting.DisplayValue:
        """Return the id."""
        return str(row.pk)

    @display(description="amount")
    def amount(self, row: Refund) -> formatting.DisplayValue:
        """Return the amount."""
        return formatting.format_money(row.amount_minor, row.currency)

    @display(description="status")
    def status_label(self, row: Refund) -> formatting.DisplayValue:
        """Return the status."""
        return status_labels.refund_status(row)

    @display(description="created")
    def created(self, row: Refund) -> formatting.DisplayValue:
        """Return when the refund was created."""
        return formatting.format_datetime(row.created_at)


class RefundApprovalAdmin(ReadOnlyModelAdmin):
    """Refund approvals."""

    scope = roles.REFUNDS_READ
    list_display = ("refund_key", "amount", "requester", "status_label", "requested")
    list_select_related = ("refund",)
    list_filter = (filters.UndecidedFilter,)
    search_columns = ("refund_id",)

    @display(description="refund")
    def refund_key(self, row: RefundApproval) -> formatting.DisplayValue:
        """Return the id of the refund."""
        return str(row.refund_id)

    @display(description="requester")
    def requester(self, row: RefundApproval) -> formatting.DisplayValue:
        """Return the actor who requested the refund."""
        return row.requested_by

    @display(description="amount")
    def amount(self, row: RefundApproval) -> formatting.DisplayValue:
        """Return the amount of the refund."""
        return formatting.format_money(row.refund.amount_minor, row.refund.currency)

    @display(description="status")
    def status_label(self, row: RefundApproval) -> formatting.DisplayValue:
        """Return the status."""
        return status_labels.approval_status(row)

    @display(description="requested")
    def requested(self, row: RefundApproval) -> formatting.DisplayValue:
        """Return when the approval was requested."""
        return formatting.format_datetime(row.requested_at)


class ReviewAdmin(ReadOnlyModelAdmin):
    """Reviews."""

    scope = roles.REVIEWS_READ
    list_display = ("problem", "subject", "status_label", "opened")
    list_filter = (filters.UnresolvedFilter,)
    search_columns = ("pk", "payment_id")

    @display(description="problem")
    def problem(self, row: Review) -> formatting.DisplayValue:
        """Return the code of the review in words."""
        return formatting.format_label(row.code)

    @display(description="status")
    def status_label(self, row: Review) -> formatting.DisplayValue:
        """Return whether the review is open or resolved."""
        return formatting.format_status("open" if row.resolved_at is None else "resolved")

    @display(description="opened")
    def opened(self, row: Review) -> formatting.DisplayValue:
        """Return when the review was opened."""
        return formatting.format_datetime(row.opened_at)


class LedgerAccountAdmin(ReadOnlyModelAdmin):
    """Ledger accounts; there are few of them."""

    scope = roles.LEDGER_READ
    ordering = ("name",)
    list_display = ("name", "currency", "balance")
    search_columns = ("pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Return the accounts with their balances, summed by the database."""
        return queries.with_balances(super().get_queryset(request))

    @display(description="balance (debit positive)")
    def balance(self, row: Any) -> formatting.DisplayValue:
        """Return debits minus credits."""
        return formatting.format_money(int(row.balance_minor), row.currency)


class TransferAdmin(ReadOnlyModelAdmin):
    """Transfers."""

    scope = roles.LEDGER_READ
    list_display = ("transfer_id", "amount", "debit", "credit", "posted")
    list_filter = (filters.CurrencyFilter,)
    search_columns = ("pk", "subject")

    @display(description="transfer")
    def transfer_id(self, row: Transfer) -> formatting.DisplayValue:
        """Return the id."""
        return str(row.pk)

    @display(description="amount")
    def amount(self, row: Transfer) -> formatting.DisplayValue:
        """Return the amount."""
        return formatting.format_money(row.amount_minor, row.currency)

    @display(description="debit")
    def debit(self, row: Transfer) -> formatting.DisplayValue:
        """Return the debited account."""
        return str(row.debit_account_id)

    @display(description="credit")
    def credit(self, row: Transfer) -> formatting.DisplayValue:
        """Return the credited account."""
        return str(row.credit_account_id)

    @display(description="posting date")
    def posted(self, row: Transfer) -> formatting.DisplayValue:
        """Return the posting date."""
        return formatting.format_date(row.posting_date)


class FactAdmin(ReadOnlyModelAdmin):
    """Facts: objects of providers as reported at one time."""

    scope = roles.FACTS_READ
    list_display = ("fact_id", "kind", "reference", "status_label", "amount", "source", "received")
    list_filter = ("kind", filters.SourceFilter)
    search_columns = ("pk",)

    @display(description="fact")
    def fact_id(self, row: Fact) -> formatting.DisplayValue:
        """Return the id."""
        return str(row.pk)

    @display(description="status")
    def status_label(self, row: Fact) -> formatting.DisplayValue:
        """Return the status that the provider reported."""
        return formatting.format_status(row.status)

    @display(description="amount")
    def amount(self, row: Fact) -> formatting.DisplayValue:
        """Return the amount of the object."""
        return formatting.format_money(row.amount_minor, row.currency)

    @display(description="received")
    def received(self, row: Fact) -> formatting.DisplayValue:
        """Return when the fact was received."""
        return formatting.format_datetime(row.received_at)


class WebhookEventAdmin(ReadOnlyModelAdmin):
    """Webhook events."""

    scope = roles.FACTS_READ
    list_display = (
        "event_type",
        "provider_event_id",
        "account",
        "status_label",
        "received",
    )
    search_columns = ("pk", "event_id")

    @display(description="event ID")
    def provider_event_id(self, row: WebhookEvent) -> formatting.DisplayValue:
        """Return the provider's id of the event."""
        return row.event_id

    @display(description="status")
    def status_label(self, row: WebhookEvent) -> formatting.DisplayValue:
        """Return the status, and why an event is ignored."""
        return status_labels.webhook_event_status(row)

    @display(description="received")
    def received(self, row: WebhookEvent) -> formatting.DisplayValue:
        """Return when the event was received."""
        return formatting.format_datetime(row.received_at)

    @display(description="provider account")
    def account(self, row: WebhookEvent) -> formatting.DisplayValue:
        """Return the provider account."""
        return str(row.provider_account_id)


class JobAdmin(ReadOnlyModelAdmin):
    """Jobs."""

    scope = roles.JOBS_READ
    list_display = ("job_id", "name", "status_label", "attempts", "error", "runs_at")
    list_filter = ("state",)
    search_columns = ("pk",)

    @display(description="job")
    def job_id(self, row: Job) -> formatting.DisplayValue:
        """Return the id."""
        return str(row.pk)

    @display(description="status")
    def status_label(self, row: Job) -> formatting.DisplayValue:
        """Return the state."""
        return formatting.format_status(row.state)

    @display(description="last error")
    def error(self, row: Job) -> formatting.DisplayValue:
        """Return the last error, shortened."""
        return row.last_error[:120] or "-"

    @display(description="runs at")
    def runs_at(self, row: Job) -> formatting.DisplayValue:
        """Return the earliest time of the next run."""
        return formatting.format_datetime(row.run_at)


class PeriodicJobAdmin(ReadOnlyModelAdmin):
    """Periodic jobs."""

    scope = roles.JOBS_READ
    ordering = ("name",)
    list_display = ("name", "schedule", "status_label", "next_run", "last_start", "last_success")

    @display(description="status")
    def status_label(self, row: PeriodicJobStatus) -> formatting.DisplayValue:
        """Return how the last run ended, or that the next is overdue."""
        return formatting.format_status(scheduler.state_of(row, now=clock.now()))

    @display(description="next run")
    def next_run(self, row: PeriodicJobStatus) -> formatting.DisplayValue:
        """Return when the job runs next."""
        return formatting.format_datetime(row.next_run_at)

    @display(description="last start")
    def last_start(self, row: PeriodicJobStatus) -> formatting.DisplayValue:
        """Return when the last run started."""
        return formatting.format_datetime(row.last_started_at, empty="never")

    @display(description="last success")
    def last_success(self, row: PeriodicJobStatus) -> formatting.DisplayValue:
        """Return when a run last succeeded."""
        return formatting.format_datetime(row.last_succeeded_at, empty="never")


class ProviderAccountAdmin(ReadOnlyModelAdmin):
    """Provider accounts."""

    scope = roles.ACCOUNTS_READ
    ordering = ("name",)
    list_display = ("name", "provider", "created")

    @display(description="created")
    def created(self, row: ProviderAccount) -> formatting.DisplayValue:
        """Return when the account was added."""
        return formatting.format_datetime(row.created_at)


class UserAdmin(ReadOnlyModelAdmin):
    """Users."""

    scope = roles.USERS_READ
    list_before_template = "bursar/create_button.html"
    create_scope, create_url, create_label = (
        roles.USERS_WRITE,
        "admin:action_create_user",
        "Add user",
    )
    list_display = ("email", "name", "role", "status_label", "last_login")
    search_columns = ("email",)

    @display(description="status")
    def status_label(self, row: User) -> formatting.DisplayValue:
        """Return whether the user may sign in."""
        return status_labels.user_status(row)

    @display(description="last sign-in")
    def last_login(self, row: User) -> formatting.DisplayValue:
        """Return when the user last signed in."""
        return formatting.format_datetime(row.last_login_at, empty="Never signed in")


class ApiKeyAdmin(ReadOnlyModelAdmin):
    """API keys."""

    scope = roles.KEYS_READ
    list_before_template = "bursar/create_button.html"
    create_scope, create_url, create_label = (
        roles.KEYS_WRITE,
        "admin:action_create_api_key",
        "Create API key",
    )
    list_display = ("name", "token", "owned_by", "status_label", "last_used", "expires")
    list_select_related = ("owner",)
    search_columns = ("pk",)

    @display(description="key")
    def token(self, row: ApiKey) -> formatting.DisplayValue:
        """Return the first and last characters of the key."""
        return row.redacted_token

    @display(description="owner")
    def owned_by(self, row: ApiKey) -> formatting.DisplayValue:
        """Return the owner, whose role bounds the scopes."""
        return status_labels.api_key_owner(row)

    @display(description="status")
    def status_label(self, row: ApiKey) -> formatting.DisplayValue:
        """Return whether the key is accepted."""
        return status_labels.api_key_status(row)

    @display(description="last used")
    def last_used(self, row: ApiKey) -> formatting.DisplayValue:
        """Return when the key was last used, to within a minute."""
        return formatting.format_datetime(row.last_used_at, empty="never")

    @display(description="expires")
    def expires(self, row: ApiKey) -> formatting.DisplayValue:
        """Return when the key expires."""
        return formatting.format_datetime(row.expires_at, empty="never")


class AuditEntryAdmin(ReadOnlyModelAdmin):
    """The audit log."""

    scope = roles.AUDIT_READ
    list_display = ("time", "actor", "action_label", "subject")
    search_columns = ("subject",)

    @display(description="time")
    def time(self, row: AuditEntry) -> formatting.DisplayValue:
        """Return when the change was made."""
        return formatting.format_datetime(row.created_at)

    @display(description="action")
    def action_label(self, row: AuditEntry) -> formatting.DisplayValue:
        """Return the action in words."""
        return formatting.format_action(row.action)


class ReconciliationAdmin(ReadOnlyModelAdmin):
    """Reconciliations."""

    scope = roles.LEDGER_READ
    list_display = ("created", "account", "file", "line_count", "break_count")
    search_columns = ("pk",)

    @display(description="created")
    def created(self, row: Reconciliation) -> formatting.DisplayValue:
        """Return when the reconciliation ran."""
        return formatting.format_datetime(row.created_at)

    @display(description="provider account")
    def account(self, row: Reconciliation) -> formatting.DisplayValue:
        """Return the provider account."""
        return str(row.provider_account_id)

    @display(description="lines")
    def line_count(self, row: Reconciliation) -> formatting.DisplayValue:
        """Return the number of report lines."""
        return f"{sum(total['lines'] for total in row.totals):,}"

    @display(description="breaks")
    def break_count(self, row: Reconciliation) -> formatting.DisplayValue:
        """Return how many report lines and ledger entries do not match."""
        unmatched = (each for each in row.totals if each["match_status"] != "matched")
        count = sum(each["lines"] + each["entries"] for each in unmatched)
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
    PeriodicJobStatus: PeriodicJobAdmin,
    Reconciliation: ReconciliationAdmin,
    ProviderAccount: ProviderAccountAdmin,
    User: UserAdmin,
    ApiKey: ApiKeyAdmin,
    AuditEntry: AuditEntryAdmin,
    **monitor_admins.LISTS,
}
