"""Parse one row of an invoice file by its mapping: a sale, a skipped row, or row errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from bursar import card_numbers, errors, fields, money
from bursar.imports.csv_reader import CsvRow
from bursar.imports.mapping import (
    Action,
    ColumnMapping,
    FileFormat,
    InvoiceMapping,
    MappingSource,
    Reason,
)
from bursar.imports.row_errors import RowErrors, preview
from bursar.orders import operations
from bursar.pricing import baskets, calculator
from bursar.pricing.baskets import Basket

CREDIT_NOTE = "credit_note"

# [0-9], not \d: \d and int() also accept digits of other scripts.
_INTEGER = re.compile(r"-?[0-9]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRow:
    """A row that is not imported; *reason* is `credit_note` or one of `mapping.Reason`."""

    line: int
    invoice: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleRow:
    """A sale. All rows of an invoice must have the same *header* (column, value) pairs."""

    line: int
    invoice: str
    item: baskets.Line
    placed_at: datetime
    currency: str
    method: str
    buyer: dict[str, str]
    header: tuple[tuple[str, str], ...]


def read(
    row: CsvRow, *, mapping: InvoiceMapping, problems: RowErrors, charged: bool, method: str
) -> SaleRow | SkippedRow | None:
    """
    Parse a row. Returns None if it has errors, which are added to *problems*.

    With *charged* the row needs a payment method; *method* is used if the mapping has none.
    """
    cells = _Cells(row, problems)
    columns = mapping.columns
    _refuse_card_numbers(cells, mapping)
    if cells.is_wrong():
        return None
    invoice = _parse_invoice_number(cells, columns.invoice)
    if mapping.credit_notes and invoice.startswith(mapping.credit_notes.invoice_prefix):
        return _skip_credit_note(cells, mapping, invoice, mapping.credit_notes.action)
    item, currency = _parse_item(cells, mapping)
    if cells.is_wrong():
        return None
    if faults := _find_unsellable_reasons(item, mapping.columns):
        return _skip_or_refuse(cells, mapping, invoice, faults)
    _check_price(cells, mapping, item, currency)
    placed_at = _parse_time(cells, columns.placed_at, mapping.format)
    buyer = _parse_buyer(cells, mapping)
    token = _parse_method(cells, mapping, method) if charged else ""
    if cells.is_wrong() or placed_at is None:
        return None
    header = [(mapping.currency.column, currency), (mapping.method.column, token)]
    header += [(column, row.values[column]) for _, column in mapping.buyer]
    return SaleRow(
        line=row.line,
        invoice=invoice,
        item=item,
        placed_at=placed_at,
        currency=currency,
        method=token,
        buyer=buyer,
        header=tuple(header),
    )


class _Cells:
    """The values of one row; collects their errors."""

    def __init__(self, row: CsvRow, problems: RowErrors) -> None:
        self.line, self.values, self._problems = row.line, row.values, problems
        self._wrong = False

    def is_wrong(self) -> bool:
        """Whether a value of the row has an error."""
        return self._wrong

    def refuse(self, column: str, rule: str, message: str) -> None:
        """Add an error about the value in *column*."""
        self._wrong = True
        self._problems.add(line=self.line, column=column, rule=rule, message=message)

    @contextlib.contextmanager
    def collect_errors(self, column: str) -> Iterator[None]:
        """Turn a ValidationError raised inside into an error about *column*."""
        try:
            yield
        except errors.ValidationError as error:
            self.refuse(column, error.code, error.message)


def _refuse_card_numbers(cells: _Cells, mapping: InvoiceMapping) -> None:
    for column in mapping.columns_read():
        if card_numbers.contains_card_number(cells.values[column]):
            cells.refuse(
                column,
                fields.CardNumberRefused.code,
                "looks like a card number; card numbers are never stored",
            )


def _parse_invoice_number(cells: _Cells, column: str) -> str:
    number = cells.values[column]
    fits = 0 < len(number) <= operations.REFERENCE_LETTERS
    if not fits or not number.isprintable() or number != number.strip():
        reason = (
            f"{preview(number)} is not an invoice number" if number else "invoice number missing"
        )
        cells.refuse(
            column,
            "invalid_invoice_number",
            f"{reason}: use 1 to {operations.REFERENCE_LETTERS} printable characters, "
            "no leading or trailing spaces",
        )
    return number


def _skip_credit_note(
    cells: _Cells, mapping: InvoiceMapping, invoice: str, action: Action
) -> SkippedRow | None:
    if action is Action.REFUSE:
        message = f"{preview(invoice)} is a credit note; the mapping refuses credit notes"
        cells.refuse(mapping.columns.invoice, CREDIT_NOTE, message)
    if cells.is_wrong():
        return None
    return SkippedRow(line=cells.line, invoice=invoice, reason=CREDIT_NOTE)


def _parse_item(cells: _Cells, mapping: InvoiceMapping) -> tuple[baskets.Line, str]:
    """Return the item, sellable or not, and its currency."""
    columns, values = mapping.columns, cells.values
    currency = mapping.currency.of(values)
    price = _parse_decimal(cells, columns.unit_price, mapping.format)
    rate = mapping.tax_rate.fixed or _parse_decimal(cells, mapping.tax_rate.column, mapping.format)
    with cells.collect_errors(mapping.currency.column):
        money.exponent_of(currency)
        with cells.collect_errors(columns.unit_price):
            money.Money.parse(price, currency)
    with cells.collect_errors(columns.sku):
        fields.validate_text("sku", values[columns.sku], operations.SKU_LETTERS)
    with cells.collect_errors(columns.description):
        fields.validate_text("description", values[columns.description], operations.TEXT_LETTERS)
    item = baskets.Line(
        sku=values[columns.sku],
        description=values[columns.description],
        quantity=_parse_integer(cells, columns.quantity),
        unit_price=price,
        tax_rate=rate,
    )
    return item, currency


def _parse_integer(cells: _Cells, column: str) -> int:
    text = cells.values[column]
    if _INTEGER.fullmatch(text) is None:
        cells.refuse(
            column, "invalid_quantity", f"{preview(text)} is not a whole number such as 12"
        )
        return 0
    return int(text)


def _parse_decimal(cells: _Cells, column: str, file_format: FileFormat) -> str:
    """Return the decimal with a point as its mark; its digits are not checked."""
    text = cells.values[column]
    if file_format.decimal_mark == ".":
        return text
    if "." in text:
        message = f"{preview(text)} has a decimal point; the mapping's decimal_mark is a comma"
        cells.refuse(column, "invalid_decimal", message)
        return "0"
    return text.replace(",", ".")


def _find_unsellable_reasons(item: baskets.Line, columns: ColumnMapping) -> dict[Reason, str]:
    """Return the reasons why *item* cannot be sold, with their columns."""
    reasons = {}
    if item.quantity <= 0:
        reasons[Reason.QUANTITY] = columns.quantity
    # A parsed price has only digits and a point: it is zero if all digits are zeros.
    if item.unit_price.startswith("-") or not item.unit_price.strip("0."):
        reasons[Reason.PRICE] = columns.unit_price
    if not item.description.strip():
        reasons[Reason.DESCRIPTION] = columns.description
    if not item.sku.strip():
        reasons[Reason.SKU] = columns.sku
    return reasons


def _skip_or_refuse(
    cells: _Cells, mapping: InvoiceMapping, invoice: str, faults: dict[Reason, str]
) -> SkippedRow | None:
    skipped_for = [reason for reason in faults if reason in mapping.unsellable.reasons]
    if skipped_for:
        return SkippedRow(line=cells.line, invoice=invoice, reason=skipped_for[0].value)
    for reason, column in faults.items():
        description = f"{reason.value.replace('_', ' ')}: {preview(cells.values[column])}"
        message = (
            f"{description}; to skip such rows, list the reason in [unsellable] of the mapping"
        )
        cells.refuse(column, reason.value, message)
    return None


def _check_price(cells: _Cells, mapping: InvoiceMapping, item: baskets.Line, currency: str) -> None:
    try:
        # The tax is a given rate, so the price does not depend on the day.
        calculator.price(Basket(currency=currency, lines=(item,)), day=date.min)
    except errors.ValidationError as error:
        columns = {
            "quantity": mapping.columns.quantity,
            "unit_price": mapping.columns.unit_price,
            "tax_rate": mapping.tax_rate.column,
        }
        name = (error.param or "").rpartition(".")[2]
        cells.refuse(columns.get(name, ""), error.code, error.message)


def _parse_time(cells: _Cells, column: str, file_format: FileFormat) -> datetime | None:
    """
    Parse a time. An ambiguous local time (clocks set back) means the first.

    Returns None, with an error, if it is invalid or skipped (clocks set forward).
    """
    text = cells.values[column]
    zone = ZoneInfo(file_format.time_zone) if file_format.time_zone else None
    try:
        # strptime accepts digits of every script; only ASCII is valid here.
        parsed = datetime.strptime(text if text.isascii() else "", file_format.time)  # noqa: DTZ007
        placed_at = parsed.replace(tzinfo=parsed.tzinfo or zone).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{preview(text)} is not a time in the format {file_format.time}"
        cells.refuse(column, "invalid_time", message)
        return None
    if zone and placed_at.astimezone(zone).replace(tzinfo=None) != parsed:
        message = f"{preview(text)} does not exist in {zone.key}: clocks were set forward"
        cells.refuse(column, "invalid_time", message)
        return None
    return placed_at


def _parse_buyer(cells: _Cells, mapping: InvoiceMapping) -> dict[str, str]:
    snapshot = {name: cells.values[column] for name, column in mapping.buyer}
    for name, column in mapping.buyer:
        with cells.collect_errors(column):
            fields.validate_text(name, snapshot[name], operations.METADATA_LETTERS)
    return snapshot


def _parse_method(cells: _Cells, mapping: InvoiceMapping, default: str) -> str:
    token = mapping.method.of(cells.values) if mapping.method != MappingSource() else default
    if not token:
        cells.refuse(mapping.method.column, "method_missing", "payment method missing")
    return token
