"""
Importing: a file of invoices becomes orders, all of them or none.

A file is named by its bytes together with the mapping, the provider account and the method; the
same again does nothing. Every invoice has an idempotency key made of the mapping's name and its
number, so one that comes in another file too is not placed twice: with the same content it is
known already, with other content the whole file is refused.
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
_KEYS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """
    What a file held.

    *orders*, *lines* and *sums* (with tax, one for each currency) are of all its invoices;
    *orders_known* of them had come before, in another file. With *already_imported* nothing was
    written, and *file* is the name under which it came in.
    """

    file: str
    orders: int
    orders_known: int
    lines: int
    sums: tuple[Money, ...]
    left_out: tuple[SkippedRow, ...]
    already_imported: bool = False

    @property
    def credit_notes(self) -> tuple[SkippedRow, ...]:
        """The rows left out because they belong to credit notes."""
        return tuple(row for row in self.left_out if row.reason == CREDIT_NOTE)

    @property
    def unsellable(self) -> tuple[SkippedRow, ...]:
        """The rows left out because they cannot be sold."""
        return tuple(row for row in self.left_out if row.reason != CREDIT_NOTE)

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON values, money in minor units."""
        return {
            "file": self.file,
            "orders": self.orders,
            "orders_known": self.orders_known,
            "lines": self.lines,
            "sums": [{"amount": m.amount_minor, "currency": m.currency} for m in self.sums],
            "left_out": [dataclasses.asdict(row) for row in self.left_out],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, already_imported: bool) -> ImportReport:
        """Read what `to_json` wrote."""
        read = {
            **values,
            "sums": tuple(Money(m["amount"], m["currency"]) for m in values["sums"]),
            "left_out": tuple(SkippedRow(**row) for row in values["left_out"]),
        }
        return cls(**read, already_imported=already_imported)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A file as it is to be written; the ids of every order and payment are decided."""

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
    Place every invoice of a file as one order, in one commit; blocks until that is done.

    With *provider_account* each is charged, with the method that the mapping names or else with
    *method*. The memory needed grows with the file. While a large file is written nothing else is.

    :raises row_errors.ImportRefused: if anything is wrong, with up to 1,000 mistakes by line;
        nothing was written;
    :raises errors.ValidationError: if there is no method at all, or two.
    """
    _check_method(mapping, provider_account, method)
    found = RowErrors(path.name)
    file, gathered = _read(path, mapping, found, charged=bool(provider_account), method=method)
    to_place = invoices.to_new_orders(
        gathered.sold,
        mapping_name=mapping.name,
        provider_account=provider_account or "",
        problems=found,
    )
    report = _report(file.name, to_place, gathered.left_out, found)
    found.refuse_if_any()
    ways = (mapping.digest(), provider_account or "", method)
    prepared = _Prepared(
        digest=import_log.digest(file_sha256=file.sha256, purpose=PURPOSE, ways=ways),
        file=file.name,
        provider_account=provider_account or "",
        invoices=[(i, ids.new(ids.ORDER), ids.new(ids.PAYMENT)) for i in to_place],
        report=report,
        now=now,
    )
    return group_commit.commits.run_blocking(lambda: _write(prepared))


def _read(
    path: Path, mapping: InvoiceMapping, found: RowErrors, *, charged: bool, method: str
) -> tuple[csv_reader.CsvFile, invoices.InvoiceBatch]:
    try:
        file = csv_reader.load(path)
        rows = csv_reader.rows(
            file,
            columns=mapping.columns_read(),
            problems=found,
            delimiter=mapping.format.delimiter,
            cut_off_allowed=mapping.format.cut_off_allowed,
        )
        gathered = invoices.group_by_invoice(
            rows, mapping=mapping, problems=found, charged=charged, method=method
        )
    except csv_reader.Unreadable as error:
        found.note(error, line=error.line or 1)
        raise found.refusal() from error
    if not gathered.sold and not gathered.left_out:
        found.refuse_if_any()
        found.add(line=1, rule="no_rows", message="there is nothing to import under the header")
    return file, gathered


