"""Basket and lines to price, as given by a file, the API or a program."""

from __future__ import annotations

import msgspec

from bursar import errors
from bursar.money import exponent_of
from bursar.pricing.taxes import Supply

QUANTITY_MAX = 10**9
LINES_MAX = 10_000
COUPONS_MAX = 20


class EmptyBasket(errors.ValidationError):
    """The basket has no lines."""

    code = "empty_basket"


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One line: *quantity* units at *unit_price* major units each, as plain decimal text.

    Without *unit_price* the price list applies. The tax is *tax_rate* percent (plain decimal text
    such as "19" or "5.5") with *tax_code* (EN 16931) for a zero rate; or that of *tax_category*
    (such as "standard") at the buyer's place; or that of the price list. Without any of these the
    rate is zero.
    """

    sku: str
    description: str = ""
    quantity: int = 1
    unit_price: str = ""
    tax_rate: str = ""
    tax_code: str = ""
    tax_category: str = ""
    supply: Supply = Supply.GOODS


class Basket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A basket in one currency.

    *country* (ISO 3166-1) and *vat_id* are the buyer's. *customer_group* selects price lists and
    discounts, *payment_method* the fee. *prices_include_tax* says whether the unit prices given in
    the lines include tax (None: they do not).
    """

    currency: str
    lines: tuple[Line, ...]
    country: str = ""
    vat_id: str = ""
    customer_group: str = ""
    coupons: tuple[str, ...] = ()
    payment_method: str = ""
    prices_include_tax: bool | None = None


def read(data: bytes) -> Basket:
    """
    Parse a basket from JSON.

    :raises errors.ValidationError: if it is invalid; *param* is the field.
    """
    try:
        return msgspec.json.decode(data, type=Basket)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message, _, where = str(error).partition(" - at `$")
        raise errors.ValidationError(message, param=where.strip("`.") or "basket") from None


def check(basket: Basket) -> None:
    """
    Validate what does not depend on pricing rules.

    :raises EmptyBasket: if there are no lines;
    :raises errors.ValidationError: if a field is invalid.
    """
    exponent_of(basket.currency)
    if not basket.lines:
        raise EmptyBasket("at least one line is required", param="lines")
    if len(basket.lines) > LINES_MAX:
        raise errors.ValidationError(f"at most {LINES_MAX:,} lines", param="lines")
    if len(basket.coupons) > COUPONS_MAX or len(set(basket.coupons)) < len(basket.coupons):
        raise errors.ValidationError(f"at most {COUPONS_MAX} different coupons", param="coupons")
    if basket.country and not (
        len(basket.country) == 2 and basket.country.isascii() and basket.country.isupper()
    ):
        raise errors.ValidationError(
            "country must be an ISO 3166-1 code such as DE", param="country"
        )
    for number, line in enumerate(basket.lines, 1):
        if type(line.quantity) is not int or not 1 <= line.quantity <= QUANTITY_MAX:
            raise errors.ValidationError(
                f"quantity must be a whole number from 1 to {QUANTITY_MAX:,}, not {line.quantity!r}",
                param=f"lines[{number}].quantity",
            )
        if line.tax_category and (line.tax_rate or line.tax_code):
            raise errors.ValidationError(
                "tax_category and tax_rate or tax_code are mutually exclusive",
                param=f"lines[{number}].tax_category",
            )
