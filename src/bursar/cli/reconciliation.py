"""Commands to reconcile a settlement report and to check the set-up of a provider account."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from bursar.cli.bootstrap import application

if TYPE_CHECKING:
    from bursar.reconciliation.run import ReconciliationReport

ROWS_MAX = 100

Account = Annotated[str, typer.Option(help="The provider account.")]


def reconcile(
    account: Account,
    file: Annotated[
        Optional[Path],  # noqa: UP045  (Typer reads this at run time)
        typer.Argument(help="A settlement report in the provider's own CSV format."),
    ] = None,
    since: Annotated[
        Optional[datetime],  # noqa: UP045
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Without FILE: fetch settlement lines from the provider's API since this day (UTC).",
        ),
    ] = None,
    until: Annotated[
        Optional[datetime],  # noqa: UP045
        typer.Option(
            formats=["%Y-%m-%d"], help="End of the report's period (UTC); default: its last line."
        ),
    ] = None,
) -> None:
    """
    Match a settlement report with the books.

    Movements missing in the books are posted; other differences become reviews. Exit status 1 if
    anything other than late entries does not match, or the balance differs from the provider's.
    """
    with application():
        from bursar import clock, errors
        from bursar.reconciliation import run, settlement_reports

        if file is not None:
            loaded = settlement_reports.read_file(file, provider_account=account)
        elif since is not None:
            loaded = settlement_reports.fetch_lines(
                provider_account=account, since=since.replace(tzinfo=UTC)
            )
        else:
            raise errors.ValidationError("FILE or --since is required", param="FILE")
        end = until.replace(tzinfo=UTC) if until else None
        report = run.reconcile(loaded, provider_account=account, now=clock.now(), period_end=end)
        is_balanced = _print_report(report, account)
    if not report.is_clean or not is_balanced:
        raise typer.Exit(1)


def _print_report(report: ReconciliationReport, account: str) -> bool:
    """Print totals and breaks. Return whether our receivable equals the provider's balance."""
    from rich.markup import escape

    from bursar.cli import output
    from bursar.money import Money
    from bursar.reconciliation import run

    if report.is_already_loaded:
        output.echo(f"{report.file} was loaded before; open lines and entries are matched again")
    else:
        output.echo(f"{report.loaded} lines loaded from {report.file or account}")
    sums = output.table(
        f"Reconciliation {report.id}",
        "status",
        "currency",
        "lines",
        "gross at provider",
        "entries",
        "gross in books",
        numbers=("lines", "gross at provider", "entries", "gross in books"),
    )
    for total in report.totals:
        theirs = Money(total.lines_minor, total.currency).amount
        ours = Money(total.entries_minor, total.currency).amount
        sums.add_row(
            total.match_status.value,
            total.currency,
            str(total.lines),
            f"{theirs:,f}",
            str(total.entries),
            f"{ours:,f}",
        )
    output.console.print(sums)
    if breaks := report.breaks:
        breaks_table = output.table("Breaks", "status", "category", "reference", "reason")
        for one in breaks[:ROWS_MAX]:
            first = (one.entries or one.lines)[0]
            source = run.source_of(one)
            breaks_table.add_row(
                one.match_status.value, first.category.value, escape(source), escape(one.reason)
            )
        output.console.print(breaks_table)
        if len(breaks) > ROWS_MAX:
            output.echo(f"and {len(breaks) - ROWS_MAX} more")
    return _compare_balances(account)


def _compare_balances(account: str) -> bool:
    from bursar import errors
    from bursar.cli import output
    from bursar.money import Money
    from bursar.payments import provider_accounts

    ours = provider_accounts.receivable_balances(account)
    try:
        theirs = provider_accounts.fetch_balance(account)
    except (errors.Unavailable, errors.OutcomeUnknown) as error:
        output.echo(f"the provider's balance is not available: {error}")
        return True
    if theirs is None:
        return True
    is_balanced = True
    for currency in sorted(ours.keys() | theirs.keys()):
        our, their = (Money(side.get(currency, 0), currency) for side in (ours, theirs))
        is_balanced = is_balanced and our == their
        word = "equals" if our == their else "DIFFERS from"
        output.echo(f"our receivable of {our} {word} the provider's balance of {their}")
    return is_balanced


def check(account: str) -> None:
    """Print the set-up checks of a provider account; exit status 1 if one fails."""
    with application():
        from rich.markup import escape

        from bursar import settings
        from bursar.cli import output
        from bursar.payments import provider_accounts
        from bursar.providers.capabilities import SetupCheck, SupportsSetupCheck

        provider = provider_accounts.get(account)
        if not isinstance(provider, SupportsSetupCheck):
            output.echo(f"{provider.name} does not support set-up checks")
            return
        host = settings.current.allowed_hosts.split(",")[0]
        hook_url = f"https://{host}/hooks/{account}"
        findings = provider.check_setup(webhook_url=hook_url)

        async def collect() -> list[SetupCheck]:
            return [one async for one in findings]

        table = output.table(f"{account} at {provider.name}", "status", "check", "result")
        checks = provider_accounts.run_sync(collect())
        for one in checks:
            mark = "[green]ok[/]" if one.is_ok else "[bold red]missing[/]"
            table.add_row(mark, one.subject, escape(one.message))
        output.console.print(table)
        if not all(one.is_ok for one in checks):
            raise typer.Exit(1)
