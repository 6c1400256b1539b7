"""Invoices: the rows of a file gathered by their number, and the orders they become."""

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

#: More rows left out than this means that the mapping does not fit the file.
SKIPPED_ROWS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An order to place, its price, and the line of the file on which its invoice begins."""

    line: int
    order: operations.NewOrder
    total: Money


@dataclass(slots=True, kw_only=True)
class InvoiceBatch:
    """What a file holds: rows sold by invoice, in the order of the file, and rows left out."""

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
    Read *rows*; those of one invoice need not be adjacent. What is wrong goes to *problems*.

    *charged* and *method* are as in `invoice_rows.read`.
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
                message = (
                    f"more than {SKIPPED_ROWS_MAX:,} rows would be left out: the wrong mapping?"
                )
                problems.add(line=row.line, rule="too_many_left_out", message=message)
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
                rule="invoice_disagrees",
                message=f"{preview(value)}, but line {first.line} of this invoice has {preview(first_value)}",
            )


def to_new_orders(
    sold: dict[str, list[SaleRow]], *, mapping_name: str, provider_account: str, problems: RowErrors
) -> list[Invoice]:
    """Make an order of each invoice; those that cannot be placed go to *problems*."""
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
        # The minute may change while the till writes a long invoice.
        placed_at=min(row.placed_at for row in rows),
        provider_account=provider_account,
        method=first.method,
        buyer=first.buyer,
    )
