r"""
The fields of a report: one JSON document, the same for one file, many files or merged partial results.

Every table has its first rows, ordered by requests (the slowest routes by mean time), and the number of
distinct keys. Bytes of a key that are not UTF-8 are written as `\xNN`.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

#: The tables of a report, by their name in `--tables`, and the field of a row that holds its key.
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
    One row of a table: its key, in the field named by `KEYS`, and its counts.

    `--tables addresses` counts requests only; durations are present if the log has them.
    """

    address: str
    status: int
    method: str
    path: str
    route: str
    hour: str
    """Start of the hour, ISO 8601 in UTC."""

    agent: str
    referrer: str
    host: str
    requests: int
    bytes: int
    client_errors: int
    """Responses with status 400 to 499."""

    server_errors: int
    """Responses with status 500 to 599."""

    mean_ms: float
    max_ms: float


class ReportTable(TypedDict):
    """The number of distinct keys of a table and its first rows."""

    distinct: int
    top: list[ReportRow]


class Signal(TypedDict):
    """A suspicious client or a sudden change."""

    kind: str
    """card_testing, declined_payments, webhook_signatures, credential_stuffing, scanner or change."""

    subject: str
    """The address, or the name of the changed count."""

    message: str
    """The finding as text."""

    values: dict[str, int | float]
    """The numbers behind the message."""


class LineTotals(TypedDict):
    """Number of lines by outcome."""

    read: int
    counted: int
    unparsed: int
    """Not of the format, or without a valid address."""

    too_long: int
    """Above 64 KiB; included in *unparsed*."""

    filtered: int
    """Excluded by a filter."""


class ReportSource(TypedDict):
    """One input."""

    name: str
    format: str
    bytes: int
    """Bytes read, after decompression."""

    lines: int
    truncated_at: NotRequired[int]
    """The offset where a truncated or damaged input ended; the report is incomplete."""


class AccessLogReport(TypedDict, total=False):
    """The report as a JSON document."""

    bursar_version: str
    complete: bool
    """False if an input was truncated: exit code 4, and a warning in every output."""

    approximate: bool
    error_bound: float
    """Relative error bound of the number of distinct addresses."""

    sources: list[ReportSource]
    lines: LineTotals
    first_at: str | None
    last_at: str | None
    """The earliest and latest request, ISO 8601 in UTC."""

    filters: list[str]
    duration_seconds: float
    totals: ReportRow
    addresses: ReportTable
    statuses: ReportTable
    methods: ReportTable
    paths: ReportTable
    routes: ReportTable
    slowest: ReportTable
    hours: ReportTable
    """All hours, in order of time."""

    agents: ReportTable
    referrers: ReportTable
    hosts: ReportTable
    signals: list[Signal]
