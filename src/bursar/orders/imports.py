"""
Import orders from a file of invoices, all or none.

An import is identified by the file's bytes, the mapping, the provider account and the payment
method; importing the same again writes nothing. An invoice's idempotency key is the mapping's name
and the invoice number, so an invoice in two files is placed once. If its content differs, the
whole second file is refused.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bursar import errors, fields, group_commit, ids, money
from bursar.imports import csv_reader, import_log
from bursar.imports.mapping import InvoiceMapping, MappingSource
from bursar.imports.row_errors import RowErrors
from bursar.money import Money
from bursar.orders import invoices, operations
from bursar.orders.invoice_rows import CREDIT_NOTE, SkippedRow
from bursar.orders.invoices import Invoice
from bursar.orders.models import Order
from bursar.payments import provider_accounts

PURPOSE = "orders"
_KEYS_PER_QUERY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """
    Result of an import.

    *orders*, *lines* and *sums* (gross, one per currency) cover all invoices of the file;
    *existing_orders* of them were placed by an earlier import. With *already_imported* nothing was
    written, and *file* is the name of the first import.
    """

    file: str
    orders: int
    existing_orders: int
    lines: int
    sums: tuple[Money, ...]
    skipped_rows: tuple[SkippedRow, ...]
    already_imported: bool = False

    @property
    def credit_notes(self) -> tuple[SkippedRow, ...]:
        """Skipped rows of credit notes."""
        return tuple(row for row in self.skipped_rows if row.reason == CREDIT_NOTE)

    @property
    def unsellable(self) -> tuple[SkippedRow, ...]:
        """Skipped rows that cannot be sold."""
        return tuple(row for row in self.skipped_rows if row.reason != CREDIT_NOTE)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, with amounts in minor units."""
        return {
            "file": self.file,
            "orders": self.orders,
            "existing_orders": self.existing_orders,
            "lines": self.lines,
            "sums": [{"amount": m.amount_minor, "currency": m.currency} for m in self.sums],
            "skipped_rows": [dataclasses.asdict(row) for row in self.skipped_rows],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, already_imported: bool) -> ImportReport:
        """Rebuild a report from the values of `to_json`."""
        fields_read = {
            **values,
            "sums": tuple(Money(m["amount"], m["currency"]) for m in values["sums"]),
            "skipped_rows": tuple(SkippedRow(**row) for row in values["skipped_rows"]),
        }
        return cls(**fields_read, already_imported=already_imported)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A validated file ready to write, with the ids of its orders and payments assigned."""

    digest: str
    file: str
    provider_account: str
    invoices: Sequence[tuple[Invoice, str, str]]
    report: ImportReport
    now: datetime


def import_file(
    *,
    path: Path,
    mapping: InvoiceMapping,
    now: datetime,
    provider_account: str | None = None,
    method: str = "",
) -> ImportReport:
    """
    Place one order per invoice of a file, all in one commit; blocks until it is committed.

    With *provider_account* each order is charged by the mapping's payment method, or by *method*
    if the mapping has none. Memory use grows with the file, and other writes wait while a large
    file is written.

    :raises row_errors.ImportRefused: with up to 1,000 row errors; nothing is written;
    :raises errors.ValidationError: if the payment method is missing, or given twice.
    """
    _check_method(mapping, provider_account, method)
    problems = RowErrors(path.name)
    file, batch = _read_invoices(
        path, mapping, problems, charged=bool(provider_account), method=method
    )
    to_place = invoices.to_new_orders(
        batch.sale_rows,
        mapping_name=mapping.name,
        provider_account=provider_account or "",
        problems=problems,
    )
    report = _report(file.name, to_place, batch.skipped_rows, problems)
    problems.raise_if_any()
    options = (mapping.digest(), provider_account or "", method)
    prepared = _Prepared(
        digest=import_log.digest(file_sha256=file.sha256, purpose=PURPOSE, options=options),
        file=file.name,
        provider_account=provider_account or "",
        invoices=[(i, ids.new(ids.ORDER), ids.new(ids.PAYMENT)) for i in to_place],
        report=report,
        now=now,
    )
    return group_commit.commits.run_blocking(lambda: _write(prepared))


def _read_invoices(
    path: Path, mapping: InvoiceMapping, problems: RowErrors, *, charged: bool, method: str
) -> tuple[csv_reader.CsvFile, invoices.InvoiceBatch]:
    try:
        file = csv_reader.load(path)
        rows = csv_reader.rows(
            file,
            columns=mapping.columns_read(),
            problems=problems,
            delimiter=mapping.format.delimiter,
            missing_line_end_allowed=mapping.format.missing_line_end_allowed,
        )
        batch = invoices.group_by_invoice(
            rows, mapping=mapping, problems=problems, charged=charged, method=method
        )
    except csv_reader.ImportFileUnreadable as error:
        problems.add_error(error, line=error.line or 1)
        raise problems.to_exception() from error
    if not batch.sale_rows and not batch.skipped_rows:
        problems.raise_if_any()
        problems.add(line=1, rule="no_rows", message="the file has a header but no rows")
    return file, batch


def _check_method(mapping: InvoiceMapping, provider_account: str | None, method: str) -> None:
    mapped = mapping.method != MappingSource()
    if provider_account and not mapped and not method:
        raise errors.ValidationError(
            "charging needs a payment method: set [method] in the mapping or pass one",
            param="method",
        )
    if method and (mapped or not provider_account):
        reason = (
            "the mapping already sets the payment method"
            if mapped
            else "a payment method needs a provider account"
        )
        raise errors.ValidationError(reason, param="method")
    fields.validate_text("method", method, 120)


def _report(
    file: str, to_place: Sequence[Invoice], skipped_rows: Sequence[SkippedRow], problems: RowErrors
) -> ImportReport:
    sums: Counter[str] = Counter()
    for invoice in to_place:
        sums[invoice.total.currency] += invoice.total.amount_minor
    if max(sums.values(), default=0) > money.MINOR_MAX:
        message = f"the total per currency is limited to {money.MINOR_MAX:,} minor units"
        problems.add(line=1, rule="sum_too_large", message=message)
        problems.raise_if_any()
    return ImportReport(
        file=file,
        orders=len(to_place),
        existing_orders=0,
        lines=sum(len(invoice.order.lines) for invoice in to_place),
        sums=tuple(Money(minor, currency) for currency, minor in sorted(sums.items())),
        skipped_rows=tuple(skipped_rows),
    )


def _write(prepared: _Prepared) -> ImportReport:
    """Write the file unless it was imported before. Needs an open transaction."""
    previous_report = import_log.find_import(prepared.digest)
    if previous_report is not None:
        return ImportReport.from_json(previous_report, already_imported=True)
    problems = RowErrors(prepared.file)
    _check_account(prepared, problems)
    existing_keys = _find_existing_keys(prepared, problems)
    problems.raise_if_any()
    for invoice, order_id, payment_id in prepared.invoices:
        if invoice.order.idempotency_key not in existing_keys:
            _place(invoice, order_id, payment_id, prepared.now, problems)
    problems.raise_if_any()
    report = dataclasses.replace(prepared.report, existing_orders=len(existing_keys))
    import_log.record(
        digest=prepared.digest,
        name=prepared.file,
        purpose=PURPOSE,
        report=report.to_json(),
        now=prepared.now,
    )
    return report


def _place(
    invoice: Invoice, order_id: str, payment_id: str, now: datetime, problems: RowErrors
) -> None:
    try:
        operations.place_order(invoice.order, order_id=order_id, payment_id=payment_id, now=now)
    except errors.Invalid as error:
        problems.add_error(error, line=invoice.line)


def _check_account(prepared: _Prepared, problems: RowErrors) -> None:
    if not prepared.provider_account:
        return
    try:
        provider_accounts.get(prepared.provider_account)
    except (errors.NotFound, errors.Invalid) as error:
        line = min((invoice.line for invoice, _, _ in prepared.invoices), default=1)
        problems.add_error(error, line=line)


def _find_existing_keys(prepared: _Prepared, problems: RowErrors) -> set[str]:
    """Return the keys already in use; an invoice whose content differs is added to *problems*."""
    existing_keys = set()
    for chunk in _chunks([invoice for invoice, _, _ in prepared.invoices]):
        by_key = {invoice.order.idempotency_key: invoice for invoice in chunk}
        rows = Order.objects.filter(idempotency_key__in=by_key).values_list(
            "idempotency_key", "id", "fingerprint", "created_at"
        )
        for key, order_id, fingerprint, created_at in rows:
            existing_keys.add(key)
            if fingerprint != by_key[key].order.fingerprint():
                _add_changed_invoice(by_key[key], order_id, created_at, problems)
    return existing_keys


def _add_changed_invoice(
    invoice: Invoice, order_id: str, created_at: datetime, problems: RowErrors
) -> None:
    files = " or ".join(import_log.file_names_imported_at(created_at))
    source = f"imported from {files}" if files else "created without an import"
    problems.add(
        line=invoice.line,
        rule=errors.IdempotencyKeyReused.code,
        message=f"invoice {invoice.order.reference} already exists as {order_id} ({source}) with "
        "different content, provider account or payment method",
    )


def _chunks(items: Sequence[Invoice]) -> Iterator[Sequence[Invoice]]:
    return (items[at : at + _KEYS_PER_QUERY] for at in range(0, len(items), _KEYS_PER_QUERY))
