"""The commands. Each imports what it needs when it runs, so that `--help` starts fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from bursar.cli import access, bootstrap, disputes, pricing, reconciliation, traffic
from bursar.cli.bootstrap import application

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its help takes a third of a second to import
    help="Bursar: self-hosted payment operations whose books always close.",
)
imports = typer.Typer(no_args_is_help=True, help="Import files, all or nothing.")
providers = typer.Typer(
    no_args_is_help=True, help="Installed payment providers, and the conformance suite."
)
accounts = typer.Typer(no_args_is_help=True, help="Provider accounts.")
jobs = typer.Typer(invoke_without_command=True, help="Jobs in the queue; retry failed ones.")
reviews = typer.Typer(invoke_without_command=True, help="Open reviews; resolve one.")
app.add_typer(imports, name="import")
app.add_typer(providers, name="providers")
app.add_typer(accounts, name="accounts")
app.add_typer(jobs, name="jobs")
app.add_typer(reviews, name="reviews")
app.add_typer(access.api_keys_app, name="api-keys")
app.add_typer(access.users_app, name="users")
app.add_typer(disputes.disputes, name="disputes")
app.command("reconcile")(reconciliation.reconcile)
app.command("quote")(pricing.price)
accounts.command("check")(reconciliation.check)

Setting = Annotated[
    Optional[list[str]],  # noqa: UP045  (Typer reads this at run time)
    typer.Option("--set", metavar="NAME=VALUE", help="A setting of the provider; may be repeated."),
]


@app.command(
    "traffic",
    add_help_option=False,
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
)
def read_traffic(context: typer.Context) -> None:
    """Analyze access logs of any size."""
    traffic.main(context.args)  # only for `bursar --help`: `cli.main` bypasses Typer


@app.command()
def worker(
    burst: Annotated[
        bool, typer.Option("--burst", help="Stop when no job is ready or running.")
    ] = False,
    concurrency: Annotated[
        int, typer.Option(min=1, max=1000, help="Maximum concurrent jobs.")
    ] = 128,
) -> None:
    """Run jobs until interrupted; Ctrl+C finishes running jobs, then stops."""
    with application(log_to_file=False), bootstrap.exclusive_worker_lock():
        from bursar.cli import output, server

        outcomes, depth = server.run_worker(burst=burst, concurrency=concurrency)
        output.show_outcomes(outcomes, depth)


@imports.command("orders")
def import_orders(
    files: Annotated[list[Path], typer.Argument(help="CSV files, plain or gzipped (.gz).")],
    mapping: Annotated[Path, typer.Option(help="TOML file that maps columns to fields.")],
    charge: Annotated[
        str, typer.Option(metavar="ACCOUNT", help="Charge the orders at this provider account.")
    ] = "",
    method: Annotated[str, typer.Option(help="Payment method token for rows without one.")] = "",
) -> None:
    """Import the invoices in FILES as orders, all or nothing per file."""
    with application():
        from bursar import clock
        from bursar.cli import output
        from bursar.imports import mapping as invoice_mapping
        from bursar.orders import imports

        columns = invoice_mapping.load(mapping)
        for file in files:
            report = imports.import_file(
                path=file,
                mapping=columns,
                provider_account=charge or None,
                method=method,
                now=clock.now(),
            )
            output.show_import(file, report)


@app.command()
def refund(
    order: Annotated[str, typer.Argument(help="Order or payment id, or your order reference.")],
    amount: Annotated[str, typer.Option(help="Amount in major units, such as 12.30.")] = "",
    line: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="POSITION=UNITS", help="Units of a line to refund; may be repeated."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Stored with the refund.")] = "",
    key: Annotated[
        str,
        typer.Option(
            help="Idempotency key. Default: derived from payment, amount or lines, and reason."
        ),
    ] = "",
    allow_duplicate: Annotated[
        bool,
        typer.Option("--allow-duplicate", help="Create another refund with the same content."),
    ] = False,
) -> None:
    """
    Refund an amount, lines, or (with neither) the full remaining amount.

    A repeated command shows the first refund and creates no second one, unless it has
    --allow-duplicate or another --key.
    """
    with application():
        from bursar.cli import refunds

        typer.echo(
            refunds.refund(
                order=order,
                amount=amount,
                lines=line or [],
                reason=reason,
                key=key,
                allow_duplicate=allow_duplicate,
            )
        )


@app.command()
def verify(
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Check every invariant, and the books against the providers' objects and balances."""
    with application(strict=False):
        from bursar.cli import output
        from bursar.verify import checks

        results = output.show_checks(checks.run_checks, as_json=json)
        if not all(result.holds for result in results):
            raise typer.Exit(1)


