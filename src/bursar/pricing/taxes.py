"""
Taxes: the category codes of EN 16931, taxes of several parts, and which tax a sale has.

Codes are those of UNCL 5305 as EN 16931 uses them. A rate above zero goes with S and with no
other; a zero rate (Z) is no exemption (E).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

import msgspec
from stdnum.ch import vat as swiss
from stdnum.eu import vat as european
from stdnum.exceptions import ValidationError
from stdnum.gb import vat as british
from stdnum.no import mva as norwegian

from bursar import errors
from bursar.pricing import rounding
from bursar.pricing.rounding import HalfRounding


class UnknownTax(errors.ValidationError):
    """The rules have no tax for that place, category and day."""

    code = "tax_rate_not_found"


class BadVatId(errors.ValidationError):
    """The number is no VAT identification number of its country."""

    code = "invalid_vat_id"


class TaxCode(StrEnum):
    """VAT category codes (EN 16931, BT-151): why a supply is taxed as it is."""

    STANDARD = "S"
    ZERO = "Z"
    EXEMPT = "E"
    REVERSE_CHARGE = "AE"
    INTRA_COMMUNITY = "K"
    EXPORT = "G"
    OUTSIDE_SCOPE = "O"


class Supply(StrEnum):
    """What is sold: the place of taxation differs."""

    GOODS = "goods"
    SERVICES = "services"


class ConsumerTaxPlace(StrEnum):
    """Whose rate consumers in other countries of the EU pay: their own (OSS), or the seller's."""

    DESTINATION = "destination"
    ORIGIN = "origin"


#: Why nothing is taxed, as an invoice must say it (VATEX codes of the EN 16931 registry).
REASONS: Final[Mapping[TaxCode, str]] = {
    TaxCode.REVERSE_CHARGE: "VATEX-EU-AE",
    TaxCode.INTRA_COMMUNITY: "VATEX-EU-IC",
    TaxCode.EXPORT: "VATEX-EU-G",
    TaxCode.OUTSIDE_SCOPE: "VATEX-EU-O",
}

#: The member states (ISO 3166-1); the VAT numbers of Greece begin with EL.
EU: Final = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()
)


class TaxComponent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tax of several on the same sale; a *compound* one is charged on those before it too."""

    name: str
    rate: str
    compound: bool = False


@dataclass(frozen=True, slots=True)
class Tax:
    """
    A tax as it is charged: its *code*, its *rate* in percent as told, its parts by name and rate.

    Each part takes *weights[i]* / *scale* of the net price, exactly.
    """

    code: TaxCode
    rate: str
    components: tuple[tuple[str, str], ...]
    reason: str
    weights: tuple[int, ...]
    scale: int

    @property
    def total_weight(self) -> int:
        """The weight of all parts together."""
        return sum(self.weights)

    def on(self, net_minor: int, half: HalfRounding) -> list[int]:
        """The tax on a net amount, each part rounded for itself."""
        return [rounding.divide(net_minor * each, self.scale, half) for each in self.weights]

    def net_of(self, gross_minor: int, half: HalfRounding) -> int:
        """The net amount in a gross one."""
        return rounding.divide(gross_minor * self.scale, self.scale + self.total_weight, half)


@functools.lru_cache(maxsize=4096)
def make_tax(
    rate: str, code: str = "", reason: str = "", components: tuple[TaxComponent, ...] = ()
) -> Tax:
    """
    Make a tax of one *rate* in percent, or of several *parts*.

    Without a *code* a rate above zero is S, and zero is Z.

    :raises errors.ValidationError: if a rate is none, the code is unknown, or they do not go
        together.
    """
    if components and rate:
        raise errors.ValidationError("a tax has a rate or parts, not both")
    tax_components = components or (TaxComponent(name="", rate=rate or "0"),)
    rates = [
        Fraction(rounding.parse_percent(part.rate), rounding.PERCENT_SCALE)
        for part in tax_components
    ]
    effective: list[Fraction] = []
    for part, share in zip(tax_components, rates, strict=True):
        effective.append(share * (1 + sum(effective)) if part.compound else share)
    taxed = any(effective)
    try:
        tax_code = TaxCode(code or (TaxCode.STANDARD if taxed else TaxCode.ZERO))
    except ValueError:
        raise errors.ValidationError(
            f"{code!r} is no VAT category; known: {', '.join(TaxCode)}"
        ) from None
    if taxed is not (tax_code is TaxCode.STANDARD):
        description = "a rate above zero" if taxed else "a zero rate"
        raise errors.ValidationError(f"{description} does not go with category {tax_code.value}")
    scale = math.lcm(*(each.denominator for each in effective))
    return Tax(
        code=tax_code,
        rate=rate or format_percent(sum(effective, Fraction())),
        components=tuple((part.name, part.rate) for part in tax_components),
        reason=reason or REASONS.get(tax_code, ""),
        weights=tuple(int(each * scale) for each in effective),
        scale=scale,
    )


def format_percent(share: Fraction) -> str:
    """A share of one as percent; it is a finite decimal, as all rates are."""
    return f"{Decimal(100 * share.numerator) / share.denominator:f}"


# --- Rules --------------------------------------------------------------------------------------


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a country (ISO 3166-1) takes of a *category* from a day on, the last day included."""

    country: str
    category: str
    valid_from: date
    rate: str = ""
    valid_until: date | None = None
    code: str = ""
    reason: str = ""
    components: tuple[TaxComponent, ...] = ()

    def tax(self) -> Tax:
        """Make the tax. Raises what `make` does."""
        return make_tax(self.rate, self.code, self.reason, self.components)


