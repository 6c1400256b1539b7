"""Pages of the ledger, of what providers told, of jobs and provider accounts."""

from __future__ import annotations

from django.db.models import QuerySet

from bursar import clock
from bursar.access import roles
from bursar.admin.filters import ROWS_MAX, buttons, event_state, with_balances
from bursar.admin.formatting import (
    DetailPage,
    DetailTable,
    Shown,
    format_datetime,
    humanize,
    link_to,
    money,
    state,
)
from bursar.ledger.models import Account, Transfer
from bursar.payments.models import Fact, ProviderAccount, RawBody
from bursar.providers import capabilities, registry
from bursar.queue import scheduler
from bursar.queue.models import Job, PeriodicJobStatus
from bursar.webhooks.models import WebhookEvent


def account(row: Account) -> DetailPage:
    """A ledger account: its balance and latest transfers."""
    [summed] = with_balances(Account.objects.filter(pk=row.pk))
    rows = _transfers(Transfer.objects.filter(debit_account=row), row)
    rows += _transfers(Transfer.objects.filter(credit_account=row), row)
    rows.sort(key=lambda each: -each[0])
    return DetailPage(
        title=row.name,
        facts=[
            ("balance (debit positive)", money(int(summed.balance_minor), row.currency)),
            ("currency", row.currency),
        ],
        tables=[
            DetailTable(
                "Latest transfers",
                ["day", "about", "other side", "debit", "credit"],
                [each[1] for each in rows[:ROWS_MAX]],
            )
        ],
    )


def _transfers(found: QuerySet[Transfer], account: Account) -> list[tuple[int, tuple[Shown, ...]]]:
    shown: list[tuple[int, tuple[Shown, ...]]] = []
    for transfer in found.order_by("-pk")[:ROWS_MAX]:
        amount = money(transfer.amount_minor, transfer.currency)
        debit = transfer.debit_account_id == account.pk
        other = transfer.credit_account_id if debit else transfer.debit_account_id
        subject: Shown = transfer.subject
        if subject.startswith("pay_"):
            subject = link_to("payment", subject)
        sides = (amount, "") if debit else ("", amount)
        row = (str(transfer.posting_date), subject, link_to("account", other), *sides)
        shown.append((transfer.pk, row))
    return shown


def transfer(row: Transfer) -> DetailPage:
    """A transfer."""
    return DetailPage(
        title=f"Transfer {row.pk}",
        facts=[
            ("amount", money(row.amount_minor, row.currency)),
            ("debit", link_to("account", row.debit_account_id)),
            ("credit", link_to("account", row.credit_account_id)),
            (
                "about",
                link_to("payment", row.subject) if row.subject.startswith("pay_") else row.subject,
            ),
            ("posted on", str(row.posting_date)),
            ("written", format_datetime(row.created_at)),
        ],
    )


def fact(row: Fact) -> DetailPage:
    """What a provider told us once."""
    shown = [
        (humanize(name), str(getattr(row, name)))
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
        (humanize(name.removesuffix("_minor")), money(getattr(row, name), row.currency))
        for name in ("amount_minor", "captured_minor", "refunded_minor", "withdrawn_minor")
    ]
    return DetailPage(
        title=f"{row.kind.capitalize()} {row.reference}",
        state=state(row.status),
        facts=[
            *shown,
            *amounts,
            ("happened", format_datetime(row.occurred_at)),
            ("received", format_datetime(row.received_at)),
        ],
    )


def event(row: WebhookEvent) -> DetailPage:
    """A delivery of a provider."""
    kept = RawBody.objects.filter(id=row.raw).exists()
    return DetailPage(
        title=row.event_type,
        state=event_state(row),
        reason=f"Nothing is booked: {row.ignored}." if row.ignored else "",
        facts=[
            ("event", row.event_id),
            ("at", link_to("provideraccount", row.provider_account_id)),
            ("received", format_datetime(row.received_at)),
            ("read", format_datetime(row.processed_at)),
            ("body", "kept" if kept else "pruned"),
        ],
    )


def job(row: Job) -> DetailPage:
    """A job, and why it is not done."""
    dead = row.state == "dead"
    return DetailPage(
        title=f"Job {row.pk}: {humanize(row.name)}",
        state=state(row.state),
        reason=row.last_error,
        facts=[
            *(
                (humanize(key), link_to("payment", value) if key == "payment_id" else str(value))
                for key, value in row.payload.items()
            ),
            ("tries", str(row.attempts)),
            ("due", format_datetime(row.run_at)),
            ("enqueued", format_datetime(row.created_at)),
        ],
        buttons=buttons((dead, roles.JOBS_WRITE, "Retry", "retry", "primary", row.pk)),
    )


def periodic_job(row: PeriodicJobStatus) -> DetailPage:
    """A periodic job: when it runs, its last run, and its jobs in the queue."""
    waiting = Job.objects.filter(name=row.name).order_by("-pk")[:ROWS_MAX]
    return DetailPage(
        title=f"Periodic job: {humanize(row.name)}",
        state=state(scheduler.state_of(row, now=clock.now())),
        reason=row.last_error,
        facts=[
            ("schedule", row.schedule),
            ("next run", format_datetime(row.next_run_at)),
            ("last start", format_datetime(row.last_started_at)),
            ("last end", format_datetime(row.last_finished_at)),
            ("last success", format_datetime(row.last_succeeded_at)),
            ("known since", format_datetime(row.created_at)),
        ],
        tables=[
            DetailTable(
                "Jobs in the queue",
                ["number", "state", "tries", "last error", "due"],
                [
                    (
                        link_to("job", each.pk),
                        state(each.state),
                        str(each.attempts),
                        each.last_error[:120] or "-",
                        format_datetime(each.run_at),
                    )
                    for each in waiting
                ],
                empty="No run is under way.",
            )
        ],
    )


def provider_account(row: ProviderAccount) -> DetailPage:
    """A provider account and its powers."""
    offered = ", ".join(capabilities.capabilities(registry.get_class(row.provider)))
    return DetailPage(
        title=row.name,
        facts=[
            ("provider", row.provider),
            ("can", offered or "charge and refund"),
            ("webhooks at", f"/hooks/{row.name}"),
            *((humanize(key), str(value)) for key, value in row.config.items()),
            ("secrets", "from the environment or the secrets directory"),
            ("added", format_datetime(row.created_at)),
        ],
    )
