"""A report as one CSV stream whose first column names the table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from bursar.accesslog import report as reports
from bursar.accesslog.output import formatting

HEADER = ["table", "key", *formatting.COLUMNS, "says"]
#: A spreadsheet takes a cell that begins so for a formula; the last four are their full width forms.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def render(report: reports.AccessLogReport) -> bytes:
    """Write *report* as UTF-8 with CRLF (RFC 4180); no text of the log begins a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(HEADER)
    writer.writerows(_rows(report))
    return out.getvalue().encode()


def cell(text: object) -> str:
    """Make *text* visible, with an apostrophe before what a spreadsheet would calculate."""
    shown = formatting.visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def _rows(report: reports.AccessLogReport) -> Iterator[list[object]]:
    blank = [""] * len(formatting.COLUMNS)
    for mark in formatting.marks(report):
        kind, _, says = mark.partition(": ")
        yield ["report", kind, *blank, cell(says)]
    for name, told in formatting.facts(report):
        yield ["report", name, *blank, cell(told)]
    for said in report.get("filters", []):
        yield ["report", "filter", *blank, cell(said)]
    for source in report.get("sources", []):
        yield ["sources", cell(source["name"]), *blank, cell(formatting.source(source))]
    if "totals" in report:
        yield _row("totals", "", report["totals"])
    for name, key, table in formatting.tables(report):
        yield [name, "(distinct)", table["distinct"], *blank[1:], ""]
        for row in table["top"]:
            yield _row(name, row.get(key, ""), row)
    for signal in report.get("signals", []):
        says = f"{signal['kind']}: {signal['says']}"
        yield ["signals", cell(signal["subject"]), *blank, cell(says)]


def _row(name: str, key: object, row: reports.ReportRow) -> list[object]:
    return [name, cell(key), *(row.get(column, "") for column in formatting.COLUMNS), ""]
