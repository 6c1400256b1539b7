"""Detail pages of ledger accounts, transfers, facts, webhook events, jobs and provider accounts."""

from __future__ import annotations

from django.db.models import QuerySet

from bursar import clock
from bursar.access import roles
from bursar.admin.formatting import (
    DetailPage,
    DetailTable,
    DisplayValue,
    format_date,
    format_datetime,
    format_label,
    format_money,
    format_status,
    humanize,
    link_to,
)
from bursar.admin.permissions import permitted_buttons
from bursar.admin.queries import ROWS_MAX, with_balances
from bursar.admin.status_labels import webhook_event_status
from bursar.ledger.models import Account, Transfer
from bursar.payments.models import Fact, ProviderAccount, RawBody
from bursar.providers import capabilities, registry
from bursar.queue import scheduler
from bursar.queue.models import Job, PeriodicJobStatus
from bursar.webhooks.models import WebhookEvent


def account(row: Account) -> DetailPage:
    """Build the page of a ledger account: its balance and latest transfers."""
    [summed] = with_balances(Account.objects.filter(pk=row.pk))
    rows = _transfers(Transfer.objects.filter(debit_account=row), row)
    rows += _transfers(Transfer.objects.filter(credit_account=row), row)
    rows.sort(key=lambda each: -each[0])
    return DetailPage(
        title=row.name,
        details=[
            ("Balance (debit positive)", format_money(int(summed.balance_minor), row.currency)),
            ("Currency", row.currency),
        ],
        tables=[
            DetailTable(
                "Latest transfers",
                ["Date", "Subject", "Counter account", "Debit", "Credit"],
                [each[1] for each in rows[:ROWS_MAX]],
                "No transfers.",
                numeric=("Debit", "Credit"),
            )
        ],
    )


def _transfers(
    transfers: QuerySet[Transfer], account: Account
) -> list[tuple[int, tuple[DisplayValue, ...]]]:
    rows: list[tuple[int, tuple[DisplayValue, ...]]] = []
    for transfer in transfers.order_by("-pk")[:ROWS_MAX]:
        amount = format_money(transfer.amount_minor, transfer.currency)
        debit = transfer.debit_account_id == account.pk
        other = transfer.credit_account_id if debit else transfer.debit_account_id
        subject: DisplayValue = transfer.subject
        if subject.startswith("pay_"):
            subject = link_to("payment", subject)
        sides = (amount, "") if debit else ("", amount)
        cells = (format_date(transfer.posting_date), subject, link_to("account", other), *sides)
        rows.append((transfer.pk, cells))
    return rows


def transfer(row: Transfer) -> DetailPage:
    """Build the page of a transfer."""
    return DetailPage(
        title=f"Transfer {row.pk}",
        details=[
            ("Amount", format_money(row.amount_minor, row.currency)),
            ("Debit", link_to("account", row.debit_account_id)),
            ("Credit", link_to("account", row.credit_account_id)),
            (
                "Subject",
                link_to("payment", row.subject) if row.subject.startswith("pay_") else row.subject,
            ),
            ("Posting date", format_date(row.posting_date)),
            ("Created", format_datetime(row.created_at)),
        ],
    )


def fact(row: Fact) -> DetailPage:
    """Build the page of a fact: an object of a provider at one time."""
    texts = [
        (format_label(name), str(getattr(row, name)))
        for name in (
            "kind",
            "reference",
            "key",
            "parent_reference",
            "failure_code",
            "provider_version",
            "source",
        )
        if getattr(row, name) not in {"", 0}
    ]
    amounts = [
        (
            format_label(name.removesuffix("_minor")),
            format_money(getattr(row, name), row.currency),
        )
        for name in ("amount_minor", "captured_minor", "refunded_minor", "withdrawn_minor")
    ]
    return DetailPage(
        title=f"{row.kind.capitalize()} {row.reference}",
        status=format_status(row.status),
        details=[
            *texts,
            *amounts,
            ("Occurred", format_datetime(row.occurred_at)),
            ("Received", format_datetime(row.received_at)),
        ],
    )


def webhook_event(row: WebhookEvent) -> DetailPage:
    """Build the page of a webhook event."""
    is_body_stored = RawBody.objects.filter(id=row.raw).exists()
    return DetailPage(
        title=row.event_type,
        status=webhook_event_status(row),
        reason=f"Not processed: {row.ignored}." if row.ignored else "",
        details=[
            ("Event ID", row.event_id),
            ("Provider account", link_to("provideraccount", row.provider_account_id)),
            ("Received", format_datetime(row.received_at)),
            ("Processed", format_datetime(row.processed_at)),
            ("Body", "stored" if is_body_stored else "pruned"),
        ],
    )


def job(row: Job) -> DetailPage:
    """Build the page of a job: payload, attempts and last error."""
    dead = row.state == "dead"
    return DetailPage(
        title=f"Job {row.pk}: {humanize(row.name)}",
        status=format_status(row.state),
        reason=row.last_error,
        details=[
            *(
                (
                    format_label(key),
                    link_to("payment", value) if key == "payment_id" else str(value),
                )
                for key, value in row.payload.items()
            ),
            ("Attempts", str(row.attempts)),
            ("Runs at", format_datetime(row.run_at)),
            ("Enqueued", format_datetime(row.created_at)),
        ],
        buttons=permitted_buttons(
            (dead, roles.JOBS_WRITE, "Retry", "retry_job", "primary", row.pk)
        ),
    )


def periodic_job(row: PeriodicJobStatus) -> DetailPage:
    """Build the page of a periodic job: schedule, last run, and its jobs in the queue."""
    queued = Job.objects.filter(name=row.name).order_by("-pk")[:ROWS_MAX]
    return DetailPage(
        title=f"Periodic job: {humanize(row.name)}",
        status=format_status(scheduler.state_of(row, now=clock.now())),
        reason=row.last_error,
        details=[
            ("Schedule", row.schedule),
            ("Next run", format_datetime(row.next_run_at)),
            ("Last start", format_datetime(row.last_started_at)),
            ("Last end", format_datetime(row.last_finished_at)),
            ("Last success", format_datetime(row.last_succeeded_at)),
            ("First scheduled", format_datetime(row.created_at)),
        ],
        tables=[
            DetailTable(
                "Jobs in the queue",
                ["Job", "Status", "Attempts", "Last error", "Runs at"],
                [
                    (
                        link_to("job", each.pk),
                        format_status(each.state),
                        str(each.attempts),
                        each.last_error[:120] or "-",
                        format_datetime(each.run_at),
                    )
                    for each in queued
                ],
                empty="No run in progress.",
                numeric=("Attempts",),
            )
        ],
    )


def provider_account(row: ProviderAccount) -> DetailPage:
    """Build the page of a provider account: capabilities and settings."""
    offered = ", ".join(capabilities.capabilities(registry.get_class(row.provider)))
    return DetailPage(
        title=row.name,
        details=[
            ("Provider", row.provider),
            ("Capabilities", offered or "charge and refund"),
            ("Webhook path", f"/hooks/{row.name}"),
            *((format_label(key), str(value)) for key, value in row.config.items()),
            ("Credentials", "from the environment or the secrets directory"),
            ("Created", format_datetime(row.created_at)),
        ],
    )
