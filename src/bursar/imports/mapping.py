"""
Mappings: a TOML file that describes a shop's invoice files and which rows are skipped.

Nothing is guessed. Credit notes and unsellable rows are errors unless the mapping says to list
them.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bursar import card_numbers, errors, ids, money, text_files
from bursar.pricing import baskets, calculator

MAPPING_BYTES_MAX = 64 * 2**10
BUYER_MAX = 20

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
_SAMPLE_TIME = datetime(2010, 12, 31, 23, 59, 58, tzinfo=UTC)


class InvalidMapping(errors.ValidationError):
    """The mapping is invalid; *param* is the key."""

    code = "invalid_mapping"
    status = None


class Action(StrEnum):
    """What to do with rows that are not sales."""

    LIST = "list"  # skip them and list them in the report
    REFUSE = "refuse"  # each is a row error


class Reason(StrEnum):
    """Why a row is unsellable."""

    QUANTITY = "quantity_not_positive"
    PRICE = "price_not_positive"
    DESCRIPTION = "description_missing"
    SKU = "sku_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSource:
    """Source of a value: a fixed text for all rows, or a column; the other one is ""."""

    fixed: str = ""
    column: str = ""

    def of(self, row: Mapping[str, str]) -> str:
        """Return the value for *row*."""
        return row[self.column] if self.column else self.fixed


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Column names that every mapping must have."""

    invoice: str
    placed_at: str
    sku: str
    description: str
    quantity: str
    unit_price: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """
    Format of the values.

    *time* is a `datetime.strptime` format. *time_zone* (IANA) applies to times without an offset;
    "" if *time* has %z.
    """

    delimiter: str
    decimal_mark: str
    time: str
    time_zone: str
    missing_line_end_allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNotes:
    """How a credit note is recognized, and what to do with it."""

    invoice_prefix: str
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsellable:
    """What to do with unsellable rows, and for which reasons if they are listed."""

    action: Action = Action.REFUSE
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceMapping:
    """How to read a file of invoices; *buyer* has pairs of a name in the snapshot and its column."""

    name: str
    columns: ColumnMapping
    format: FileFormat
    currency: MappingSource
    tax_rate: MappingSource
    method: MappingSource
    buyer: tuple[tuple[str, str], ...]
    credit_notes: CreditNotes | None
    unsellable: Unsellable

    def digest(self) -> str:
        """Return a digest of the content, independent of comments and layout: 32 hex digits."""
        return ids.digest(repr(dataclasses.astuple(self)))

    def columns_read(self) -> list[str]:
        """Return the columns that a file must have, without duplicates."""
        sources = (self.currency, self.tax_rate, self.method)
        names = [getattr(self.columns, field.name) for field in dataclasses.fields(ColumnMapping)]
        names += [source.column for source in sources if source.column]
        return list(dict.fromkeys([*names, *(column for _, column in self.buyer)]))


def load(path: Path) -> InvoiceMapping:
    """
    Load the mapping from *path*.

    :raises InvalidMapping: if it cannot be read, or a key is invalid, missing or unknown.
    """
    text = text_files.read(path, bytes_max=MAPPING_BYTES_MAX, error_class=InvalidMapping)
    return parse(text)