def _check_method(mapping: InvoiceMapping, provider_account: str | None, method: str) -> None:
    mapped = mapping.method != MappingSource()
    if provider_account and not mapped and not method:
        raise errors.ValidationError(
            "to charge, a method is needed: in the mapping, or given", param="method"
        )
    if method and (mapped or not provider_account):
        why = "the mapping names the method" if mapped else "nothing is to be charged"
        raise errors.ValidationError(f"{why}: none can be given", param="method")
    fields.validate_text("method", method, 120)


def _report(
    file: str, to_place: Sequence[Invoice], left_out: Sequence[SkippedRow], found: RowErrors
) -> ImportReport:
    sums: Counter[str] = Counter()
    for invoice in to_place:
        sums[invoice.total.currency] += invoice.total.amount_minor
    if max(sums.values(), default=0) > money.MINOR_MAX:
        message = f"a file holds at most {money.MINOR_MAX:,} minor units of one currency"
        found.add(line=1, rule="sum_too_large", message=message)
        found.refuse_if_any()
    return ImportReport(
        file=file,
        orders=len(to_place),
        orders_known=0,
        lines=sum(len(invoice.order.lines) for invoice in to_place),
        sums=tuple(Money(minor, currency) for currency, minor in sorted(sums.items())),
        left_out=tuple(left_out),
    )


def _write(prepared: _Prepared) -> ImportReport:
    """Write a whole file, unless that was done before; needs an open transaction."""
    done = import_log.find_import(prepared.digest)
    if done is not None:
        return ImportReport.from_json(done, already_imported=True)
    found = RowErrors(prepared.file)
    _check_account(prepared, found)
    known = _known(prepared, found)
    found.refuse_if_any()
    for invoice, order_id, payment_id in prepared.invoices:
        if invoice.order.idempotency_key not in known:
            _place(invoice, order_id, payment_id, prepared.now, found)
    found.refuse_if_any()
    report = dataclasses.replace(prepared.report, orders_known=len(known))
    import_log.record(
        digest=prepared.digest,
        name=prepared.file,
        purpose=PURPOSE,
        report=report.to_json(),
        now=prepared.now,
    )
    return report


def _place(
    invoice: Invoice, order_id: str, payment_id: str, now: datetime, found: RowErrors
) -> None:
    try:
        operations.place_order(invoice.order, order_id=order_id, payment_id=payment_id, now=now)
    except errors.Invalid as error:
        found.note(error, line=invoice.line)


def _check_account(prepared: _Prepared, found: RowErrors) -> None:
    if not prepared.provider_account:
        return
    try:
        provider_accounts.get(prepared.provider_account)
    except (errors.NotFound, errors.Invalid) as error:
        line = min((invoice.line for invoice, _, _ in prepared.invoices), default=1)
        found.note(error, line=line)


def _known(prepared: _Prepared, found: RowErrors) -> set[str]:
    """The keys of invoices that came before; those which came with other content are noted."""
    known = set()
    for some in _chunks([invoice for invoice, _, _ in prepared.invoices]):
        by_key = {invoice.order.idempotency_key: invoice for invoice in some}
        rows = Order.objects.filter(idempotency_key__in=by_key).values_list(
            "idempotency_key", "id", "fingerprint", "created_at"
        )
        for key, order_id, fingerprint, created_at in rows:
            known.add(key)
            if fingerprint != by_key[key].order.fingerprint():
                _note_changed(by_key[key], order_id, created_at, found)
    return known


def _note_changed(invoice: Invoice, order_id: str, created_at: datetime, found: RowErrors) -> None:
    earlier = " or ".join(import_log.names_at(created_at)) or "another way"
    found.add(
        line=invoice.line,
        rule=errors.IdempotencyKeyReused.code,
        message=f"invoice {invoice.order.reference} came before, in {earlier}, with other content, "
        f"account or method; it is {order_id}",
    )


def _chunks(these: Sequence[Invoice]) -> Iterator[Sequence[Invoice]]:
    return (these[at : at + _KEYS_AT_ONCE] for at in range(0, len(these), _KEYS_AT_ONCE))
