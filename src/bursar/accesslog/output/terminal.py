"""A report as tables on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bursar.accesslog import report as reports
from bursar.accesslog.output import formatting


def show(report: reports.AccessLogReport, console: Console) -> None:
    """Print *report*; warnings come first and last, so that a long report does not hide them."""
    _print_warnings(report, console)
    for source in report.get("sources", []):
        _print_line(
            console, f"{formatting.visible(source['name'])}: {formatting.describe_source(source)}"
        )
    _print_line(console, ", ".join(f"{name} {value}" for name, value in formatting.summary(report)))
    for description in report.get("filters", []):
        _print_line(console, f"filter: {formatting.visible(description)}")
    if report.get("signals"):
        console.print(_signals(report["signals"]))
    for name, key, table in formatting.tables(report):
        if table["top"]:
            console.print(_table(formatting.TITLES[name], key, table))
        else:
            _print_line(
                console,
                f"{formatting.TITLES[name]}: {formatting.number(table['distinct'])} in total",
            )
    _print_warnings(report, console)


def _print_warnings(report: reports.AccessLogReport, console: Console) -> None:
    for warning in formatting.warnings(report):
        _print_line(console, warning, style="bold red")


def _print_line(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)


def _table(title: str, key: str, table: reports.ReportTable) -> Table:
    rendered = Table(
        title=Text(f"{title}: {formatting.number(table['distinct'])} in total", style="bold"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    columns = formatting.columns(table)
    rendered.add_column(key, overflow="fold")
    for column in columns:
        rendered.add_column(formatting.COLUMNS[column], justify="right", no_wrap=True)
    for row in table["top"]:
        numbers = (formatting.number(row[name]) if name in row else "" for name in columns)  # type: ignore[literal-required]
        rendered.add_row(Text(formatting.cell(key, row.get(key, ""))), *numbers)
    return rendered


def _signals(signals: list[reports.Signal]) -> Table:
    table = Table(title=Text("Signals", style="bold"), box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("kind", "subject", "message"):
        table.add_column(column, overflow="fold")
    for signal in signals:
        cells = signal["kind"].replace("_", " "), signal["subject"], signal["message"]
        table.add_row(*(Text(formatting.visible(text)) for text in cells))
    return table
