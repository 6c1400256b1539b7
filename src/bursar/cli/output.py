"""What the command line shows: rich tables, one function each."""

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

#: So many lines of a long list are shown; the rest is counted.
LINES_MAX = 20

console = Console(highlight=False)


def table(title: str, *columns: str, numbers: Iterable[str] = ()) -> Table:
    """Make an empty table; *numbers* names the columns that are set to the right."""
    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in set(numbers) else "left")
    return made


def echo(text: str) -> None:
    """Print a sentence, which the terminal and not we may break."""
    console.print(text, soft_wrap=True)


def show_error(error: errors.BursarError) -> None:
    """Print an error on one line or, where it is a list, one line each."""
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
    """Print what became of the jobs of a run, and what is left."""
    shown = table("Jobs", "job", "outcome", "count", numbers=["count"])
    for (name, outcome), count in sorted(outcomes.items()):
        shown.add_row(name, outcome, f"{count:,}")
    console.print(shown)
    left = sum(depth.values())
    echo(f"{left:,} left in the queue" if left else "the queue is empty")


def show_import(file: Path, report: ImportReport) -> None:
    """Print what an import did, and list every row that was not sold, by line."""
    if report.already_imported:
        echo(f"{file}: imported before; nothing changed")
        return
    sums = ", ".join(str(money) for money in report.sums) or "nothing"
    echo(f"[bold]{file}[/]: {report.orders:,} orders of {report.lines:,} lines")
    echo(f"  {sums}")
    for name, rows in (("credit notes", report.credit_notes), ("not sold", report.unsellable)):
        if rows:
            told = [f"{row.line} {row.reason.replace('_', ' ')}" for row in rows[:LINES_MAX]]
            more = f" and {len(rows) - LINES_MAX:,} more" if len(rows) > LINES_MAX else ""
            listed = ", ".join(told).replace(" credit note", "")
            echo(f"  {name}, lines {escape(listed)}{more}")


def show_checks(
    prove: Callable[[Callable[[str], None]], Iterator[CheckResult]],
    *,
    as_json: bool = False,
    seconds: float | None = None,
) -> list[CheckResult]:
    """
    Print each sentence as it is checked, then the rows that break one.

    *seconds* is what the check took where that was done before; else it is timed here.
    """
    started = time.monotonic()
    findings: list[CheckResult] = []
    with console.status("checking") as status:
        for finding in prove(lambda sentence: status.update(escape(sentence))):
            findings.append(finding)
            if not as_json:
                mark = "[green]holds[/]" if finding.holds else "[bold red]BROKEN[/]"
                where = f"[dim]{finding.folder:9}[/]"
                echo(f" {mark} {where} {escape(finding.invariant)}")
    if as_json:
        _print_json(findings)
        return findings
    broken = [finding for finding in findings if not finding.holds]
    for finding in broken:
        echo(f"\n[bold red]{escape(finding.invariant)}[/]")
        for row in finding.rows[:LINES_MAX]:
            echo("  " + escape(", ".join(f"{k}: {v}" for k, v in row.items())))
        if len(finding.rows) > LINES_MAX:
            echo(f"  and {len(finding.rows) - LINES_MAX} more (see --json)")
    verdict = f"[bold red]{len(broken)} BROKEN[/]" if broken else "[bold green]the books close[/]"
    took = time.monotonic() - started if seconds is None else seconds
    echo(f"\n{len(findings)} invariants checked in {took:.1f} s: {verdict}")
    return findings


def _print_json(findings: list[CheckResult]) -> None:
    told = [
        {"folder": f.folder, "sentence": f.invariant, "holds": f.holds, "rows": f.rows}
        for f in findings
    ]
    sys.stdout.write(json_module.dumps(told, indent=2, default=str) + "\n")


def show_jobs() -> None:
    """Print how many jobs wait, what is dead, and when periodic jobs run next."""
    from bursar.queue import jobs
    from bursar.queue.models import Job, JobState

    depth = jobs.count_by_state()
    names = sorted({name for name, _ in depth})
    shown = table("Queue", "job", *JobState.values, numbers=JobState.values)
    for name in names:
        shown.add_row(name, *(f"{depth[name, state]:,}" for state in JobState.values))
    console.print(shown if names else "the queue is empty")
    dead = Job.objects.filter(state=JobState.DEAD).order_by("id")
    if count := dead.count():
        listed = table(f"Dead letters: {count:,}", "number", "job", "attempts", "why")
        for job in dead[:LINES_MAX]:
            listed.add_row(str(job.pk), job.name, str(job.attempts), escape(job.last_error))
        console.print(listed)