class Seller(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who sells: its country, where else it is registered, and whose rate EU consumers pay."""

    country: str = ""
    registered_in: tuple[str, ...] = ()
    eu_consumers: ConsumerTaxPlace = ConsumerTaxPlace.DESTINATION


Rates = Mapping[tuple[str, str], tuple[Rate, ...]]


def index_rates(rates: Iterable[Rate]) -> Rates:
    """Rates by country and category, each latest first."""
    rates_by_key: dict[tuple[str, str], list[Rate]] = {}
    for rate in rates:
        rates_by_key.setdefault((rate.country, rate.category), []).append(rate)
    return {
        key: tuple(sorted(each, key=lambda rate: rate.valid_from, reverse=True))
        for key, each in rates_by_key.items()
    }


def rate_on(rates: Rates, country: str, category: str, day: date) -> Tax:
    """
    The tax of *country* on *category* on *day*.

    :raises UnknownTax: if there is none.
    """
    for rate in rates.get((country, category), ()):
        if rate.valid_from <= day and not (rate.valid_until and rate.valid_until < day):
            return rate.tax()
    raise UnknownTax(f"no tax is known for {category!r} in {country!r} on {day}")


def choose_tax(
    rates: Rates,
    *,
    seller: Seller,
    buyer: str,
    vat_id: str,
    category: str,
    supply: Supply,
    day: date,
) -> Tax:
    """
    Which tax a sale has (Directive 2006/112/EC, articles 33, 44, 58, 138, 146, 196).

    *buyer* is the buyer's country, "" for the seller's own; *vat_id* that of a business, checked.

    :raises UnknownTax: if the seller's country or the rate is not known;
    :raises BadVatId: if the number is none, or of another country.
    """
    if not seller.country:
        raise UnknownTax("the rules do not tell the seller's country")
    place = buyer or seller.country
    is_business = bool(vat_id)
    if is_business and country_of(vat_id) != place:
        raise BadVatId(f"the VAT number is not one of {place}", param="vat_id")
    if place == seller.country or place in seller.registered_in:
        return rate_on(rates, place, category, day)
    if seller.country in EU and place in EU:
        if is_business:
            goods = supply is Supply.GOODS
            return make_tax("", TaxCode.INTRA_COMMUNITY if goods else TaxCode.REVERSE_CHARGE)
        is_taxed_at_destination = seller.eu_consumers is ConsumerTaxPlace.DESTINATION
        return rate_on(rates, place if is_taxed_at_destination else seller.country, category, day)
    return make_tax("", TaxCode.EXPORT if supply is Supply.GOODS else TaxCode.OUTSIDE_SCOPE)


@functools.lru_cache(maxsize=4096)
def country_of(vat_id: str) -> str:
    """
    The country (ISO 3166-1) of a VAT number, which begins with its prefix; digits are checked.

    Whether the number is in force only the authorities know (VIES).

    :raises BadVatId: if it is none of the EU, the United Kingdom, Switzerland or Norway.
    """
    text = vat_id.strip().upper()
    prefix = text[:2]
    try:
        if prefix in {"GB", "XI"}:
            british.validate("GB" + text[2:])
        elif prefix == "CH":
            swiss.validate(text)
        elif prefix == "NO":
            norwegian.validate(text)
        else:
            european.validate(text)
    except ValidationError as error:
        raise BadVatId(f"{vat_id[:20]!r} is no VAT number: {error}", param="vat_id") from None
    return {"EL": "GR", "XI": "GB"}.get(prefix, prefix)
