"""
Pricing rules: a merchant's taxes, price lists, discounts and fees in one validated TOML file.

Nothing is guessed: unknown keys, overlaps and rates that contradict their code are rejected with
file, line and field path. The VAT rates included in Bursar (`vat.toml`) apply unless the file says
`shipped_rates = false`; a merchant's rates of a country and category replace them.
"""

from __future__ import annotations

import functools
import importlib.resources
import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from bursar import errors, ids, text_files
from bursar.money import Money, exponent_of
from bursar.pricing import rounding, taxes
from bursar.pricing.discounts import Discount
from bursar.pricing.fees import Fee
from bursar.pricing.pricelists import Item, PriceBook, PriceList
from bursar.pricing.quotes import TaxRounding
from bursar.pricing.rounding import PERCENT_SCALE, HalfRounding
from bursar.pricing.taxes import Rate, Rates, Seller

RULES_BYTES_MAX = 16 * 2**20
COUPON_LETTERS_MAX = 60

_COUNTRY = re.compile(r"[A-Z]{2}")
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]\]?\s*(#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=")


class InvalidPricingRules(errors.ValidationError):
    """The pricing rules are invalid; the message has file, line and reason, *param* the field path."""

    code = "invalid_pricing_rules"


class Rounding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where tax is rounded, and how halves are rounded."""

    mode: TaxRounding = TaxRounding.LINE
    half: HalfRounding = HalfRounding.EVEN


class _RulesFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    currencies: tuple[str, ...] = ()
    shipped_rates: bool = True
    rounding: Rounding = Rounding()
    seller: Seller = Seller()
    rates: tuple[Rate, ...] = ()
    price_lists: tuple[PriceList, ...] = ()
    discounts: tuple[Discount, ...] = ()
    fees: tuple[Fee, ...] = ()


_NO_SELLER, _NO_LISTS = Seller(), PriceBook()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Validated pricing rules; *digest* of their text ("" without rules) is part of every quote."""

    mode: TaxRounding = TaxRounding.LINE
    half: HalfRounding = HalfRounding.EVEN
    seller: Seller = _NO_SELLER
    rates: Mapping[tuple[str, str], tuple[Rate, ...]]
    lists: PriceBook = _NO_LISTS
    discounts: tuple[Discount, ...] = ()
    fees: tuple[Fee, ...] = ()
    digest: str = ""


#: No rules: prices and rates are those of the lines.
NONE = Rules(rates={})


class _RuleError(Exception):
    """An invalid value and its field path, such as `discounts[0].percent`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason


def load(path: Path) -> Rules:
    """
    Load the rules from *path*.

    :raises InvalidPricingRules: if it cannot be read or is invalid.
    """
    text = text_files.read(path, bytes_max=RULES_BYTES_MAX, error_class=InvalidPricingRules)
    return parse(text, name=path.name)


def parse(text: str, *, name: str) -> Rules:
    """
    Parse rules from TOML; *name* is the file name for messages.

    :raises InvalidPricingRules: if they are invalid.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidPricingRules(f"{name}: {error}") from error
    try:
        file = msgspec.convert(values, _RulesFile)
        _check(file)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        path = where.rstrip("`")
        raise InvalidPricingRules(
            f"{name}, line {_line_of(text, path, reason)}: {reason}", param=path
        ) from None
    except _RuleError as error:
        line = _line_of(text, error.path)
        raise InvalidPricingRules(
            f"{name}, line {line}: {error.reason}", param=error.path
        ) from None
    shipped = shipped_rates() if file.shipped_rates else {}
    return Rules(
        mode=file.rounding.mode,
        half=file.rounding.half,
        seller=file.seller,
        rates={**shipped, **taxes.index_rates(file.rates)},
        lists=PriceBook.of(file.price_lists),
        discounts=file.discounts,
        fees=file.fees,
        digest=ids.digest(text) if text else "",
    )


@functools.cache
def shipped_rates() -> Rates:
    """Return the VAT rates included in Bursar; `vat.toml` has their source and date."""
    text = importlib.resources.files("bursar.pricing").joinpath("vat.toml").read_text("utf-8")
    file = msgspec.convert(tomllib.loads(text), _RulesFile)
    _check(file)
    return taxes.index_rates(file.rates)


# --- Validation ---------------------------------------------------------------------------------


def _check(file: _RulesFile) -> None:
    for at, currency in enumerate(file.currencies):
        with _error_path(f"currencies[{at}]"):
            exponent_of(currency)
    _check_country("seller.country", file.seller.country, needed=False)
    for at, country in enumerate(file.seller.registered_in):
        _check_country(f"seller.registered_in[{at}]", country)
    for at, rate in enumerate(file.rates):
        _check_rate(f"rates[{at}]", rate)
    _check_overlaps("rates", file.rates, lambda rate: [(rate.country, rate.category)])
    for at, prices in enumerate(file.price_lists):
        _check_prices(f"price_lists[{at}]", prices, file)
    _check_overlaps(
        "price_lists",
        file.price_lists,
        lambda prices: [(prices.currency, group) for group in prices.groups or ("",)],
    )
    names: set[str] = set()
    for at, discount in enumerate(file.discounts):
        _check_discount(f"discounts[{at}]", discount, file)
        if discount.name in names:
            raise _RuleError(f"discounts[{at}].name", f"{discount.name!r} occurs twice")
        names.add(discount.name)
    for at, fee in enumerate(file.fees):
        _check_fee(f"fees[{at}]", fee, file)
        if any(each.is_for(fee.method, fee.currency or each.currency) for each in file.fees[:at]):
            raise _RuleError(f"fees[{at}].method", f"{fee.method!r} already has a fee")


class _error_path:  # noqa: N801  (used like a function)
    """Context manager: converts a ValidationError raised inside to an error at *path*."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, errors.ValidationError):
            raise _RuleError(self._path, error.message) from None


class _Dated(Protocol):
    @property
    def valid_from(self) -> date | None: ...
    @property
    def valid_until(self) -> date | None: ...


T = TypeVar("T", bound=_Dated)


def _check_dates(path: str, dated: _Dated) -> None:
    if dated.valid_from and dated.valid_until and dated.valid_until < dated.valid_from:
        raise _RuleError(
            f"{path}.valid_until", f"must not be before valid_from ({dated.valid_from})"
        )


def _check_overlaps(
    name: str, dated: Sequence[T], keys: Callable[[T], Iterable[tuple[str, str]]]
) -> None:
    """Check that no two entries are valid on one day; without an end one ends at the next start."""
    spans_by_key: dict[tuple[str, str], list[tuple[date, date | None, int]]] = {}
    for at, each in enumerate(dated):
        _check_dates(f"{name}[{at}]", each)
        for key in keys(each):
            span = (each.valid_from or date.min, each.valid_until, at)
            spans_by_key.setdefault(key, []).append(span)
    for (first, second), spans in spans_by_key.items():
        spans.sort(key=lambda span: (span[0], span[2]))
        for (start, end, previous), (next_start, _, at) in itertools.pairwise(spans):
            if next_start == start or (end is not None and end >= next_start):
                description = f"{first} {second}".strip()
                raise _RuleError(
                    f"{name}[{at}]", f"{description} overlaps entry {previous + 1} of {name}"
                )


def _check_country(path: str, country: str, *, needed: bool = True) -> None:
    if (needed or country) and _COUNTRY.fullmatch(country) is None:
        raise _RuleError(path, f"{country!r} is not an ISO 3166-1 code such as DE")


def _check_currency(path: str, currency: str, file: _RulesFile) -> None:
    with _error_path(path):
        exponent_of(currency)
    if file.currencies and currency not in file.currencies:
        raise _RuleError(path, f"{currency} is not in currencies")


def _check_amount(path: str, text: str, currency: str) -> None:
    if not currency:
        raise _RuleError(path, "an amount requires currency")
    with _error_path(path):
        if Money.parse(text, currency).amount_minor <= 0:
            raise _RuleError(path, "an amount must be positive")


def _check_rate(path: str, rate: Rate) -> None:
    _check_country(f"{path}.country", rate.country)
    _check_category(f"{path}.category", rate.category)
    if not rate.rate and not rate.components:
        raise _RuleError(f"{path}.rate", "rate (in percent) or components is required")
    with _error_path(f"{path}.{'code' if rate.code else 'rate'}"):
        rate.tax()


def _check_category(path: str, category: str) -> None:
    if _WORD.fullmatch(category) is None:
        raise _RuleError(
            path, f"{category[:40]!r} is not a category name such as standard or reduced-2"
        )


def _check_prices(path: str, prices: PriceList, file: _RulesFile) -> None:
    _check_currency(f"{path}.currency", prices.currency, file)
    skus: set[str] = set()
    for at, item in enumerate(prices.items):
        item_path = f"{path}.items[{at}]"
        if not item.sku or item.sku in skus:
            raise _RuleError(f"{item_path}.sku", f"{item.sku!r} is empty or occurs twice")
        skus.add(item.sku)
        _check_item(item_path, item)


def _check_item(path: str, item: Item) -> None:
    if bool(item.price) is bool(item.tiers):
        raise _RuleError(f"{path}.price", "price or tiers is required, not both")
    if item.tax_category:
        _check_category(f"{path}.tax_category", item.tax_category)
    if item.price:
        with _error_path(f"{path}.price"):
            rounding.parse_decimal(item.price)
    for at, tier in enumerate(item.tiers):
        if tier.units <= (item.tiers[at - 1].units if at else 0) or (not at and tier.units != 1):
            raise _RuleError(f"{path}.tiers[{at}].units", "units must begin at 1 and increase")
        with _error_path(f"{path}.tiers[{at}].price"):
            rounding.parse_decimal(tier.price)


def _check_tiers(path: str, rule: Discount) -> None:
    for at, tier in enumerate(rule.tiers):
        if tier.units <= (rule.tiers[at - 1].units if at else 0):
            raise _RuleError(f"{path}.tiers[{at}].units", "units must be at least 1 and increase")
        with _error_path(f"{path}.tiers[{at}].percent"):
            rounding.parse_percent(tier.percent)


def _check_discount(path: str, rule: Discount, file: _RulesFile) -> None:
    _check_dates(path, rule)
    kinds = [bool(rule.percent), bool(rule.amount), bool(rule.take or rule.pay), bool(rule.tiers)]
    if kinds.count(True) != 1:
        raise _RuleError(
            f"{path}.name", "exactly one of percent, amount, take with pay, and tiers is required"
        )
    if not 1 <= len(rule.name) <= 120:
        raise _RuleError(f"{path}.name", "name must have 1 to 120 characters")
    if rule.currency:
        _check_currency(f"{path}.currency", rule.currency, file)
    if rule.amount:
        _check_amount(f"{path}.amount", rule.amount, rule.currency)
    if rule.minimum:
        _check_amount(f"{path}.minimum", rule.minimum, rule.currency)
    if rule.percent:
        with _error_path(f"{path}.percent"):
            rounding.parse_percent(rule.percent)
    if (rule.take or rule.pay) and not 0 < rule.pay < rule.take:
        raise _RuleError(f"{path}.take", "take and pay must satisfy 0 < pay < take")
    _check_tiers(path, rule)
    if rule.limit is not None and (not rule.coupon or rule.limit < 1):
        raise _RuleError(f"{path}.limit", "limit must be at least 1 and requires coupon")
    if len(rule.coupon) > COUPON_LETTERS_MAX:
        raise _RuleError(
            f"{path}.coupon", f"coupon must have at most {COUPON_LETTERS_MAX} characters"
        )


def _check_fee(path: str, fee: Fee, file: _RulesFile) -> None:
    if fee.currency:
        _check_currency(f"{path}.currency", fee.currency, file)
    if fee.fixed:
        _check_amount(f"{path}.fixed", fee.fixed, fee.currency)
    with _error_path(f"{path}.percent"):
        if rounding.parse_percent(fee.percent) == PERCENT_SCALE:
            raise _RuleError(f"{path}.percent", "percent must be less than 100")
    if fee.tax_rate and fee.tax_category:
        raise _RuleError(f"{path}.tax_rate", "tax_rate and tax_category are mutually exclusive")
    with _error_path(f"{path}.tax_rate"):
        taxes.make_tax(fee.tax_rate or "0")


# --- Line numbers -------------------------------------------------------------------------------


def _line_of(text: str, path: str, reason: str = "") -> int:
    """Return the line (from 1) of *path*, such as `discounts[1].percent`, or of its closest parent."""
    key_path = _unknown_key(path, reason)
    lines = _line_numbers(text)
    while key_path:
        if key_path in lines:
            return lines[key_path]
        key_path = re.sub(r"(\.[^.\[\]]+|\[[0-9]+\]|^[^.\[\]]+)$", "", key_path)
    return 1


def _unknown_key(path: str, reason: str) -> str:
    if match := re.search(r"unknown field `([^`]+)`", reason):
        return f"{path}.{match[1]}" if path else match[1]
    return path


def _line_numbers(text: str) -> dict[str, int]:
    """Return the first line of each table and key by path."""
    line_numbers: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            names = header[2].split(".")
            for end, name in enumerate(names, 1):
                last = end == len(names)
                full_name = name if end == 1 else f"{table}.{name}"
                if header[1] == "[[" and last:
                    counts[full_name] = counts.get(full_name, -1) + 1
                table = f"{full_name}[{counts[full_name]}]" if full_name in counts else full_name
            line_numbers.setdefault(table, number)
        elif key := _KEY.match(line):
            line_numbers.setdefault(f"{table}.{key[1]}" if table else key[1], number)
    return line_numbers
