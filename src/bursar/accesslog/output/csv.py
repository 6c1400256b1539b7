"""A report as one CSV stream whose first column names the table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from bursar.accesslog import report as reports
from bursar.accesslog.output import formatting

HEADER = ["table", "key", *formatting.COLUMNS, "message"]
#: First characters that make a spreadsheet evaluate a cell; the last four are their full-width forms.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def render(report: reports.AccessLogReport) -> bytes:
    """Return *report* as UTF-8 with CRLF (RFC 4180); no cell starts a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(HEADER)
    writer.writerows(_rows(report))
    return out.getvalue().encode()


def cell(text: object) -> str:
    """Return *text* with hidden characters escaped, and an apostrophe in front of a formula."""
    plain = formatting.visible(text)
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) else plain


def _rows(report: reports.AccessLogReport) -> Iterator[list[object]]:
    blank = [""] * len(formatting.COLUMNS)
    for warning in formatting.warnings(report):
        kind, _, message = warning.partition(": ")
        yield ["report", kind, *blank, cell(message)]
    for name, value in formatting.summary(report):
        yield ["report", name, *blank, cell(value)]
    for description in report.get("filters", []):
        yield ["report", "filter", *blank, cell(description)]
    for source in report.get("sources", []):
        yield ["sources", cell(source["name"]), *blank, cell(formatting.describe_source(source))]
    if "totals" in report:
        yield _row("totals", "", report["totals"])
    for name, key, table in formatting.tables(report):
        yield [name, "(distinct)", table["distinct"], *blank[1:], ""]
        for row in table["top"]:
            yield _row(name, row.get(key, ""), row)
    for signal in report.get("signals", []):
        message = f"{signal['kind']}: {signal['message']}"
        yield ["signals", cell(signal["subject"]), *blank, cell(message)]


def _row(name: str, key: object, row: reports.ReportRow) -> list[object]:
    return [name, cell(key), *(row.get(column, "") for column in formatting.COLUMNS), ""]