def show_periodic_jobs() -> None:
    """Print when each periodic job runs next, and how its last run ended."""
    from bursar import clock
    from bursar.queue import scheduler
    from bursar.queue.models import PeriodicJobStatus

    now = clock.now()
    rows = list(PeriodicJobStatus.objects.order_by("name"))
    echo("[bold]Periodic jobs[/]" if rows else "periodic jobs are set up when a worker starts")
    for row in rows:
        state = scheduler.state_of(row, now=now)
        echo(f"  {row.name}, {row.schedule}: [bold]{state}[/]")
        echo(
            f"    next run {_minute(row.next_run_at)}, last start {_minute(row.last_started_at)},"
            f" last success {_minute(row.last_succeeded_at)}"
        )
        if row.last_error:
            echo(f"    {escape(row.last_error)}")


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "never"


def show_reviews() -> None:
    """Print the open reviews, oldest first."""
    from bursar.payments.models import Review

    open_ones = Review.objects.filter(resolved_at__isnull=True).order_by("opened_at")
    count = open_ones.count()
    if not count:
        echo("nothing waits for a person")
        return
    echo(f"[bold]{count:,} open[/]; answer with: bursar reviews resolve ID ...")
    for review in open_ones[: LINES_MAX * 5]:
        detail = ", ".join(f"{key}: {value}" for key, value in review.detail.items())
        opened = review.opened_at.strftime("%Y-%m-%d %H:%M UTC")
        echo(f"{review.id}  {opened}  [bold]{review.code}[/]")
        echo(f"    {escape(review.subject)}  {escape(detail)}")


def show_providers() -> None:
    """Print the installed providers with their powers, and the accounts at them."""
    from bursar.payments.models import ProviderAccount
    from bursar.providers import capabilities, registry

    shown = table("Providers", "name", "powers")
    for name in registry.names():
        try:
            offered = ", ".join(capabilities.capabilities(registry.get_class(name)))
        except errors.BursarError as error:
            offered = f"[red]{escape(str(error))}[/]"
        shown.add_row(name, offered)
    console.print(shown)
    accounts = list(ProviderAccount.objects.order_by("name"))
    listed = table("Accounts", "account", "provider", "settings")
    for account in accounts:
        settings = ", ".join(f"{key}={value}" for key, value in account.config.items())
        listed.add_row(account.name, account.provider, escape(settings))
    console.print(listed if accounts else "no account is set up")


def show_api_keys() -> None:
    """Print the API keys, newest first."""
    from bursar.access.models import ApiKey

    shown = table("API keys", "id", "name", "key", "owner", "scopes", "expires", "last used")
    for key in ApiKey.objects.select_related("owner").order_by("-id")[: LINES_MAX * 5]:
        ends = "revoked" if key.revoked_at else _day(key.expires_at)
        shown.add_row(
            key.id,
            escape(key.name),
            key.redacted_token,
            escape(key.owner.email) if key.owner else "operator",
            " ".join(key.allowed_scopes) or "none",
            ends,
            _day(key.last_used_at),
        )
    console.print(shown)


def show_users() -> None:
    """Print the users, by e-mail address."""
    from bursar.access.models import User

    shown = table("Users", "e-mail", "name", "role", "active", "last sign-in")
    for user in User.objects.order_by("email")[: LINES_MAX * 5]:
        active = "yes" if user.is_active else "no"
        shown.add_row(
            escape(user.email), escape(user.name), user.role, active, _day(user.last_login_at)
        )
    console.print(shown)


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"


def counts_table(title: str, what: str, counts: Counter[str]) -> Table:
    """A table of counts, the most frequent first."""
    shown = table(title, what, "count", numbers=["count"])
    for name, count in counts.most_common():
        shown.add_row(escape(name), f"{count:,}")
    return shown
