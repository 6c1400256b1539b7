r"""
Formatting that all outputs share: titles, numbers, times, warnings, and escapes for text from the log.

Anyone who sends a request writes text into the log, so that text is never printed as it is: characters
that could move the cursor, hide text or reverse its direction are written as escapes such as `\x1b` or
`\u202e`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from bursar.accesslog import report as reports

TITLES = {
    "addresses": "Addresses",
    "statuses": "Statuses",
    "methods": "Methods",
    "paths": "Paths",
    "routes": "Routes",
    "slowest": "Slowest routes",
    "hours": "Hours",
    "agents": "User agents",
    "referrers": "Referrers",
    "hosts": "Hosts",
}
COLUMNS = {
    "requests": "requests",
    "bytes": "bytes",
    "client_errors": "4xx",
    "server_errors": "5xx",
    "mean_ms": "mean ms",
    "max_ms": "max ms",
}
#: Control, format (bidirectional overrides, zero width), surrogate, private, line and paragraph.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}):[0-9]{2}Z")


def visible(text: object) -> str:
    """Return *text* on one line, with hidden characters as escapes."""
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(map(_escape_hidden, plain))


def _escape_hidden(letter: str) -> str:
    if unicodedata.category(letter) not in _HIDDEN:
        return letter
    code = ord(letter)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def number(value: float) -> str:
    """Return *value* with a thousands separator, and one decimal unless it is an integer."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def size(count: float) -> str:
    """Return a number of bytes in the largest decimal unit of which it has at least one."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{number(count)} {unit}"
        count = count / 1000
    return f"{count:,.1f} TB"


def time(text: str) -> str:
    """Return a time of a report (`2026-11-25T14:00:00Z`) as `2026-11-25 14:00 UTC`."""
    match = _TIME.fullmatch(text)
    return f"{match[1]} {match[2]} UTC" if match else visible(text)


def cell(key: str, value: object) -> str:
    """Return the value of a table's *key* column as shown to people."""
    return time(str(value)) if key == "hour" else visible(value)


def tables(report: reports.AccessLogReport) -> Iterator[tuple[str, str, reports.ReportTable]]:
    """Yield the name, the key column and the rows of each table in *report*."""
    for name, key in reports.KEYS.items():
        table = report.get(name)
        if isinstance(table, dict):
            yield name, key, table  # type: ignore[misc]  # `get` by a variable has no type


def columns(table: reports.ReportTable) -> list[str]:
    """Return the columns, in order, for which at least one row has a value."""
    return [name for name in COLUMNS if any(name in row for row in table["top"])]


def warnings(report: reports.AccessLogReport) -> list[str]:
    """Return a line for each reason why *report* is incomplete or approximate."""
    messages = []
    if not report.get("complete", False):
        inputs = [
            f"{visible(source['name'])} ends at byte {source['truncated_at']:,}"
            for source in report.get("sources", [])
            if "truncated_at" in source
        ]
        messages.append(f"INCOMPLETE: {'; '.join(inputs) or 'not every input was read to its end'}")
    if report.get("approximate", False):
        bound = report.get("error_bound")
        within = "" if bound is None else f", within {bound:.2%}"
        messages.append(f"APPROXIMATE: the number of distinct addresses is an estimate{within}")
    return messages


def summary(report: reports.AccessLogReport) -> list[tuple[str, str]]:
    """Return label and value of the line counts, bytes sent, first and last request, and run time."""
    lines, totals = report.get("lines"), report.get("totals", {})
    items = []
    if lines is not None:
        items = [("lines", number(lines["read"])), ("counted", number(lines["counted"]))]
        items += [
            (label, number(lines[name]))  # type: ignore[literal-required]
            for label, name in (
                ("unparsed", "unparsed"),
                ("too long", "too_long"),
                ("filtered", "filtered"),
            )
            if lines[name]  # type: ignore[literal-required]
        ]
    if "bytes" in totals:
        items.append(("sent", size(totals["bytes"])))
    for label, at in (("first", report.get("first_at")), ("last", report.get("last_at"))):
        if at:
            items.append((label, time(at)))
    if "duration_seconds" in report:
        items.append(("duration", f"{report['duration_seconds']:,.1f} s"))
    return items


def describe_source(entry: reports.ReportSource) -> str:
    """Return format, size and lines of one input."""
    end = f", truncated at byte {entry['truncated_at']:,}" if "truncated_at" in entry else ""
    return (
        f"{visible(entry['format'])}, {size(entry['bytes'])}, {number(entry['lines'])} lines{end}"
    )
