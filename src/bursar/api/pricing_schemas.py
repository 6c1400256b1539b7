"""The shapes of baskets and quotes, and what all shapes of the public API have in common."""

from __future__ import annotations

import builtins
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bursar.money import MINOR_MAX
from bursar.orders.operations import METADATA_KEY_LETTERS, SKU_LETTERS, TEXT_LETTERS
from bursar.pricing.baskets import COUPONS_MAX, Basket
from bursar.pricing.baskets import Line as BasketLine
from bursar.pricing.quotes import TaxRounding
from bursar.pricing.rounding import HalfRounding
from bursar.pricing.taxes import Supply

LINES_MAX = 500
#: More units of one line than anybody sells; with it a line's total is refused before it overflows.
QUANTITY_MAX = 10**9

Currency = Annotated[
    str, Field(pattern=r"^[A-Z]{3,8}$", examples=["EUR"], description="ISO 4217, or a known asset.")
]


class RequestModel(BaseModel):
    """What callers send: nothing unknown, nothing of a wrong type."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class ResponseModel(BaseModel):
    """What we answer."""

    model_config = ConfigDict(extra="forbid")


class LineCreate(RequestModel):
    """
    One line of an order; *unit_price* is a plain decimal in major units.

    Without it the price list has the price. The tax is a rate, with its code where that is zero, or
    that of a category at the buyer's place.
    """

    sku: str = Field(max_length=SKU_LETTERS, default="", examples=["book-17"])
    description: str = Field(max_length=TEXT_LETTERS, default="", examples=["A book"])
    quantity: int = Field(ge=1, le=QUANTITY_MAX, default=1, examples=[2])
    unit_price: str = Field(
        max_length=40, pattern=r"^([0-9]{1,15}(\.[0-9]{1,12})?)?$", default="", examples=["4.20"]
    )
    tax_rate: str = Field(max_length=20, default="", examples=["19"], description="In percent.")
    tax_code: Literal["", "S", "Z", "E", "AE", "K", "G", "O"] = Field(
        default="", description="The VAT category of EN 16931; S or Z where it is left out."
    )
    tax_category: str = Field(
        max_length=40, default="", description="Such as `standard` or `reduced`, in the rules."
    )
    supply: Annotated[Supply, Field(strict=False)] = Supply.GOODS


class BasketCreate(RequestModel):
    """What somebody wants to buy, in one currency, and what decides on its prices and taxes."""

    currency: Currency
    lines: list[LineCreate] = Field(min_length=1, max_length=LINES_MAX)
    country: str = Field(
        default="", pattern=r"^([A-Z]{2})?$", description="The buyer's, ISO 3166-1."
    )
    vat_id: str = Field(default="", max_length=30, description="Of a business, with its prefix.")
    customer_group: str = Field(default="", max_length=METADATA_KEY_LETTERS)
    coupons: list[Annotated[str, Field(min_length=1, max_length=60)]] = Field(
        default_factory=list, max_length=COUPONS_MAX
    )
    prices_include_tax: bool | None = Field(
        default=None, description="Whether the unit prices given here do."
    )

    def to_basket(self, payment_method: str = "") -> Basket:
        """What is to be priced."""
        return Basket(
            currency=self.currency,
            lines=tuple(BasketLine(**each.model_dump()) for each in self.lines),
            country=self.country,
            vat_id=self.vat_id,
            customer_group=self.customer_group,
            coupons=tuple(self.coupons),
            prices_include_tax=self.prices_include_tax,
            payment_method=payment_method,
        )


class QuoteCreate(BasketCreate):
    """A basket to price without ordering it; *payment_method* is an account that may have a fee."""

    payment_method: str = Field(default="", max_length=40, examples=["europe"])


class MoneyResponse(ResponseModel):
    """Whole minor units of a currency."""

    amount: int = Field(ge=-MINOR_MAX, le=MINOR_MAX, examples=[1999])
    currency: str = Field(examples=["EUR"])


class QuoteDiscount(ResponseModel):
    """What was taken off, and why."""

    name: str
    amount: MoneyResponse


class QuoteLine(ResponseModel):
    """One line of a quote: list price less discounts is net, or gross where it includes tax."""

    position: int
    kind: Literal["item", "fee"]
    sku: str
    description: str
    quantity: int
    unit_price: str
    price_includes_tax: bool
    list: MoneyResponse
    discounts: builtins.list[QuoteDiscount]
    tax_code: str
    tax_rate: str
    net: MoneyResponse
    tax: MoneyResponse
    gross: MoneyResponse


class QuoteTaxComponent(ResponseModel):
    """One tax of several on the same sale."""

    name: str
    rate: str
    tax: MoneyResponse


class QuoteTax(ResponseModel):
    """The tax of one code and rate, and why there is none."""

    code: str
    rate: str
    reason: str
    base: MoneyResponse
    tax: MoneyResponse
    parts: list[QuoteTaxComponent]


class QuoteResponse(ResponseModel):
    """A priced basket, step by step; nothing is kept of it."""

    object: Literal["quote"]
    currency: str
    total: MoneyResponse
    net: MoneyResponse
    tax: MoneyResponse
    discount: MoneyResponse
    rounding: MoneyResponse
    rounding_mode: TaxRounding
    half: HalfRounding
    rules: str
    coupons: list[str]
    taxes: list[QuoteTax]
    lines: list[QuoteLine]
