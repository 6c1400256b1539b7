"""One row of an invoice file, as its mapping reads it: sold, left out, or wrong."""

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
from bursar.imports.row_errors import RowErrors, shown
from bursar.orders import operations
from bursar.pricing import baskets, calculator
from bursar.pricing.baskets import Basket

CREDIT_NOTE = "credit_note"

# [0-9], not \d: the latter also takes the digits of other scripts, and so does int().
_WHOLE = re.compile(r"-?[0-9]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRow:
    """A row that was not sold, and why: `credit_note` or one of the mapping's reasons."""

    line: int
    invoice: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleRow:
    """A row that was sold. *head* is what all rows of an invoice must agree on, by its column."""

    line: int
    invoice: str
    item: baskets.Line
    placed_at: datetime
    currency: str
    method: str
    buyer: dict[str, str]
    head: tuple[tuple[str, str], ...]


def read(
    row: CsvRow, *, mapping: InvoiceMapping, problems: RowErrors, charged: bool, method: str
) -> SaleRow | SkippedRow | None:
    """
    Read a row; None if something is wrong with it, which is in *problems* then.

    *charged* tells that it needs a method; *method* is the one where the mapping names none.
    """
    cells = _Cells(row, problems)
    columns = mapping.columns
    _refuse_card_numbers(cells, mapping)
    if cells.is_wrong():
        return None
    invoice = _invoice(cells, columns.invoice)
    if mapping.credit_notes and invoice.startswith(mapping.credit_notes.invoice_prefix):
        return _credit_note(cells, mapping, invoice, mapping.credit_notes.action)
    item, currency = _item(cells, mapping)
    if cells.is_wrong():
        return None
    if faults := _faults(item, mapping.columns):
        return _unsellable(cells, mapping, invoice, faults)
    _check_price(cells, mapping, item, currency)
    placed_at = _moment(cells, columns.placed_at, mapping.format)
    buyer = _buyer(cells, mapping)
    token = _method(cells, mapping, method) if charged else ""
    if cells.is_wrong() or placed_at is None:
        return None
    head = [(mapping.currency.column, currency), (mapping.method.column, token)]
    head += [(column, row.values[column]) for _, column in mapping.buyer]
    return SaleRow(
        line=row.line,
        invoice=invoice,
        item=item,
        placed_at=placed_at,
        currency=currency,
        method=token,
        buyer=buyer,
        head=tuple(head),
    )


class _Cells:
    """The fields of one row, and whether one of them was refused."""

    def __init__(self, row: CsvRow, problems: RowErrors) -> None:
        self.line, self.values, self._problems = row.line, row.values, problems
        self._wrong = False

    def is_wrong(self) -> bool:
        """Tell whether a field was refused so far."""
        return self._wrong

    def refuse(self, column: str, rule: str, message: str) -> None:
        """Note that the field in *column* is wrong."""
        self._wrong = True
        self._problems.add(line=self.line, column=column, rule=rule, message=message)

    @contextlib.contextmanager
    def checking(self, column: str) -> Iterator[None]:
        """Note what is said about the field in *column*."""
        try:
            yield
        except errors.ValidationError as error:
            self.refuse(column, error.code, error.message)


def _refuse_card_numbers(cells: _Cells, mapping: InvoiceMapping) -> None:
    for column in mapping.columns_read():
        if card_numbers.contains_card_number(cells.values[column]):
            cells.refuse(
                column,
                fields.CardNumberDetected.code,
                "this looks like a card number, which is never stored",
            )


def _invoice(cells: _Cells, column: str) -> str:
    number = cells.values[column]
    fits = 0 < len(number) <= operations.REFERENCE_LETTERS
    if not fits or not number.isprintable() or number != number.strip():
        said = "there is no invoice number" if not number else f"{shown(number)} is none"
        cells.refuse(
            column,
            "bad_invoice_number",
            f"{said}: 1 to {operations.REFERENCE_LETTERS} printable letters, no blanks around",
        )
    return number


def _credit_note(
    cells: _Cells, mapping: InvoiceMapping, invoice: str, action: Action
) -> SkippedRow | None:
    if action is Action.REFUSE:
        message = f"{shown(invoice)} is a credit note, which the mapping refuses"
        cells.refuse(mapping.columns.invoice, CREDIT_NOTE, message)
    if cells.is_wrong():
        return None
    return SkippedRow(line=cells.line, invoice=invoice, reason=CREDIT_NOTE)


def _item(cells: _Cells, mapping: InvoiceMapping) -> tuple[baskets.Line, str]:
    """Read what was bought, sellable or not, and its currency."""
    columns, values = mapping.columns, cells.values
    currency = mapping.currency.of(values)
    price = _decimal(cells, columns.unit_price, mapping.format)
    rate = mapping.tax_rate.fixed or _decimal(cells, mapping.tax_rate.column, mapping.format)
    with cells.checking(mapping.currency.column):
        money.exponent_of(currency)
        with cells.checking(columns.unit_price):
            money.Money.parse(price, currency)
    with cells.checking(columns.sku):
        fields.validate_text("sku", values[columns.sku], operations.SKU_LETTERS)
    with cells.checking(columns.description):
        fields.validate_text("description", values[columns.description], operations.TEXT_LETTERS)
    item = baskets.Line(
        sku=values[columns.sku],
        description=values[columns.description],
        quantity=_whole(cells, columns.quantity),
        unit_price=price,
        tax_rate=rate,
    )
    return item, currency


def _whole(cells: _Cells, column: str) -> int:
    text = cells.values[column]
    if _WHOLE.fullmatch(text) is None:
        cells.refuse(column, "bad_quantity", f"{shown(text)} is not a whole number such as 12")
        return 0
    return int(text)


def _decimal(cells: _Cells, column: str, written: FileFormat) -> str:
    """Return a decimal with a point, whatever mark the file has; it is not checked further."""
    text = cells.values[column]
    if written.decimal_mark == ".":
        return text
    if "." in text:
        message = f"{shown(text)} has a point; the mapping's decimal mark is a comma"
        cells.refuse(column, "bad_decimal", message)
        return "0"
    return text.replace(",", ".")


def _faults(item: baskets.Line, columns: ColumnMapping) -> dict[Reason, str]:
    """Why *item* cannot be sold: reasons and the columns they are read from."""
    found = {}
    if item.quantity <= 0:
        found[Reason.QUANTITY] = columns.quantity
    # A price that was parsed is plain digits: it is zero if there are only zeros.
    if item.unit_price.startswith("-") or not item.unit_price.strip("0."):
        found[Reason.PRICE] = columns.unit_price
    if not item.description.strip():
        found[Reason.DESCRIPTION] = columns.description
    if not item.sku.strip():
        found[Reason.SKU] = columns.sku
    return found


def _unsellable(
    cells: _Cells, mapping: InvoiceMapping, invoice: str, faults: dict[Reason, str]
) -> SkippedRow | None:
    chosen = [reason for reason in faults if reason in mapping.unsellable.reasons]
    if chosen:
        return SkippedRow(line=cells.line, invoice=invoice, reason=chosen[0].value)
    for reason, column in faults.items():
        said = f"{reason.value.replace('_', ' ')}: {shown(cells.values[column])}"
        message = f"{said}; such rows are left out only if [unsellable] of the mapping lists them"
        cells.refuse(column, reason.value, message)
    return None


def _check_price(cells: _Cells, mapping: InvoiceMapping, item: baskets.Line, currency: str) -> None:
    try:
        # Its tax is a rate, so the day does not matter.
        calculator.price(Basket(currency=currency, lines=(item,)), day=date.min)
    except errors.ValidationError as error:
        columns = {
            "quantity": mapping.columns.quantity,
            "unit_price": mapping.columns.unit_price,
            "tax_rate": mapping.tax_rate.column,
        }
        name = (error.param or "").rpartition(".")[2]
        cells.refuse(columns.get(name, ""), error.code, error.message)


def _moment(cells: _Cells, column: str, written: FileFormat) -> datetime | None:
    """
    Read a time. Of a local time that comes twice, as clocks are put back, the first is taken.

    None where it is none, or was left out as clocks were put forward.
    """
    text = cells.values[column]
    zone = ZoneInfo(written.time_zone) if written.time_zone else None
    try:
        # strptime takes the digits of every script, which a file of ours does not have.
        told = datetime.strptime(text if text.isascii() else "", written.time)  # noqa: DTZ007
        moment = told.replace(tzinfo=told.tzinfo or zone).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{shown(text)} is not a time written as {written.time}"
        cells.refuse(column, "bad_time", message)
        return None
    if zone and moment.astimezone(zone).replace(tzinfo=None) != told:
        message = f"{shown(text)} does not exist in {zone.key}: clocks were put forward"
        cells.refuse(column, "bad_time", message)
        return None
    return moment


def _buyer(cells: _Cells, mapping: InvoiceMapping) -> dict[str, str]:
    snapshot = {name: cells.values[column] for name, column in mapping.buyer}
    for name, column in mapping.buyer:
        with cells.checking(column):
            fields.validate_text(name, snapshot[name], operations.METADATA_LETTERS)
    return snapshot


def _method(cells: _Cells, mapping: InvoiceMapping, default: str) -> str:
    token = mapping.method.of(cells.values) if mapping.method != MappingSource() else default
    if not token:
        cells.refuse(mapping.method.column, "method_missing", "there is no method to charge")
    return token
