"""
A report as one page of HTML that needs nothing else: no script, no request, no other file.

Its policy admits nothing but this style, by its hash; all of the log's text is made visible and escaped.
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
#: More hours than this are drawn as days, more days as the last ones.
BARS_MAX = 24 * 8
CLASSES = {
    2: "2xx answered",
    3: "3xx elsewhere",
    4: "4xx client errors",
    5: "5xx server errors",
    0: "others",
}


def render(report: reports.AccessLogReport) -> bytes:
    """Write *report* as a whole page in UTF-8."""
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
        yield from _classes(report)
    for name, key, table in formatting.tables(report):
        if name != "hours":
            yield from _card(name, key, table)
    yield from _sources(report)
    yield f"<footer>Bursar {_escaped(report.get('bursar', ''))}. Times are in UTC.</footer>"
    yield "</main></body></html>\n"


def _escaped(text: object) -> str:
    return html.escape(formatting.visible(text), quote=True)


def _head(report: reports.AccessLogReport) -> Iterator[str]:
    totals = report.get("totals", {})
    period = " to ".join(
        _moment(moment) for moment in (report.get("first_at"), report.get("last_at")) if moment
    )
    yield f'<header><h1>Traffic report</h1><p class="soft">{period}</p></header>'
    for mark in formatting.marks(report):
        yield f'<p class="mark" role="alert">{_escaped(mark)}</p>'
    for said in report.get("filters", []):
        yield f"<p>Only {_escaped(said)}.</p>"
    shown = [("requests", formatting.number(totals.get("requests", 0)))]
    if "addresses" in report:
        shown.append(("addresses", formatting.number(report["addresses"]["distinct"])))
    if "bytes" in totals:
        shown.append(("sent", formatting.size(totals["bytes"])))
    for name, word in (("client_errors", "client errors"), ("server_errors", "server errors")):
        if name in totals:
            shown.append((word, formatting.number(totals[name])))  # type: ignore[literal-required]
    if "mean_ms" in totals:
        shown.append(("mean time", f"{formatting.number(totals['mean_ms'])} ms"))
    told = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in shown)
    yield f'<dl class="facts">{told}</dl>'


def _moment(moment: str) -> str:
    return _escaped(moment[:16].replace("T", " "))


def _signals(signals: list[reports.Signal]) -> Iterator[str]:
    if signals:
        yield '<section class="card"><h2>Signals</h2><ul class="signals">'
        for signal in signals:
            kind = _escaped(signal["kind"].replace("_", " "))
            yield f"<li><strong>{kind}: {_escaped(signal['subject'])}</strong><br>{_escaped(signal['says'])}</li>"
        yield "</ul></section>"


def _hours(table: reports.ReportTable) -> Iterator[str]:
    each, rows = _drawn(table["top"])
    if not rows:
        return
    most = max(*(requests for _, requests, _ in rows), 1)
    busiest = max(rows, key=lambda row: row[1])
    told = f"Requests per {each}; at most {formatting.number(busiest[1])}, in the {each} of {_moment(busiest[0])}"
    yield f'<section class="card"><h2>Requests per {each}</h2>'
    yield f'<svg class="hours" viewBox="0 0 {len(rows)} 100" preserveAspectRatio="none" role="img" aria-label="{told}">'
    for at, (hour, requests, errors) in enumerate(rows):
        whole, bad = requests / most * 100, min(errors, requests) / most * 100
        says = f"{_moment(hour)}: {formatting.number(requests)} requests, {formatting.number(errors)} errors"
        yield (
            f"<g><title>{says}</title>{_rect('b', at + 0.05, 100 - whole, 0.9, whole)}"
            f"{_rect('c5', at + 0.05, 100 - bad, 0.9, bad)}</g>"
        )
    yield f'</svg><div class="ends"><span>{_moment(rows[0][0])}</span><span>{_moment(rows[-1][0])}</span></div>'
    yield f'<ul class="key"><li>{_dot("b")}requests, at most {formatting.number(most)}</li><li>{_dot("c5")}of these errors (4xx, 5xx)</li></ul>'
    yield f"<details><summary>As a table</summary>{_table('hour', table)}</details></section>"


def _drawn(rows: list[reports.ReportRow]) -> tuple[str, list[tuple[str, int, int]]]:
    """Give what one bar stands for, and for each its beginning, requests and errors."""
    length, each = (13, "hour") if len(rows) <= BARS_MAX else (10, "day")
    sums: dict[str, tuple[str, int, int]] = {}
    for row in rows:
        hour = str(row.get("hour", ""))
        begun, requests, errors = sums.get(hour[:length], (hour, 0, 0))
        errors += row.get("client_errors", 0) + row.get("server_errors", 0)
        sums[hour[:length]] = begun, requests + row.get("requests", 0), errors
    return each, list(sums.values())[-BARS_MAX:]


def _classes(report: reports.AccessLogReport) -> Iterator[str]:
    counts = dict.fromkeys(CLASSES, 0)
    for row in report["statuses"]["top"]:
        kind = row.get("status", 0) // 100
        counts[kind if kind in counts else 0] += row.get("requests", 0)
    counts[0] += max(report.get("totals", {}).get("requests", 0) - sum(counts.values()), 0)
    whole = sum(counts.values())
    if not whole:
        return
    told = [
        (kind, count, f"{CLASSES[kind]}: {formatting.number(count)} ({count / whole:.1%})")
        for kind, count in counts.items()
        if count
    ]
    yield '<section class="card"><h2>Answers by class of status</h2>'
    label = "; ".join(says for _, _, says in told)
    yield f'<svg class="classes" viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label="{label}">'
    at = 0.0
    for kind, count, says in told:
        yield f"<g><title>{says}</title>{_rect(f'c{kind}', at, 0, count / whole * 100, 1)}</g>"
        at += count / whole * 100
    yield "</svg>"
    listed = "".join(f"<li>{_dot(f'c{kind}')}{says}</li>" for kind, _, says in told)
    yield f'<ul class="key">{listed}</ul></section>'


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{kind}" x="{x:.3f}" y="{y:.3f}" width="{width:.3f}" height="{height:.3f}"/>'
    )


def _dot(kind: str) -> str:
    return f'<svg viewBox="0 0 1 1" aria-hidden="true">{_rect(kind, 0, 0, 1, 1)}</svg>'


def _card(name: str, key: str, table: reports.ReportTable) -> Iterator[str]:
    yield f'<section class="card"><h2>{formatting.TITLES[name]}</h2>'
    listed, distinct = len(table["top"]), table["distinct"]
    first = (
        f"The first {formatting.number(listed)} of {formatting.number(distinct)}."
        if listed < distinct
        else f"{formatting.number(distinct)} in all."
    )
    by = "mean_ms" if name == "slowest" else "requests"
    yield f'<p class="soft">{first}</p>{_table(key, table, by=by) if listed else ""}</section>'


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
        text = _escaped(row.get(key, ""))
        body.append(f'<tr><th scope="row"><div>{text}</div>{bar}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{key} table"><table><thead><tr>'
        f'<th scope="col">{key}</th>{heads}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _value(row: reports.ReportRow, name: str) -> float:
    return row.get("mean_ms", 0.0) if name == "mean_ms" else float(row.get("requests", 0))


def _sources(report: reports.AccessLogReport) -> Iterator[str]:
    yield '<section class="card"><details><summary>What was read</summary>'
    for given in report.get("sources", []):
        yield f"<p>{_escaped(given['name'])}: {_escaped(formatting.source(given))}</p>"
    told = ", ".join(f"{name} {value}" for name, value in formatting.facts(report))
    yield f'<p class="soft">{_escaped(told)}</p></details></section>'
