"""
Taxes: VAT category codes, taxes with several components, and the choice of tax for a sale.

Codes are those of UNCL 5305 as used by EN 16931. A rate above zero has code S and no other; a zero
rate (Z) is not an exemption (E).
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


class TaxRateNotFound(errors.ValidationError):
    """The rules have no tax rate for the place, category and day."""

    code = "tax_rate_not_found"


class InvalidVatId(errors.ValidationError):
    """The VAT number is invalid, or of another country than the buyer's."""

    code = "invalid_vat_id"


class TaxCode(StrEnum):
    """VAT category codes (EN 16931, BT-151)."""

    STANDARD = "S"
    ZERO = "Z"
    EXEMPT = "E"
    REVERSE_CHARGE = "AE"
    INTRA_COMMUNITY = "K"
    EXPORT = "G"
    OUTSIDE_SCOPE = "O"


class Supply(StrEnum):
    """Kind of supply, which determines the place of taxation."""

    GOODS = "goods"
    SERVICES = "services"


class ConsumerTaxPlace(StrEnum):
    """Whose rate applies to consumers in other EU countries: theirs (OSS), or the seller's."""

    DESTINATION = "destination"
    ORIGIN = "origin"


#: Reasons for a zero tax on an invoice (VATEX codes of the EN 16931 registry).
REASONS: Final[Mapping[TaxCode, str]] = {
    TaxCode.REVERSE_CHARGE: "VATEX-EU-AE",
    TaxCode.INTRA_COMMUNITY: "VATEX-EU-IC",
    TaxCode.EXPORT: "VATEX-EU-G",
    TaxCode.OUTSIDE_SCOPE: "VATEX-EU-O",
}

#: EU member states (ISO 3166-1); Greek VAT numbers begin with EL.
EU: Final = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()
)


class TaxComponent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several taxes on a sale; a *compound* one also applies to the taxes before it."""

    name: str
    rate: str
    compound: bool = False


@dataclass(frozen=True, slots=True)
class Tax:
    """
    A tax: its *code*, its *rate* in percent as given, and its *components* by name and rate.

    Component i is exactly *weights[i]* / *scale* of the net price.
    """

    code: TaxCode
    rate: str
    components: tuple[tuple[str, str], ...]
    reason: str
    weights: tuple[int, ...]
    scale: int

    @property
    def total_weight(self) -> int:
        """Return the sum of the weights of all components."""
        return sum(self.weights)

    def on(self, net_minor: int, half: HalfRounding) -> list[int]:
        """Return the tax on a net amount, each component rounded separately."""
        return [rounding.divide(net_minor * each, self.scale, half) for each in self.weights]

    def net_of(self, gross_minor: int, half: HalfRounding) -> int:
        """Return the net amount of a gross amount."""
        return rounding.divide(gross_minor * self.scale, self.scale + self.total_weight, half)


@functools.lru_cache(maxsize=4096)
def make_tax(
    rate: str, code: str = "", reason: str = "", components: tuple[TaxComponent, ...] = ()
) -> Tax:
    """
    Create a tax from one *rate* in percent, or from several *components*.

    The default *code* is S for a rate above zero, and Z for zero.

    :raises errors.ValidationError: if a rate or the code is invalid, or they contradict each other.
    """
    if components and rate:
        raise errors.ValidationError("a tax has rate or components, not both")
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
            f"{code!r} is not a VAT category code; valid: {', '.join(TaxCode)}"
        ) from None
    if taxed is not (tax_code is TaxCode.STANDARD):
        description = "a rate above zero" if taxed else "a zero rate"
        raise errors.ValidationError(
            f"{description} is not allowed with VAT category code {tax_code.value}"
        )
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
    """Return a share as a percentage; all rates are finite decimals."""
    return f"{Decimal(100 * share.numerator) / share.denominator:f}"


# --- Rules --------------------------------------------------------------------------------------


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tax rate of a country (ISO 3166-1) and *category*; both days are included."""

    country: str
    category: str
    valid_from: date
    rate: str = ""
    valid_until: date | None = None
    code: str = ""
    reason: str = ""
    components: tuple[TaxComponent, ...] = ()

    def tax(self) -> Tax:
        """Create the tax. Raises what `make_tax` raises."""
        return make_tax(self.rate, self.code, self.reason, self.components)


class Seller(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The seller: its country, other tax registrations, and whose rate EU consumers pay."""

    country: str = ""
    registered_in: tuple[str, ...] = ()
    eu_consumers: ConsumerTaxPlace = ConsumerTaxPlace.DESTINATION


Rates = Mapping[tuple[str, str], tuple[Rate, ...]]


def index_rates(rates: Iterable[Rate]) -> Rates:
    """Index rates by country and category, latest first."""
    rates_by_key: dict[tuple[str, str], list[Rate]] = {}
    for rate in rates:
        rates_by_key.setdefault((rate.country, rate.category), []).append(rate)
    return {
        key: tuple(sorted(each, key=lambda rate: rate.valid_from, reverse=True))
        for key, each in rates_by_key.items()
    }


def rate_on(rates: Rates, country: str, category: str, day: date) -> Tax:
    """
    Return the tax of *country* on *category* on *day*.

    :raises TaxRateNotFound: if the rules have no rate.
    """
    for rate in rates.get((country, category), ()):
        if rate.valid_from <= day and not (rate.valid_until and rate.valid_until < day):
            return rate.tax()
    raise TaxRateNotFound(f"no tax rate for category {category!r} in {country!r} on {day}")


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
    Choose the tax of a sale (Directive 2006/112/EC, articles 33, 44, 58, 138, 146, 196).

    *buyer* is the buyer's country, "" for the seller's; *vat_id* is that of a business.

    :raises TaxRateNotFound: if the rules have no country of the seller or no rate;
    :raises InvalidVatId: if the VAT number is invalid, or of another country.
    """
    if not seller.country:
        raise TaxRateNotFound("the pricing rules have no seller.country")
    place = buyer or seller.country
    is_business = bool(vat_id)
    if is_business and country_of(vat_id) != place:
        raise InvalidVatId(f"the VAT number is not of {place}", param="vat_id")
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
    Return the country (ISO 3166-1) of a VAT number with its prefix; check digits are verified.

    Whether the number is registered is not checked (VIES).

    :raises InvalidVatId: if it is not a valid number of the EU, the United Kingdom, Switzerland or Norway.
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
        raise InvalidVatId(
            f"{vat_id[:20]!r} is not a valid VAT number: {error}", param="vat_id"
        ) from None
    return {"EL": "GR", "XI": "GB"}.get(prefix, prefix)
