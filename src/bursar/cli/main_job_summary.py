"""The summary of the main job: what a person wants to see at a glance."""

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
    """Run the main job and print its summary; False if an invariant is broken."""
    console = output.console
    console.print(Panel("[bold]Bursar[/]: orders in, money collected, books closed", expand=False))
    with console.status("starting") as status:
        story = main_job.run(invoices=invoices, port=port, watch=status.update)
    for file, report in story.imported_files:
        output.show_import(Path(file.name), report)
    console.print(_payments())
    console.print(_declines())
    console.print(_unknowns())
    console.print(_trial_balance())
    console.print(_receivables(story.balance_owed))
    _show_events(story)
    output.echo("\n[bold]Do the books close?[/]")
    findings = output.show_checks(lambda _: iter(story.findings), seconds=story.seconds["verify"])
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in story.seconds.items())
    output.echo(f"[dim]{spent}[/]")
    return all(finding.holds for finding in findings)


def _payments() -> Table:
    """Payments by currency and status."""
    shown = output.table(
        "Payments",
        "currency",
        "status",
        "orders",
        "asked",
        "captured",
        "refunded",
        numbers=["orders", "asked", "captured", "refunded"],
    )
    groups = Payment.objects.values("currency", "status").annotate(
        orders=Count("id"),
        asked=Sum("amount_minor"),
        captured=Sum("captured_minor"),
        refunded=Sum("refunded_minor"),
    )
    for group in groups.order_by("currency", "-orders"):
        currency = group["currency"]
        amounts = [_shown(int(group[name]), currency) for name in ("asked", "captured", "refunded")]
        shown.add_row(currency, group["status"], f"{group['orders']:,}", *amounts)
    return shown


def _declines() -> Table:
    declined = Attempt.objects.filter(status="declined").values_list("failure_code", "soft_decline")
    counts = Counter(f"{code} ({'soft' if soft else 'hard'})" for code, soft in declined)
    return output.counts_table("Declines by reason", "reason", counts)


def _unknowns() -> Table:
    shown = Attempt.objects.filter(was_unknown=True).values_list("operation", "status")
    counts = Counter(
        f"{operation}: {'still unknown' if status == 'unknown' else 'found ' + status}"
        for operation, status in shown
    )
    return output.counts_table("Outcomes that were unknown", "what became of them", counts)


def _trial_balance() -> Table:
    """Every account's balance, a section a currency; debits and credits add up to the same."""
    by_currency: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, amount in balances.balances().items():
        by_currency[posting.currency_of(name)].append((name.rpartition(":")[0], amount))
    shown = output.table(
        "Trial balance", "currency", "account", "debit", "credit", numbers=["debit", "credit"]
    )
    for currency, sums in sorted(by_currency.items()):
        for path, amount in sums:
            debit, credit = max(amount, 0), max(-amount, 0)
            shown.add_row(currency, path, _shown(debit, currency), _shown(credit, currency))
        debits = sum(max(amount, 0) for _, amount in sums)
        credited = sum(max(-amount, 0) for _, amount in sums)
        totals = [f"[bold]{_shown(side, currency)}[/]" for side in (debits, credited)]
        shown.add_row("", "", *totals, end_section=True)
    return shown


def _receivables(owed: Mapping[str, int]) -> Table:
    """What the demonstration's account owes by our books and by its own word."""
    shown = output.table(
        "Receivable per provider account",
        "account",
        "currency",
        "our books",
        "the provider says",
        numbers=["our books", "the provider says"],
    )
    for account in ProviderAccount.objects.order_by("name").values_list("name", flat=True):
        ours = provider_accounts.receivable_balances(account)
        says = owed if account == main_job.ACCOUNT else {}
        for currency in sorted({*ours, *says}) or ["-"]:
            shown.add_row(
                account,
                currency,
                _shown(ours.get(currency, 0), currency),
                _shown(says.get(currency, 0), currency),
            )
    return shown


def _shown(amount_minor: int, currency: str) -> str:
    return f"{Money(amount_minor, currency).amount:,f}" if amount_minor else "-"


def _show_events(story: main_job.DemoReport) -> None:
    webhooks = ", ".join(f"{count:,} {what}" for what, count in sorted(story.webhooks.items()))
    output.echo(f"webhooks: {webhooks or 'none'}")
    output.echo(f"refunds decided: {story.refunds:,}")
    if story.payouts:
        output.echo(f"paid out: {', '.join(str(amount) for amount in story.payouts)}")
    done = sum(story.jobs.values())
    left = sum(jobs.count_by_state().values())
    output.echo(f"jobs: {done:,} run, {left:,} left for later")
    questions = Counter(
        Review.objects.filter(resolved_at__isnull=True).values_list("code", flat=True)
    )
    asked = ", ".join(f"{count} {escape(code)}" for code, count in questions.most_common())
    output.echo(f"for a person to decide (bursar reviews): {asked or 'nothing'}")
