"""Commands for disputes: list those that need a response, and submit evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.cli.bootstrap import application

disputes = typer.Typer(invoke_without_command=True, help="Disputes that need a response.")


@disputes.callback()
def show_disputes(context: typer.Context) -> None:
    """List the disputes that need a response, earliest deadline first."""
    if context.invoked_subcommand is None:
        with application():
            from bursar.cli import output
            from bursar.money import Money
            from bursar.payments import disputes

            table = output.table(
                "Disputes",
                "account",
                "dispute",
                "charge",
                "amount",
                "evidence due by",
                numbers=("amount",),
            )
            for dispute in disputes.list_needing_response():
                due = dispute.evidence_due_by
                table.add_row(
                    dispute.account,
                    dispute.reference,
                    dispute.parent_reference,
                    str(Money(dispute.amount_minor, dispute.currency)),
                    f"{due:%Y-%m-%d %H:%M} UTC" if due else "-",
                )
            output.console.print(table if table.row_count else "No dispute needs a response.")


@disputes.command("answer")
def answer(
    dispute: Annotated[str, typer.Argument(help="The provider's id of the dispute.")],
    account: Annotated[str, typer.Option(help="The provider account.")],
    evidence: Annotated[
        list[str], typer.Option("--evidence", metavar="NAME=TEXT", help="Repeatable.")
    ],
    submit: Annotated[
        bool,
        typer.Option("--submit", help="Submit to the bank; at most providers this is final."),
    ] = False,
) -> None:
    """Store or submit evidence for a dispute, under the provider's names of evidence fields."""
    with application():
        from bursar.cli import options, output
        from bursar.payments import disputes

        texts = options.read_pairs("--evidence", evidence)
        result = disputes.submit_evidence(
            provider_account=account, reference=dispute, texts=texts, submit=submit
        )
        status = result.snapshots[0].status if result.snapshots else "evidence accepted"
        output.echo(f"{dispute}: {status}")
