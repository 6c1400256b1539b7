"""Run the conformance suite and print its verdicts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from rich.markup import escape

from bursar import settings
from bursar.cli import options, output
from bursar.payments import provider_accounts
from bursar.providers import conformance, registry

_MARKS = {
    conformance.Verdict.PASSED: "[green]passed[/]",
    conformance.Verdict.FAILED: "[bold red]FAILED[/]",
    conformance.Verdict.NOT_SUPPORTED: "[yellow]not supported[/]",
}


def show(name: str, pairs: Sequence[str]) -> bool:
    """Run the suite against provider *name* with settings *pairs*. Return False if a case failed."""
    config = {**provider_accounts.load_secrets(name, name), **options.read_settings(name, pairs)}
    provider = registry.get_class(name)
    results = asyncio.run(
        conformance.run_suite(lambda: provider(registry.parse_config(provider, config)))
    )
    table = output.table(f"{name} ({settings.current.mode} mode)", "case", "verdict", "detail")
    for result in results:
        table.add_row(result.name, _MARKS[result.verdict], escape(result.detail))
    output.console.print(table)
    counts = Counter(result.verdict for result in results)
    output.echo(", ".join(f"{counts[verdict]} {verdict}" for verdict in conformance.Verdict))
    return not counts[conformance.Verdict.FAILED]