@jobs.callback()
def show_jobs(context: typer.Context) -> None:
    """List jobs by state, failed jobs, and the next runs of periodic jobs."""
    if context.invoked_subcommand is None:
        with application():
            from bursar.cli import output

            output.show_jobs()
            output.show_periodic_jobs()


@jobs.command("retry")
def retry(job_id: Annotated[int, typer.Argument(help="Number of a failed job.")]) -> None:
    """Retry a failed job."""
    with application():
        from bursar import group_commit
        from bursar.queue import jobs

        if not group_commit.commits.run_blocking(lambda: jobs.redrive(job_id)):
            raise typer.BadParameter(f"job {job_id} is not a failed job")
        typer.echo(f"job {job_id} is ready")


@reviews.callback()
def show_reviews(context: typer.Context) -> None:
    """List open reviews."""
    if context.invoked_subcommand is None:
        with application():
            from bursar.cli import output

            output.show_reviews()


@reviews.command("resolve")
def resolve(
    review_id: Annotated[str, typer.Argument(help="The review's id.")],
    resolution: Annotated[str, typer.Option(help="What was decided, and why.")],
    by: Annotated[str, typer.Option(help="Name of the person who decided.")],
) -> None:
    """Resolve a review."""
    with application():
        from bursar import clock, group_commit
        from bursar.payments import reviews

        now = clock.now()
        group_commit.commits.run_blocking(
            lambda: reviews.resolve(review_id=review_id, resolution=resolution, by=by, now=now)
        )
        typer.echo(f"{review_id} is resolved")


@providers.command("list")
def list_providers() -> None:
    """List installed providers, their capabilities, and provider accounts."""
    with application():
        from bursar.cli import output

        output.show_providers()


@accounts.command("add")
def add_account(
    account: Annotated[str, typer.Argument(help="Name of the account, such as europe.")],
    provider: Annotated[str, typer.Option(help="One of `bursar providers list`.")],
    settings: Setting = None,
) -> None:
    """Add a provider account; its secrets come from the environment or the secrets directory."""
    with application():
        from bursar import clock, group_commit
        from bursar.cli import options
        from bursar.payments import provider_accounts

        config, now = options.read_settings(provider, settings or []), clock.now()
        group_commit.commits.run_blocking(
            lambda: provider_accounts.create_account(
                name=account, provider=provider, config=config, now=now
            )
        )
        typer.echo(f"provider account {account} added ({provider})")


