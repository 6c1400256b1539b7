"""Output of the command line: tables and lines, one function per command."""

from __future__ import annotations

import json as json_module
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bursar import errors

if TYPE_CHECKING:
    from bursar.orders.imports import ImportReport
    from bursar.verify.checks import CheckResult

#: Rows printed of a long list; the rest are counted.
LINES_MAX = 20

console = Console(highlight=False)


def table(title: str, *columns: str, numbers: Iterable[str] = ()) -> Table:
    """Return an empty table; the columns in *numbers* are right-aligned."""
    result = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for column in columns:
        result.add_column(column, justify="right" if column in set(numbers) else "left")
    return result


def echo(text: str) -> None:
    """Print *text* without wrapping it; the terminal may."""
    console.print(text, soft_wrap=True)


def show_error(error: errors.BursarError) -> None:
    """Print an error on one line, and each of its problems, if there are several, on another."""
    out = Console(stderr=True, highlight=False)
    out.print(f"[bold red]{escape(error.code)}[/]: {escape(str(error))}", soft_wrap=True)
    problems = getattr(error, "problems", ())
    for problem in problems[:LINES_MAX] if len(problems) > 1 else ():
        out.print(f"  {escape(str(problem))}", soft_wrap=True)
    if len(problems) > LINES_MAX:
        out.print(f"  and {len(problems) - LINES_MAX:,} more", soft_wrap=True)


def show_outcomes(
    outcomes: Mapping[tuple[str, str], int], depth: Mapping[tuple[str, str], int]
) -> None:
    """Print the *outcomes* of a worker's jobs, counted, and the *depth* of the queue."""
    jobs = table("Jobs", "job", "outcome", "count", numbers=["count"])
    for (name, outcome), count in sorted(outcomes.items()):
        jobs.add_row(name, outcome, f"{count:,}")
    console.print(jobs if outcomes else "no jobs were run")
    remaining = sum(depth.values())
    noun = "job" if remaining == 1 else "jobs"
    echo(f"{remaining:,} {noun} left in the queue" if remaining else "the queue is empty")


def show_import(file: Path, report: ImportReport) -> None:
    """Print the result of an import, with the lines of credit notes and of unsellable rows."""
    if report.already_imported:
        echo(f"{file}: already imported; nothing changed")
        return
    sums = ", ".join(str(money) for money in report.sums) or "no amount"
    echo(f"[bold]{file}[/]: {report.orders:,} orders with {report.lines:,} lines")
    echo(f"  {sums}")
    for name, rows in (
        ("credit notes", report.credit_notes),
        ("not imported", report.unsellable),
    ):
        if rows:
            reasons = [f"{row.line} {row.reason.replace('_', ' ')}" for row in rows[:LINES_MAX]]
            more = f" and {len(rows) - LINES_MAX:,} more" if len(rows) > LINES_MAX else ""
            lines = ", ".join(reasons).replace(" credit note", "")
            echo(f"  {name}, lines {escape(lines)}{more}")


def show_checks(
    checks: Callable[[Callable[[str], None]], Iterator[CheckResult]],
    *,
    as_json: bool = False,
    seconds: float | None = None,
) -> list[CheckResult]:
    """
    Run *checks* and print each invariant with its result, then the rows that violate one.

    *seconds* is the duration of checks that ran before; without it they are timed here.
    """
    started = time.monotonic()
    results: list[CheckResult] = []
    with console.status("checking") as status:
        for result in checks(lambda invariant: status.update(escape(invariant))):
            results.append(result)
            if not as_json:
                mark = "[green]ok[/]      " if result.holds else "[bold red]VIOLATED[/]"
                echo(f" {mark} [dim]{result.folder:14}[/] {escape(result.invariant)}")
    if as_json:
        _print_json(results)
        return results
    violated = [result for result in results if not result.holds]
    for result in violated:
        echo(f"\n[bold red]{escape(result.invariant)}[/]")
        for row in result.rows[:LINES_MAX]:
            echo("  " + escape(", ".join(f"{k}: {v}" for k, v in row.items())))
        if len(result.rows) > LINES_MAX:
            echo(f"  and {len(result.rows) - LINES_MAX} more (see --json)")
    verdict = f"[bold red]{len(violated)} VIOLATED[/]" if violated else "[bold green]all hold[/]"
    elapsed = time.monotonic() - started if seconds is None else seconds
    echo(f"\n{len(results)} invariants checked in {elapsed:.1f} s: {verdict}")
    return results


def _print_json(results: list[CheckResult]) -> None:
    document = [
        {"folder": r.folder, "invariant": r.invariant, "holds": r.holds, "rows": r.rows}
        for r in results
    ]
    sys.stdout.write(json_module.dumps(document, indent=2, default=str) + "\n")


