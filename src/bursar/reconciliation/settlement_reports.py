"""Load settlement lines from a report file (all or nothing) or from the provider's API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bursar import errors, fields, group_commit
from bursar.imports import csv_reader
from bursar.imports.row_errors import RowErrors
from bursar.money import Money
from bursar.payments import provider_accounts
from bursar.providers.capabilities import (
    OperationNotSupported,
    SupportsSettlementApi,
    SupportsSettlementFile,
)
from bursar.providers.interface import Category, PaymentProvider, SettlementLine
from bursar.reconciliation.models import SettlementReportLine


class LoadedReport(NamedTuple):
    """A settlement report: file name, SHA-256 (both "" for an API), and its lines."""

    file: str
    sha256: str
    lines: Sequence[SettlementLine]


def read_file(path: Path, *, provider_account: str) -> LoadedReport:
    """
    Parse a settlement report in the provider's format; nothing is stored.

    :raises row_errors.ImportRefused: if anything is wrong, with up to 1,000 mistakes by line;
    :raises OperationNotSupported: if the provider has no such reports.
    """
    provider = provider_accounts.get(provider_account)
    if not isinstance(provider, SupportsSettlementFile):
        raise OperationNotSupported(f"{provider_account} does not support settlement report files")
    row_errors, lines = RowErrors(path.name), []
    try:
        file = csv_reader.load(path)
        rows = csv_reader.rows(file, columns=provider.settlement_columns, problems=row_errors)
        for row in rows:
            line = _parse_line(provider, row, row_errors)
            if line is not None:
                lines.append(line)
    except csv_reader.ImportFileUnreadable as error:
        row_errors.add_error(error, line=error.line or 1)
        raise row_errors.to_exception() from error
    row_errors.raise_if_any()
    return LoadedReport(file.name, file.sha256, lines)


def _parse_line(
    provider: SupportsSettlementFile, row: csv_reader.CsvRow, row_errors: RowErrors
) -> SettlementLine | None:
    try:
        line = provider.parse_settlement_row(row.values)
        for name in ("reference", "source", "parent_reference", "payout"):
            required = name in {"reference", "source"}
            fields.validate_text(name, getattr(line, name), 160, required=required)
    except errors.ValidationError as error:
        row_errors.add_error(error, line=row.line, column=error.param or "")
        return None
    if line.net_minor != line.gross_minor - line.fee_minor:
        row_errors.add(
            line=row.line,
            column="net",
            rule="net_is_gross_less_fee",
            message=f"net is {line.net_minor}, gross less fee {line.gross_minor - line.fee_minor}",
        )
        return None
    return line


def fetch_lines(*, provider_account: str, since: datetime) -> LoadedReport:
    """
    Fetch the settlement lines since *since* from the provider's API; blocks.

    :raises OperationNotSupported: if the provider has no such API;
    :raises errors.Unavailable: if the provider cannot be reached;
    :raises errors.OutcomeUnknown: if its response is not clear.
    """
    provider: PaymentProvider = provider_accounts.get(provider_account)
    if not isinstance(provider, SupportsSettlementApi):
        raise OperationNotSupported(f"{provider_account} does not support settlement lines by API")
    listing = provider.list_settlement_lines(since)

    async def collect() -> list[SettlementLine]:
        return [line async for line in listing]

    return LoadedReport("", "", provider_accounts.run_sync(collect()))


def store_lines(
    lines: Iterable[SettlementLine], *, provider_account: str, keep_duplicates: bool, now: datetime
) -> list[SettlementReportLine]:
    """
    Insert lines. With *keep_duplicates* a repeated reference is stored with the next duplicate_index.

    Otherwise it is skipped: an API returns the same lines in every call. Needs an open
    transaction. Return the inserted rows.
    """
    group_commit.require_transaction()
    counts = Counter(
        SettlementReportLine.objects.filter(provider_account_id=provider_account).values_list(
            "reference", flat=True
        )
    )
    rows = []
    for line in lines:
        if counts[line.reference] and not keep_duplicates:
            continue
        rows.append(_row(line, provider_account, counts[line.reference], now))
        counts[line.reference] += 1
    return SettlementReportLine.objects.bulk_create(rows, batch_size=500)


def _row(
    line: SettlementLine, provider_account: str, duplicate_index: int, now: datetime
) -> SettlementReportLine:
    return SettlementReportLine(
        provider_account_id=provider_account,
        reference=line.reference,
        duplicate_index=duplicate_index,
        category=line.category.value,
        source=line.source,
        parent_reference=line.parent_reference,
        currency=line.currency,
        gross_minor=line.gross_minor,
        fee_minor=line.fee_minor,
        net_minor=line.net_minor,
        paid_minor=line.paid.amount_minor if line.paid else None,
        paid_currency=line.paid.currency if line.paid else "",
        rate=line.rate,
        payout=line.payout,
        occurred_at=line.occurred_at,
        loaded_at=now,
    )


def to_settlement_line(row: SettlementReportLine) -> SettlementLine:
    """Convert a stored row to a `SettlementLine`."""
    paid = None if row.paid_minor is None else Money(row.paid_minor, row.paid_currency)
    return SettlementLine(
        reference=row.reference,
        category=Category(row.category),
        source=row.source,
        parent_reference=row.parent_reference,
        currency=row.currency,
        gross_minor=row.gross_minor,
        fee_minor=row.fee_minor,
        net_minor=row.net_minor,
        occurred_at=row.occurred_at,
        paid=paid,
        rate=row.rate,
        payout=row.payout,
    )
