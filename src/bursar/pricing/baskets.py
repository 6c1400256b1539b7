"""What is asked: a basket and its lines, as they come from a file, the API or a program."""

from __future__ import annotations

import msgspec

from bursar import errors
from bursar.money import exponent_of
from bursar.pricing.taxes import Supply

QUANTITY_MAX = 10**9
LINES_MAX = 10_000
COUPONS_MAX = 20


class EmptyBasket(errors.ValidationError):
    """There is nothing to pay for."""

    code = "empty_basket"


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What is bought: *quantity* units at *unit_price* major units each, as plain decimal text.

    Without *unit_price* the price list has it. The tax is *tax_rate* percent, as plain decimal
    text such as "19" or "5.5", with *tax_code* (EN 16931) where it is none; or that of
    *tax_category* (such as "standard") at the buyer's place; or that of the price list. Without
    all of these nothing is taxed.
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
    What somebody wants to buy, in one currency.

    *country* (ISO 3166-1) and *vat_id* are the buyer's; *customer_group* decides on price lists
    and discounts; *payment_method* on a fee. *prices_include_tax* tells whether the unit prices
    given here do; None leaves that to the price list, or no.
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
    Read a basket from JSON.

    :raises errors.ValidationError: if it is none; *param* names the field.
    """
    try:
        return msgspec.json.decode(data, type=Basket)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message, _, where = str(error).partition(" - at `$")
        raise errors.ValidationError(message, param=where.strip("`.") or "basket") from None


def check(basket: Basket) -> None:
    """
    Check what does not depend on rules.

    :raises EmptyBasket: if there are no lines; :raises errors.ValidationError: otherwise.
    """
    exponent_of(basket.currency)
    if not basket.lines:
        raise EmptyBasket("an order needs at least one line", param="lines")
    if len(basket.lines) > LINES_MAX:
        raise errors.ValidationError(f"at most {LINES_MAX:,} lines", param="lines")
    if len(basket.coupons) > COUPONS_MAX or len(set(basket.coupons)) < len(basket.coupons):
        raise errors.ValidationError(f"each coupon once, at most {COUPONS_MAX}", param="coupons")
    if basket.country and not (
        len(basket.country) == 2 and basket.country.isascii() and basket.country.isupper()
    ):
        raise errors.ValidationError("a country is an ISO 3166-1 code such as DE", param="country")
    for number, line in enumerate(basket.lines, 1):
        if type(line.quantity) is not int or not 1 <= line.quantity <= QUANTITY_MAX:
            raise errors.ValidationError(
                f"a quantity is a whole number from 1 to {QUANTITY_MAX}, not {line.quantity!r}",
                param=f"lines[{number}].quantity",
            )
        if line.tax_category and (line.tax_rate or line.tax_code):
            raise errors.ValidationError(
                "a tax is told by its rate or its category, not both",
                param=f"lines[{number}].tax_category",
            )
