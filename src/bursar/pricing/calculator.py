"""
The price of a basket: pure, exact, every step on its line.

Prices are net and per unit; tax is added line by line, rounded half to even (IEEE 754's
roundTiesToEven, so that many roundings do not drift). Totals are the sums of the lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bursar import errors
from bursar.money import Money, exponent_of

QUANTITY_MAX = 10**9
#: Percent as a plain decimal, at most 100, with up to four digits behind the point.
_RATE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,4}))?")


class EmptyBasket(errors.ValidationError):
    """There is nothing to pay for."""

    code = "empty_basket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    What is bought: *quantity* units at *unit_price* major units each, as plain decimal text.

    *tax_rate* is percent of the net price, as plain decimal text such as "19" or "5.5".
    """

    sku: str
    description: str
    quantity: int
    unit_price: str
    tax_rate: str = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedLine:
    """A line with its amounts in minor units: net + tax = gross."""

    line: Line
    net_minor: int
    tax_minor: int

    @property
    def gross_minor(self) -> int:
        """Net and tax together."""
        return self.net_minor + self.tax_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A priced basket; the totals are the sums of its lines."""

    currency: str
    lines: tuple[PricedLine, ...]
    net: Money
    tax: Money
    total: Money


def price(lines: Iterable[Line], *, currency: str) -> Price:
    """
    Price a basket in *currency*.

    :raises EmptyBasket: if there are no lines;
    :raises errors.ValidationError: if a quantity, price or rate is not one; *line* counts from 1.
    """
    exponent_of(currency)
    priced = tuple(_price(line, currency, number) for number, line in enumerate(lines, 1))
    if not priced:
        raise EmptyBasket("an order needs at least one line", param="lines")
    net = Money(sum(line.net_minor for line in priced), currency)
    tax = Money(sum(line.tax_minor for line in priced), currency)
    return Price(currency=currency, lines=priced, net=net, tax=tax, total=net + tax)


def _price(line: Line, currency: str, number: int) -> PricedLine:
    if type(line.quantity) is not int or not 1 <= line.quantity <= QUANTITY_MAX:
        raise errors.ValidationError(
            f"a quantity is a whole number from 1 to {QUANTITY_MAX}, not {line.quantity!r}",
            param=f"lines[{number}].quantity",
        )
    try:
        unit = Money.parse(line.unit_price, currency)
        net = unit * line.quantity
    except errors.ValidationError as error:
        raise type(error)(error.message, param=f"lines[{number}].unit_price") from error
    if net.amount_minor < 0:
        raise errors.ValidationError(
            f"a price is not negative: {line.unit_price}", param=f"lines[{number}].unit_price"
        )
    tax = _tax(net.amount_minor, line.tax_rate, number)
    return PricedLine(line=line, net_minor=net.amount_minor, tax_minor=tax)


def _tax(net_minor: int, rate: str, number: int) -> int:
    match = _RATE.fullmatch(rate)
    percent_e4 = int(match[1] + (match[2] or "").ljust(4, "0")) if match else -1
    if not 0 <= percent_e4 <= 100_0000:
        raise errors.ValidationError(
            f"{rate!r} is not a percentage such as 19 or 5.5", param=f"lines[{number}].tax_rate"
        )
    quotient, rest = divmod(net_minor * percent_e4, 100_0000)
    return quotient + (2 * rest > 100_0000 or (2 * rest == 100_0000 and quotient % 2))
