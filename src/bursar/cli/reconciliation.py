"""Reconciling a settlement report, and answering disputes, as commands."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from bursar.cli.bootstrap import application

if TYPE_CHECKING:
    from bursar.reconciliation.run import ReconciliationReport

ROWS_MAX = 100

disputes = typer.Typer(invoke_without_command=True, help="Disputes that want an answer.")
Account = Annotated[str, typer.Option(help="The provider account.")]


def reconcile(
    account: Account,
    file: Annotated[
        Optional[Path],  # noqa: UP045  (Typer reads this at run time)
        typer.Argument(help="A settlement report, as the provider writes it."),
    ] = None,
    since: Annotated[
        Optional[datetime],  # noqa: UP045
        typer.Option(formats=["%Y-%m-%d"], help="Without FILE: ask the provider, from this day."),
    ] = None,
    until: Annotated[
        Optional[datetime],  # noqa: UP045
        typer.Option(formats=["%Y-%m-%d"], help="When the report ends; else with its last line."),
    ] = None,
) -> None:
    """
    Match a settlement report with the books; what these missed is booked, the rest is told.

    Exit status 1: something does not match.
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
            raise errors.ValidationError("a FILE is needed, or --since", param="FILE")
        end = until.replace(tzinfo=UTC) if until else None
        report = run.reconcile(loaded, provider_account=account, now=clock.now(), period_end=end)
        is_balanced = _print_report(report, account)
    if not report.is_clean or not is_balanced:
        raise typer.Exit(1)


def _print_report(report: ReconciliationReport, account: str) -> bool:
    """Print what was found; whether the receivable is what the provider says."""
    from rich.markup import escape

    from bursar.cli import output
    from bursar.money import Money
    from bursar.reconciliation import run

    if report.is_already_loaded:
        output.echo(f"{report.file} came before; what is open is matched anew")
    else:
        output.echo(f"{report.loaded} lines of {report.file or account} loaded")
    sums = output.table(
        f"Reconciliation {report.id}",
        "class",
        "currency",
        "lines",
        "their gross",
        "ours",
        "our gross",
        numbers=("lines", "their gross", "ours", "our gross"),
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
        breaks_table = output.table("What does not match", "class", "movement", "of", "why")
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
        output.echo(f"the balance could not be asked for: {error}")
        return True
    if theirs is None:
        return True
    is_balanced = True
    for currency in sorted(ours.keys() | theirs.keys()):
        our, their = (Money(side.get(currency, 0), currency) for side in (ours, theirs))
        is_balanced = is_balanced and our == their
        word = "is level with" if our == their else "DIFFERS from"
        output.echo(f"our receivable of {our} {word} the provider's balance of {their}")
    return is_balanced


@disputes.callback()
def show_disputes(context: typer.Context) -> None:
    """List the disputes that want an answer, the most urgent first."""
    if context.invoked_subcommand is None:
        with application():
            from bursar.cli import output
            from bursar.money import Money
            from bursar.payments import disputes

            table = output.table("Disputes", "account", "dispute", "of", "amount", "respond by")
            for one in disputes.list_needing_response():
                by = f"{one.evidence_due_by:%Y-%m-%d %H:%M}" if one.evidence_due_by else "-"
                amount = Money(one.amount_minor, one.currency)
                table.add_row(one.account, one.reference, one.parent_reference, str(amount), by)
            output.console.print(table if table.row_count else "no dispute wants an answer")


@disputes.command("answer")
def answer(
    dispute: Annotated[str, typer.Argument(help="The provider's id of the dispute.")],
    account: Account,
    evidence: Annotated[
        list[str], typer.Option("--evidence", metavar="NAME=TEXT", help="Repeatable.")
    ],
    submit: Annotated[
        bool, typer.Option("--submit", help="Send it to the bank; most often once and for good.")
    ] = False,
) -> None:
    """Tell our side of a dispute, by the provider's own names for what is evidence."""
    with application():
        from bursar.cli import options, output
        from bursar.payments import disputes

        texts = options.read_pairs("--evidence", evidence)
        result = disputes.submit_evidence(
            provider_account=account, reference=dispute, texts=texts, submit=submit
        )
        output.echo(f"{dispute}: {result.snapshots[0].status if result.snapshots else 'told'}")


def check(account: str) -> None:
    """Print what an account still lacks before it can take money; exit status 1 if anything."""
    with application():
        from rich.markup import escape

        from bursar import settings
        from bursar.cli import output
        from bursar.payments import provider_accounts
        from bursar.providers.capabilities import SetupCheck, SupportsSetupCheck

        provider = provider_accounts.get(account)
        if not isinstance(provider, SupportsSetupCheck):
            output.echo(f"{provider.name} offers no check of its set-up")
            return
        host = settings.current.allowed_hosts.split(",")[0]
        hook_url = f"https://{host}/hooks/{account}"
        findings = provider.check_setup(webhook_url=hook_url)

        async def collect() -> list[SetupCheck]:
            return [one async for one in findings]

        table = output.table(f"{account} at {provider.name}", "", "what", "how it is")
        checks = provider_accounts.run_sync(collect())
        for one in checks:
            mark = "[green]ok[/]" if one.is_ok else "[bold red]missing[/]"
            table.add_row(mark, one.subject, escape(one.message))
        output.console.print(table)
        if not all(one.is_ok for one in checks):
            raise typer.Exit(1)