@providers.command("conformance")
def run_conformance(
    name: Annotated[str, typer.Argument(help="Name of the provider.")],
    settings: Setting = None,
) -> None:
    """Run the conformance suite against a provider's test mode or a stand-in."""
    with bootstrap.configure():
        from bursar.cli import conformance

        if not conformance.show(name, settings or []):
            raise typer.Exit(1)


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="Archive to write.")]) -> None:
    """Back up the installation to FILE; it may keep running."""
    with application():
        from bursar import backups

        typer.echo(f"{file}: {backups.create(file):,} bytes")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="Archive written by `bursar backup`.")],
    force: Annotated[bool, typer.Option(help="Replace an existing database.")] = False,
) -> None:
    """Restore an installation from FILE into an empty BURSAR_HOME or database."""
    with bootstrap.configure():
        from bursar import backups

        backups.restore(file, force=force)
    with application():
        typer.echo(f"{file} restored; run: bursar verify")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def manage(context: typer.Context) -> None:
    """Run a Django command, such as `bursar manage migrate`."""
    with bootstrap.configure():
        from django.core.management import execute_from_command_line

        from bursar import schema

        if context.args[:1] == ["migrate"]:  # migrate would find nothing to do, or half of it
            schema.check()
        execute_from_command_line(["bursar manage", *context.args])


Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free port.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    api: Annotated[bool, typer.Option(help="Serve the public API.")] = True,
    admin: Annotated[bool, typer.Option(help="Serve the back office.")] = True,
    webhooks: Annotated[bool, typer.Option(help="Receive providers' webhooks.")] = True,
    with_worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Run jobs in this process.")
    ] = True,
    concurrency: Annotated[
        int, typer.Option(min=1, max=1000, help="Maximum concurrent jobs.")
    ] = 128,
) -> None:
    """Serve the API, the back office and webhooks, with a worker."""
    with application(log_to_file=False), bootstrap.exclusive_worker_lock():
        from bursar.cli import output, server

        components = server.ServerComponents(
            api=api,
            admin=admin,
            webhooks=webhooks,
            worker=with_worker,
            monitor=api or admin,
            concurrency=concurrency,
        )
        outcomes, depth = server.serve(
            host=host,
            port=port,
            components=components,
            on_ready=lambda address: output.echo(f"serving {address}"),
        )
        output.show_outcomes(outcomes, depth)


@app.command()
def dashboard(
    once: Annotated[bool, typer.Option("--once", help="Print it once and exit.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON and exit.")] = False,
    failing: Annotated[
        bool, typer.Option("--failing", help="Show only monitors that are not OK.")
    ] = False,
    group: Annotated[str, typer.Option(help="Show only this group.")] = "",
    interval: Annotated[
        float, typer.Option(min=0.5, max=3_600, help="Refresh interval in seconds.")
    ] = 2.0,
    check_config: Annotated[
        bool,
        typer.Option("--check-config", help="Only validate the file of BURSAR_MONITORS."),
    ] = False,
) -> None:
    """Show the dashboard in the terminal, worst state first; Ctrl+C exits."""
    with bootstrap.configure():
        from bursar import settings
        from bursar.dashboard.config import config_file

        config = config_file.load(settings.current.monitors)
    if check_config:
        typer.echo(f"valid: {len(config.apis)} APIs, {len(config.certificates)} certificates")
        return
    with application():
        import functools
        import time

        from bursar import clock
        from bursar.cli import output
        from bursar.dashboard import state_store
        from bursar.dashboard.live_state import SourceStatus
        from bursar.dashboard.views import serializers, terminal

        def read() -> list[SourceStatus]:
            statuses = (state.status for state in state_store.load().values())
            return terminal.select(statuses, failing=failing, group=group)

        if json:
            typer.echo(serializers.snapshot(read(), version=0, now=clock.now()))
        elif once or not output.console.is_terminal:
            output.console.print(terminal.render_dashboard(read(), now=clock.now()))
        else:
            sleep = functools.partial(time.sleep, interval)
            terminal.follow(read, console=output.console, now=clock.now, sleep=sleep)


@app.command()
def demo(
    invoices: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of invoices with a mapping.toml; default: the examples."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Run the main job and verify; serve nothing.")
    ] = False,
    counterpart_port: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=0, max=65535, help="With --once: run the provider as a process on this port."
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    seconds: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, help="Stop after this many seconds."),
    ] = None,
) -> None:
    """Run the demonstration: the main job, then everything served with orders coming in."""
    with application(), bootstrap.exclusive_worker_lock():
        from bursar.cli import demo, main_job_summary

        if not main_job_summary.show_main_job(
            invoices=invoices, port=counterpart_port if once else None
        ):
            raise typer.Exit(1)
        if not once:
            demo.serve(host=host, port=port, seconds=seconds)