def show_jobs() -> None:
    """Print the number of jobs by name and state, then the failed jobs."""
    from bursar.queue import jobs
    from bursar.queue.models import Job, JobState

    depth = jobs.count_by_state()
    names = sorted({name for name, _ in depth})
    summary = table("Jobs", "job", *JobState.values, numbers=JobState.values)
    for name in names:
        summary.add_row(name, *(f"{depth[name, state]:,}" for state in JobState.values))
    console.print(summary if names else "the queue is empty")
    dead = Job.objects.filter(state=JobState.DEAD).order_by("id")
    if count := dead.count():
        failed = table(
            f"Failed jobs: {count:,}",
            "number",
            "job",
            "attempts",
            "last error",
            numbers=["number", "attempts"],
        )
        for job in dead[:LINES_MAX]:
            failed.add_row(str(job.pk), job.name, str(job.attempts), escape(job.last_error))
        console.print(failed)


def show_periodic_jobs() -> None:
    """Print the schedule of each periodic job, its next run and its last result."""
    from bursar import clock
    from bursar.queue import scheduler
    from bursar.queue.models import PeriodicJobStatus

    now = clock.now()
    rows = list(PeriodicJobStatus.objects.order_by("name"))
    echo(
        "[bold]Periodic jobs[/]"
        if rows
        else "no periodic jobs yet; a worker adds them when it starts"
    )
    for row in rows:
        state = scheduler.state_of(row, now=now)
        echo(f"  {row.name}, {row.schedule}: [bold]{state}[/]")
        echo(
            f"    next run {format_time(row.next_run_at)},"
            f" last start {format_time(row.last_started_at)},"
            f" last success {format_time(row.last_succeeded_at)}"
        )
        if row.last_error:
            echo(f"    {escape(row.last_error)}")


def format_time(at: datetime | None) -> str:
    """Return *at* (in UTC) to the minute with its zone, or `never`."""
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "never"


def show_reviews() -> None:
    """Print the open reviews, oldest first."""
    from bursar.payments.models import Review

    reviews = Review.objects.filter(resolved_at__isnull=True).order_by("opened_at")
    count = reviews.count()
    if not count:
        echo("no open reviews")
        return
    echo(f"[bold]{count:,} open[/]; resolve with: bursar reviews resolve ID ...")
    for review in reviews[: LINES_MAX * 5]:
        detail = ", ".join(f"{key}: {value}" for key, value in review.detail.items())
        echo(f"{review.id}  {format_time(review.opened_at)}  [bold]{review.code}[/]")
        echo(f"    {escape(review.subject)}  {escape(detail)}")


def show_providers() -> None:
    """Print the installed providers with their capabilities, and the provider accounts."""
    from bursar.payments.models import ProviderAccount
    from bursar.providers import capabilities, registry

    providers = table("Providers", "name", "capabilities")
    for name in registry.names():
        try:
            supported = ", ".join(capabilities.capabilities(registry.get_class(name)))
        except errors.BursarError as error:
            supported = f"[red]{escape(str(error))}[/]"
        providers.add_row(name, supported)
    console.print(providers)
    accounts = list(ProviderAccount.objects.order_by("name"))
    listing = table("Provider accounts", "account", "provider", "settings")
    for account in accounts:
        settings = ", ".join(f"{key}={value}" for key, value in account.config.items())
        listing.add_row(account.name, account.provider, escape(settings))
    console.print(listing if accounts else "no provider accounts")


def show_api_keys() -> None:
    """Print the API keys, newest first."""
    from bursar.access.models import ApiKey

    keys = ApiKey.objects.select_related("owner").order_by("-id")
    echo("[bold]API keys[/]" if keys else "no API keys")
    for key in keys[: LINES_MAX * 5]:
        owner = escape(key.owner.email) if key.owner else "operator"
        expires = "revoked" if key.revoked_at else f"expires {format_time(key.expires_at)}"
        echo(f"{key.id}  {escape(key.name)}  {key.redacted_token}  [bold]{expires}[/]")
        echo(f"    owner {owner}, last used {format_time(key.last_used_at)}")
        echo(f"    scopes: {', '.join(key.allowed_scopes) or 'none'}")


def show_users() -> None:
    """Print the users of the back office, by e-mail address."""
    from bursar.access.models import User

    users = table("Users", "e-mail", "name", "role", "active", "last sign-in")
    for user in User.objects.order_by("email")[: LINES_MAX * 5]:
        users.add_row(
            escape(user.email),
            escape(user.name),
            user.role,
            "yes" if user.is_active else "no",
            format_time(user.last_login_at),
        )
    console.print(users)


def counts_table(title: str, heading: str, counts: Counter[str]) -> Table:
    """Return a table of *counts*, most frequent first; *heading* names the first column."""
    result = table(title, heading, "count", numbers=["count"])
    for name, count in counts.most_common():
        result.add_row(escape(name), f"{count:,}")
    return result
