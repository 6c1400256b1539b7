"""A report as tables on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bursar.accesslog import report as reports
from bursar.accesslog.output import formatting


def show(report: reports.AccessLogReport, console: Console) -> None:
    """Print *report*: marks first and last, so that they are seen however long it is."""
    _marks(report, console)
    for source in report.get("sources", []):
        _say(console, f"{formatting.visible(source['name'])}: {formatting.source(source)}")
    _say(console, ", ".join(f"{name} {told}" for name, told in formatting.facts(report)))
    for said in report.get("filters", []):
        _say(console, f"only {formatting.visible(said)}")
    if report.get("signals"):
        console.print(_signals(report["signals"]))
    for name, key, table in formatting.tables(report):
        if table["top"]:
            console.print(_table(formatting.TITLES[name], key, table))
        else:
            _say(
                console, f"{formatting.TITLES[name]}: {formatting.number(table['distinct'])} in all"
            )
    _marks(report, console)


def _marks(report: reports.AccessLogReport, console: Console) -> None:
    for mark in formatting.marks(report):
        _say(console, mark, style="bold red")


def _say(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)


def _table(title: str, key: str, table: reports.ReportTable) -> Table:
    shown = Table(
        title=Text(f"{title}: {formatting.number(table['distinct'])} in all", style="bold"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    columns = formatting.columns(table)
    shown.add_column(key, overflow="fold")
    for column in columns:
        shown.add_column(formatting.COLUMNS[column], justify="right", no_wrap=True)
    for row in table["top"]:
        numbers = (formatting.number(row[name]) if name in row else "" for name in columns)  # type: ignore[literal-required]
        shown.add_row(Text(formatting.visible(row.get(key, ""))), *numbers)
    return shown


def _signals(signals: list[reports.Signal]) -> Table:
    shown = Table(title=Text("Signals", style="bold"), box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("kind", "subject", "finding"):
        shown.add_column(column, overflow="fold")
    for signal in signals:
        told = signal["kind"].replace("_", " "), signal["subject"], signal["says"]
        shown.add_row(*(Text(formatting.visible(text)) for text in told))
    return shown
