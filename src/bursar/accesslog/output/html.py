"""
A report as one self-contained HTML page: no script, no external request, no other file.

Its Content-Security-Policy allows only this style sheet, by its hash; text from the log is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator
from importlib import resources

from bursar.accesslog import report as reports
from bursar.accesslog.output import formatting

STYLE = resources.files(__package__).joinpath("page.css").read_text("utf-8")
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
#: Above this many hours a bar stands for a day; of more days the last ones are drawn.
BARS_MAX = 24 * 8
STATUS_CLASSES = {
    2: "2xx success",
    3: "3xx redirects",
    4: "4xx client errors",
    5: "5xx server errors",
    0: "other",
}


def render(report: reports.AccessLogReport) -> bytes:
    """Return *report* as an HTML page in UTF-8."""
    return "\n".join(_page(report)).encode("utf-8")


def _page(report: reports.AccessLogReport) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_escaped(POLICY)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
    yield f"<title>Traffic report</title><style>{STYLE}</style></head><body><main>"
    yield from _head(report)
    yield from _signals(report.get("signals", []))
    if "hours" in report:
        yield from _hours(report["hours"])
    if "statuses" in report:
        yield from _status_classes(report)
    for name, key, table in formatting.tables(report):
        if name != "hours":
            yield from _card(name, key, table)
    yield from _sources(report)
    yield f"<footer>Bursar {_escaped(report.get('bursar_version', ''))}.</footer>"
    yield "</main></body></html>\n"


def _escaped(text: object) -> str:
    return html.escape(formatting.visible(text), quote=True)


def _head(report: reports.AccessLogReport) -> Iterator[str]:
    totals = report.get("totals", {})
    period = " to ".join(_time(at) for at in (report.get("first_at"), report.get("last_at")) if at)
    yield f'<header><h1>Traffic report</h1><p class="soft">{period}</p></header>'
    for warning in formatting.warnings(report):
        yield f'<p class="warning" role="alert">{_escaped(warning)}</p>'
    for description in report.get("filters", []):
        yield f"<p>Filter: {_escaped(description)}</p>"
    items = [("requests", formatting.number(totals.get("requests", 0)))]
    if "addresses" in report:
        items.append(("addresses", formatting.number(report["addresses"]["distinct"])))
    if "bytes" in totals:
        items.append(("sent", formatting.size(totals["bytes"])))
    for name, word in (("client_errors", "client errors"), ("server_errors", "server errors")):
        if name in totals:
            items.append((word, formatting.number(totals[name])))  # type: ignore[literal-required]
    if "mean_ms" in totals:
        items.append(("mean duration", f"{formatting.number(totals['mean_ms'])} ms"))
    rendered = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in items)
    yield f'<dl class="totals">{rendered}</dl>'


def _time(text: str) -> str:
    return html.escape(formatting.time(text), quote=True)


def _signals(signals: list[reports.Signal]) -> Iterator[str]:
    if signals:
        yield '<section class="card"><h2>Signals</h2><ul class="signals">'
        for signal in signals:
            kind = _escaped(signal["kind"].replace("_", " "))
            yield f"<li><strong>{kind}: {_escaped(signal['subject'])}</strong><br>{_escaped(signal['message'])}</li>"
        yield "</ul></section>"


def _hours(table: reports.ReportTable) -> Iterator[str]:
    unit, rows = _bars(table["top"])
    if not rows:
        return
    most = max(*(requests for _, requests, _ in rows), 1)
    busiest = max(rows, key=lambda row: row[1])
    summary = f"Requests per {unit}; at most {formatting.number(busiest[1])}, on {busiest[0]}"
    yield f'<section class="card"><h2>Requests per {unit}</h2>'
    yield f'<svg class="hours" viewBox="0 0 {len(rows)} 100" preserveAspectRatio="none" role="img" aria-label="{summary}">'
    for at, (time, requests, errors) in enumerate(rows):
        height, error_height = requests / most * 100, min(errors, requests) / most * 100
        label = (
            f"{time}: {formatting.number(requests)} requests, {formatting.number(errors)} errors"
        )
        yield (
            f"<g><title>{label}</title>{_rect('b', at + 0.05, 100 - height, 0.9, height)}"
            f"{_rect('c5', at + 0.05, 100 - error_height, 0.9, error_height)}</g>"
        )
    yield f'</svg><div class="ends"><span>{rows[0][0]}</span><span>{rows[-1][0]}</span></div>'
    yield f'<ul class="key"><li>{_dot("b")}requests, at most {formatting.number(most)}</li><li>{_dot("c5")}of which errors (4xx, 5xx)</li></ul>'
    yield f"<details><summary>Show as table</summary>{_table('hour', table)}</details></section>"


def _bars(rows: list[reports.ReportRow]) -> tuple[str, list[tuple[str, int, int]]]:
    """Return the unit of a bar (hour or day) and, for each bar, its escaped time, requests and errors."""
    length, unit = (13, "hour") if len(rows) <= BARS_MAX else (10, "day")
    sums: dict[str, tuple[str, int, int]] = {}
    for row in rows:
        hour = str(row.get("hour", ""))
        time = _time(hour) if unit == "hour" else _escaped(f"{hour[:length]} UTC")
        time, requests, errors = sums.get(hour[:length], (time, 0, 0))
        errors += row.get("client_errors", 0) + row.get("server_errors", 0)
        sums[hour[:length]] = time, requests + row.get("requests", 0), errors
    return unit, list(sums.values())[-BARS_MAX:]


def _status_classes(report: reports.AccessLogReport) -> Iterator[str]:
    counts = dict.fromkeys(STATUS_CLASSES, 0)
    for row in report["statuses"]["top"]:
        kind = row.get("status", 0) // 100
        counts[kind if kind in counts else 0] += row.get("requests", 0)
    counts[0] += max(report.get("totals", {}).get("requests", 0) - sum(counts.values()), 0)
    total = sum(counts.values())
    if not total:
        return
    segments = [
        (kind, count, f"{STATUS_CLASSES[kind]}: {formatting.number(count)} ({count / total:.1%})")
        for kind, count in counts.items()
        if count
    ]
    yield '<section class="card"><h2>Responses by status class</h2>'
    summary = "; ".join(label for _, _, label in segments)
    yield f'<svg class="classes" viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label="{summary}">'
    at = 0.0
    for kind, count, label in segments:
        yield f"<g><title>{label}</title>{_rect(f'c{kind}', at, 0, count / total * 100, 1)}</g>"
        at += count / total * 100
    yield "</svg>"
    legend = "".join(f"<li>{_dot(f'c{kind}')}{label}</li>" for kind, _, label in segments)
    yield f'<ul class="key">{legend}</ul></section>'


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{kind}" x="{x:.3f}" y="{y:.3f}" width="{width:.3f}" height="{height:.3f}"/>'
    )


def _dot(kind: str) -> str:
    return f'<svg viewBox="0 0 1 1" aria-hidden="true">{_rect(kind, 0, 0, 1, 1)}</svg>'


def _card(name: str, key: str, table: reports.ReportTable) -> Iterator[str]:
    yield f'<section class="card"><h2>{formatting.TITLES[name]}</h2>'
    rows, distinct = len(table["top"]), table["distinct"]
    count = (
        f"Top {formatting.number(rows)} of {formatting.number(distinct)}."
        if rows < distinct
        else f"{formatting.number(distinct)} in total."
    )
    by = "mean_ms" if name == "slowest" else "requests"
    yield f'<p class="soft">{count}</p>{_table(key, table, by=by) if rows else ""}</section>'


def _table(key: str, table: reports.ReportTable, *, by: str = "requests") -> str:
    columns = formatting.columns(table)
    values = [_value(row, by) for row in table["top"]]
    most = max(values, default=0.0) or 1.0
    heads = "".join(f'<th scope="col">{formatting.COLUMNS[name]}</th>' for name in columns)
    body = []
    for row, value in zip(table["top"], values, strict=True):
        share = value / most * 100
        bar = f'<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">{_rect("t", 0, 0, 100, 1)}{_rect("b", 0, 0, share, 1)}</svg>'
        cells = "".join(
            f"<td>{formatting.number(row[name]) if name in row else ''}</td>"  # type: ignore[literal-required]
            for name in columns
        )
        text = html.escape(formatting.cell(key, row.get(key, "")), quote=True)
        body.append(f'<tr><th scope="row"><div>{text}</div>{bar}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{key} table"><table><thead><tr>'
        f'<th scope="col">{key}</th>{heads}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _value(row: reports.ReportRow, name: str) -> float:
    return row.get("mean_ms", 0.0) if name == "mean_ms" else float(row.get("requests", 0))


def _sources(report: reports.AccessLogReport) -> Iterator[str]:
    yield '<section class="card"><details><summary>Inputs</summary>'
    for source in report.get("sources", []):
        yield f"<p>{_escaped(source['name'])}: {_escaped(formatting.describe_source(source))}</p>"
    summary = ", ".join(f"{name} {value}" for name, value in formatting.summary(report))
    yield f'<p class="soft">{_escaped(summary)}</p></details></section>'