def parse(text: str) -> InvoiceMapping:
    """
    Parse a mapping from TOML.

    :raises InvalidMapping: if it is not TOML, or a key is invalid, missing or unknown.
    """
    try:
        top = _Table("", tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidMapping(f"invalid TOML: {error}") from error
    mapping = InvoiceMapping(
        name=_name(top),
        columns=_columns(top.table("columns")),
        format=_format(top.table("format")),
        currency=_source(top.table("currency"), money.exponent_of),
        tax_rate=_source(top.table("tax_rate"), _check_rate),
        method=_source(top.table("method"), _check_method)
        if top.has("method")
        else MappingSource(),
        buyer=_buyer(top.table("buyer")) if top.has("buyer") else (),
        credit_notes=_credit_notes(top.table("credit_notes")) if top.has("credit_notes") else None,
        unsellable=_unsellable(top.table("unsellable")) if top.has("unsellable") else Unsellable(),
    )
    top.reject_unknown_keys()
    return mapping


class _Table:
    """A table of the TOML file. Keys are popped one by one; remaining ones are unknown."""

    def __init__(self, path: str, values: dict[str, Any]) -> None:
        self._path, self._values, self._allowed_keys = path, dict(values), set[str]()

    def has(self, key: str) -> bool:
        self._allowed_keys.add(key)
        return key in self._values

    def pop(self, key: str, kind: type[Any], what: str) -> Any:
        if not self.has(key):
            raise self.error(key, f"is missing; it must be {what}")
        value = self._values.pop(key)
        if type(value) is not kind:
            raise self.error(key, f"must be {what}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        if default is not None and not self.has(key):
            return default
        value: str = self.pop(key, str, "a string")
        if not 1 <= len(value) <= 200:
            raise self.error(key, "must have 1 to 200 characters")
        return value

    def one_of(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in choices:
            raise self.error(
                key, f"must be one of {', '.join(repr(str(choice)) for choice in choices)}"
            )
        return value

    def table(self, key: str) -> _Table:
        return _Table(self.key_path(key), self.pop(key, dict, f"a table: [{self.key_path(key)}]"))

    def remaining_keys(self) -> list[str]:
        return list(self._values)

    def reject_unknown_keys(self) -> None:
        if unknown_keys := [key for key in self._values if key not in self._allowed_keys]:
            raise self.error(
                unknown_keys[0], f"is unknown; valid keys: {', '.join(sorted(self._allowed_keys))}"
            )

    def key_path(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def error(self, key: str, message: str) -> InvalidMapping:
        return InvalidMapping(f"{self.key_path(key)} {message}", param=self.key_path(key))


def _name(top: _Table) -> str:
    name = top.text("name")
    # The name is part of every order's idempotency key.
    if _NAME.fullmatch(name) is None or card_numbers.contains_card_number(name):
        raise top.error(
            "name", "must be 1 to 60 of a-z, 0-9, - and _, beginning with a letter or digit"
        )
    return name


def _columns(table: _Table) -> ColumnMapping:
    columns = ColumnMapping(
        **{f.name: table.text(f.name) for f in dataclasses.fields(ColumnMapping)}
    )
    table.reject_unknown_keys()
    return columns


def _format(table: _Table) -> FileFormat:
    file_format = FileFormat(
        delimiter=table.one_of("delimiter", [",", ";", "\t", "|"], ","),
        decimal_mark=table.one_of("decimal_mark", [".", ","], "."),
        time=table.text("time"),
        time_zone=_time_zone(table),
        missing_line_end_allowed=table.one_of("last_line_end", ["required", "optional"], "required")
        == "optional",
    )
    table.reject_unknown_keys()
    try:
        parsed_time = datetime.strptime(_SAMPLE_TIME.strftime(file_format.time), file_format.time)  # noqa: DTZ007
    except (ValueError, re.error) as error:
        raise table.error(
            "time", f"is not a format that can be both written and parsed: {error}"
        ) from error
    if parsed_time.date() != _SAMPLE_TIME.date():
        raise table.error("time", "must have year, month and day, as in %Y-%m-%d %H:%M")
    if (parsed_time.tzinfo is None) != bool(file_format.time_zone):
        raise table.error(
            "time_zone", "is required if format.time has no %z, and not allowed otherwise"
        )
    return file_format


def _time_zone(table: _Table) -> str:
    name = table.text("time_zone", "")
    try:
        return ZoneInfo(name).key if name else ""
    except (OSError, ValueError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise table.error("time_zone", "must be an IANA time zone such as Europe/London") from error


def _source(table: _Table, check: Callable[[str], object]) -> MappingSource:
    source = MappingSource(fixed=table.text("fixed", ""), column=table.text("column", ""))
    table.reject_unknown_keys()
    if bool(source.fixed) == bool(source.column):
        raise table.error("fixed", "or column is required, not both")
    try:
        check(source.fixed) if source.fixed else None
    except errors.ValidationError as error:
        raise table.error("fixed", f"is invalid: {error.message}") from error
    return source


def _check_rate(rate: str) -> None:
    line = baskets.Line(sku="", description="", quantity=1, unit_price="0", tax_rate=rate)
    calculator.price(baskets.Basket(currency="EUR", lines=(line,)), day=date.min)


def _check_method(method: str) -> None:
    if card_numbers.contains_card_number(method):
        raise errors.ValidationError(
            "looks like a card number; a payment method is a provider token"
        )


def _buyer(table: _Table) -> tuple[tuple[str, str], ...]:
    names = table.remaining_keys()
    if len(names) > BUYER_MAX:
        raise table.error(names[BUYER_MAX], f"exceeds the limit of {BUYER_MAX} keys")
    return tuple((name, table.text(name)) for name in sorted(names))


def _credit_notes(table: _Table) -> CreditNotes:
    credit_notes = CreditNotes(
        invoice_prefix=table.text("invoice_prefix"),
        action=Action(table.one_of("action", list(Action))),
    )
    table.reject_unknown_keys()
    return credit_notes


def _unsellable(table: _Table) -> Unsellable:
    action = Action(table.one_of("action", list(Action)))
    reasons: tuple[Reason, ...] = ()
    if action is Action.LIST:
        requested_reasons = table.pop("reasons", list, "an array of reasons")
        if not requested_reasons or not all(reason in list(Reason) for reason in requested_reasons):
            raise table.error("reasons", f"must be some of {', '.join(Reason)}")
        reasons = tuple(Reason(reason) for reason in requested_reasons)
    table.reject_unknown_keys()
    return Unsellable(action=action, reasons=reasons)
