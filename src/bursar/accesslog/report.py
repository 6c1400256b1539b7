r"""
What a report says: one JSON document, the same whether it comes from one file, many, or partial results.

Every table lists its first rows by requests (the slowest paths by their time) and tells how many
there are in all. A key that is not UTF-8 shows such bytes as `\xNN`.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

#: The tables of a report: the question asked with `--only`, and the name of the key in its rows.
KEYS = {
    "addresses": "address",
    "statuses": "status",
    "methods": "method",
    "paths": "path",
    "routes": "route",
    "slowest": "route",
    "hours": "hour",
    "agents": "agent",
    "referrers": "referrer",
    "hosts": "host",
}


class ReportRow(TypedDict, total=False):
    """
    One row of a table: its key under the name in `KEYS`, and what was counted for it.

    `--only addresses` counts requests alone; times are there where the log has them.
    """

    address: str
    status: int
    method: str
    path: str
    route: str
    hour: str
    """Its beginning, ISO 8601 in UTC."""

    agent: str
    referrer: str
    host: str
    requests: int
    bytes: int
    client_errors: int
    """Answers of status 400 to 499."""

    server_errors: int
    """Answers of status 500 to 599."""

    mean_ms: float
    max_ms: float


class ReportTable(TypedDict):
    """The answer to one question."""

    distinct: int
    top: list[ReportRow]


class Signal(TypedDict):
    """Something a merchant should look at."""

    kind: str
    """card_testing, declined_payments, webhook_signatures, credential_stuffing, scanner or change."""

    subject: str
    """The address, or what has changed."""

    says: str
    """The finding in a sentence."""

    figures: dict[str, int | float]


class LineTotals(TypedDict):
    """What became of the lines."""

    read: int
    counted: int
    rejected: int
    """Not of the format, or without a valid address."""

    too_long: int
    """Above 64 KiB; among the rejected."""

    filtered: int
    """Left out by a filter."""


class ReportSource(TypedDict):
    """One input."""

    name: str
    format: str
    bytes: int
    """As read, after decompression."""

    lines: int
    cut_at: NotRequired[int]
    """The offset where the input ended before its time; the report is partial."""


class AccessLogReport(TypedDict, total=False):
    """The whole document."""

    bursar: str
    """Bursar's version."""

    complete: bool
    """False where an input was cut: exit code 4, and every output says so."""

    approximate: bool
    error_bound: float
    """Of the number of distinct addresses, relative."""

    sources: list[ReportSource]
    lines: LineTotals
    first_at: str | None
    last_at: str | None
    """The earliest and latest request, ISO 8601 in UTC."""

    filters: list[str]
    seconds: float
    totals: ReportRow
    addresses: ReportTable
    statuses: ReportTable
    methods: ReportTable
    paths: ReportTable
    routes: ReportTable
    slowest: ReportTable
    hours: ReportTable
    """All of them, in order of time."""

    agents: ReportTable
    referrers: ReportTable
    hosts: ReportTable
    signals: list[Signal]
