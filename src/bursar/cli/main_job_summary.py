"""Summary of the main job: payments, declines, balances, webhooks, invariants."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from django.db.models import Count, Sum
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from bursar.cli import output
from bursar.demo import main_job
from bursar.ledger import balances, posting
from bursar.money import Money
from bursar.payments import provider_accounts
from bursar.payments.models import Attempt, Payment, ProviderAccount, Review
from bursar.queue import jobs


def show_main_job(*, invoices: Path | None, port: int | None) -> bool:
    """Run the main job and print its summary. Return False if an invariant is violated."""
    console = output.console
    console.print(
        Panel(
            "[bold]Bursar demonstration[/]: import orders, charge, refund, receive webhooks, verify",
            expand=False,
        )
    )
    with console.status("starting") as status:
        report = main_job.run(invoices=invoices, port=port, watch=status.update)
    for file, imported in report.imported_files:
        output.show_import(Path(file.name), imported)
    console.print(_payments())
    console.print(_declines())
    console.print(_unknowns())
    console.print(_trial_balance())
    console.print(_receivables(report.balance_owed))
    _show_events(report)
    output.echo("\n[bold]Invariants[/]")
    results = output.show_checks(lambda _: iter(report.findings), seconds=report.seconds["verify"])
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    output.echo(f"[dim]{spent}[/]")
    return all(result.holds for result in results)


def _payments() -> Table:
    """Return the payments by currency and status."""
    payments = output.table(
        "Payments",
        "currency",
        "status",
        "payments",
        "amount",
        "captured",
        "refunded",
        numbers=["payments", "amount", "captured", "refunded"],
    )
    groups = Payment.objects.values("currency", "status").annotate(
        count=Count("id"),
        amount=Sum("amount_minor"),
        captured=Sum("captured_minor"),
        refunded=Sum("refunded_minor"),
    )
    for group in groups.order_by("currency", "-count"):
        currency = group["currency"]
        columns = (
            _format_amount(int(group[name]), currency)
            for name in ("amount", "captured", "refunded")
        )
        payments.add_row(currency, group["status"], f"{group['count']:,}", *columns)
    return payments


def _declines() -> Table:
    declined = Attempt.objects.filter(status="declined").values_list("failure_code", "soft_decline")
    counts = Counter(f"{code} ({'soft' if soft else 'hard'})" for code, soft in declined)
    return output.counts_table("Declines by reason", "reason", counts)


def _unknowns() -> Table:
    attempts = Attempt.objects.filter(was_unknown=True).values_list("operation", "status")
    counts = Counter(
        f"{operation}: {'still unknown' if status == 'unknown' else status}"
        for operation, status in attempts
    )
    return output.counts_table("Attempts with unknown outcome", "resolution", counts)


def _trial_balance() -> Table:
    """Return the balance of every ledger account, by currency, with equal debit and credit totals."""
    by_currency: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, amount in balances.balances().items():
        by_currency[posting.currency_of(name)].append((name.rpartition(":")[0], amount))
    trial_balance = output.table(
        "Trial balance", "currency", "account", "debit", "credit", numbers=["debit", "credit"]
    )
    for currency, sums in sorted(by_currency.items()):
        for path, amount in sums:
            debit, credit = max(amount, 0), max(-amount, 0)
            columns = (_format_amount(side, currency) for side in (debit, credit))
            trial_balance.add_row(currency, path, *columns)
        total_debit = sum(max(amount, 0) for _, amount in sums)
        total_credit = sum(max(-amount, 0) for _, amount in sums)
        totals = [
            f"[bold]{_format_amount(side, currency)}[/]" for side in (total_debit, total_credit)
        ]
        trial_balance.add_row("", "", *totals, end_section=True)
    return trial_balance


def _receivables(owed: Mapping[str, int]) -> Table:
    """
    Return what each provider account owes, by the ledger and by the provider.

    *owed* is the balance that the provider reports for the demonstration's account.
    """
    receivables = output.table(
        "Receivable per provider account",
        "account",
        "currency",
        "ledger",
        "provider",
        numbers=["ledger", "provider"],
    )
    for account in ProviderAccount.objects.order_by("name").values_list("name", flat=True):
        booked = provider_accounts.receivable_balances(account)
        reported = owed if account == main_job.ACCOUNT else {}
        for currency in sorted({*booked, *reported}) or ["-"]:
            amounts = (booked.get(currency, 0), reported.get(currency, 0))
            columns = (_format_amount(amount, currency) for amount in amounts)
            receivables.add_row(account, currency, *columns)
    return receivables


def _format_amount(amount_minor: int, currency: str) -> str:
    """Return the amount with the currency's digits, or `-` for zero."""
    return f"{Money(amount_minor, currency).amount:,f}" if amount_minor else "-"


def _show_events(report: main_job.DemoReport) -> None:
    webhooks = ", ".join(f"{count:,} {result}" for result, count in sorted(report.webhooks.items()))
    output.echo(f"webhooks: {webhooks or 'none'}")
    output.echo(f"refunds created: {report.refunds:,}")
    if report.payouts:
        output.echo(f"payouts: {', '.join(str(amount) for amount in report.payouts)}")
    finished = sum(report.jobs.values())
    remaining = sum(jobs.count_by_state().values())
    output.echo(f"jobs: {finished:,} run, {remaining:,} remaining")
    codes = Counter(Review.objects.filter(resolved_at__isnull=True).values_list("code", flat=True))
    reviews = ", ".join(f"{count} {escape(code)}" for code, count in codes.most_common())
    output.echo(f"open reviews (bursar reviews): {reviews or 'none'}")
