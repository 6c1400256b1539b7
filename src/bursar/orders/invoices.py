"""Group the rows of a file by invoice and convert each invoice to a new order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bursar import errors
from bursar.imports.csv_reader import CsvRow
from bursar.imports.mapping import InvoiceMapping
from bursar.imports.row_errors import RowErrors, preview
from bursar.money import Money
from bursar.orders import invoice_rows, operations
from bursar.orders.invoice_rows import SaleRow, SkippedRow
from bursar.pricing import calculator

#: With more skipped rows than this the mapping does not fit the file.
SKIPPED_ROWS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A new order, its total, and the first line of its invoice in the file."""

    line: int
    order: operations.NewOrder
    total: Money


@dataclass(slots=True, kw_only=True)
class InvoiceBatch:
    """The rows of a file: sales by invoice number, in file order, and skipped rows."""

    sale_rows: dict[str, list[SaleRow]] = field(default_factory=dict)
    skipped_rows: list[SkippedRow] = field(default_factory=list)


def group_by_invoice(
    rows: Iterable[CsvRow],
    *,
    mapping: InvoiceMapping,
    problems: RowErrors,
    charged: bool,
    method: str,
) -> InvoiceBatch:
    """
    Group *rows* by invoice; rows of one invoice need not be adjacent. Errors go to *problems*.

    *charged* and *method* are those of `invoice_rows.read`.
    """
    batch = InvoiceBatch()
    for row in rows:
        parsed_row = invoice_rows.read(
            row, mapping=mapping, problems=problems, charged=charged, method=method
        )
        if isinstance(parsed_row, SaleRow):
            _add_row(batch.sale_rows.setdefault(parsed_row.invoice, []), parsed_row, problems)
        elif parsed_row is not None:
            batch.skipped_rows.append(parsed_row)
            if len(batch.skipped_rows) > SKIPPED_ROWS_MAX:
                message = f"more than {SKIPPED_ROWS_MAX:,} rows would be skipped; does the mapping fit the file?"
                problems.add(line=row.line, rule="too_many_skipped_rows", message=message)
                problems.raise_if_any()
    return batch


def _add_row(rows: list[SaleRow], row: SaleRow, problems: RowErrors) -> None:
    first = rows[0] if rows else row
    rows.append(row)
    for (column, value), (_, first_value) in zip(row.header, first.header, strict=True):
        if value != first_value:
            problems.add(
                line=row.line,
                column=column,
                rule="inconsistent_invoice",
                message=f"{preview(value)}, but line {first.line} of this invoice has {preview(first_value)}",
            )


def to_new_orders(
    sold: dict[str, list[SaleRow]], *, mapping_name: str, provider_account: str, problems: RowErrors
) -> list[Invoice]:
    """Convert each invoice to a new order; errors of invalid orders go to *problems*."""
    invoices = []
    for number, rows in sold.items():
        order = _new_order(number, rows, mapping_name, provider_account)
        try:
            operations.validate(order)
            total = calculator.price(order.basket(), day=order.placed_at.date()).total
        except errors.ValidationError as error:
            problems.add_error(error, line=rows[0].line)
        else:
            invoices.append(Invoice(line=rows[0].line, order=order, total=total))
    return invoices


def _new_order(
    number: str, rows: list[SaleRow], mapping_name: str, provider_account: str
) -> operations.NewOrder:
    first = rows[0]
    return operations.NewOrder(
        reference=number,
        currency=first.currency,
        lines=tuple(row.item for row in rows),
        idempotency_key=f"import/{mapping_name}/{number}",
        # A till may write a long invoice over several minutes.
        placed_at=min(row.placed_at for row in rows),
        provider_account=provider_account,
        method=first.method,
        buyer=first.buyer,
    )
