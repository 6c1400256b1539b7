r"""
What all four outputs say alike: titles, numbers, marks, and the log's own text made harmless.

Whoever sends a request writes into the log. So its text is never shown as it is: what could move
the cursor, hide or turn round other text appears as an escape such as `\x1b` or `\u202e`.
"""

from __future__ import annotations

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


def visible(text: object) -> str:
    """Return *text* on one line of characters that show themselves and nothing else."""
    told = str(text)
    if told.isascii() and told.isprintable():
        return told
    return "".join(map(_shown, told))


def _shown(letter: str) -> str:
    if unicodedata.category(letter) not in _HIDDEN:
        return letter
    code = ord(letter)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def number(value: float) -> str:
    """Write *value* with thousands parted; what is no whole number to one decimal."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def size(count: float) -> str:
    """Write a number of bytes in the largest unit that leaves one or more of it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{number(count)} {unit}"
        count = count / 1000
    return f"{count:,.1f} TB"


def tables(report: reports.AccessLogReport) -> Iterator[tuple[str, str, reports.ReportTable]]:
    """Give the name, the key's name and the rows of each table that *report* has."""
    for name, key in reports.KEYS.items():
        table = report.get(name)
        if isinstance(table, dict):
            yield name, key, table  # type: ignore[misc]  # `get` by a variable has no type


def columns(table: reports.ReportTable) -> list[str]:
    """Name the columns of which at least one row has a value, in their order."""
    return [name for name in COLUMNS if any(name in row for row in table["top"])]


def marks(report: reports.AccessLogReport) -> list[str]:
    """Say what keeps *report* from being whole and exact; nothing if it is both."""
    said = []
    if not report.get("complete", False):
        cuts = [
            f"{visible(source['name'])} ends at byte {source['cut_at']:,}"
            for source in report.get("sources", [])
            if "cut_at" in source
        ]
        said.append(f"INCOMPLETE: {'; '.join(cuts) or 'not every input was read to its end'}")
    if report.get("approximate", False):
        bound = report.get("error_bound")
        within = "" if bound is None else f", within {bound:.2%}"
        said.append(f"APPROXIMATE: the number of distinct addresses is an estimate{within}")
    return said


def facts(report: reports.AccessLogReport) -> list[tuple[str, str]]:
    """Tell what was read, when the requests came, and what was left out."""
    lines, totals = report.get("lines"), report.get("totals", {})
    told = []
    if lines is not None:
        told = [("lines", number(lines["read"])), ("counted", number(lines["counted"]))]
        told += [
            (word, number(lines[name]))  # type: ignore[literal-required]
            for word, name in (
                ("rejected", "rejected"),
                ("too long", "too_long"),
                ("filtered", "filtered"),
            )
            if lines[name]  # type: ignore[literal-required]
        ]
    if "bytes" in totals:
        told.append(("sent", size(totals["bytes"])))
    for word, moment in (("first", report.get("first_at")), ("last", report.get("last_at"))):
        if moment:
            told.append((word, visible(moment)))
    if "seconds" in report:
        told.append(("took", f"{report['seconds']:,.1f} s"))
    return told


def source(given: reports.ReportSource) -> str:
    """Tell of one input in a line."""
    cut = f", cut at byte {given['cut_at']:,}" if "cut_at" in given else ""
    return (
        f"{visible(given['format'])}, {size(given['bytes'])}, {number(given['lines'])} lines{cut}"
    )
