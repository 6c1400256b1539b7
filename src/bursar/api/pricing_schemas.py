"""Schemas of baskets and quotes, and the base classes of all schemas of the public API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bursar.api import examples
from bursar.money import MINOR_MAX
from bursar.orders.operations import METADATA_KEY_LETTERS, SKU_LETTERS, TEXT_LETTERS
from bursar.pricing.baskets import COUPONS_MAX, Basket
from bursar.pricing.baskets import Line as BasketLine
from bursar.pricing.quotes import TaxRounding
from bursar.pricing.rounding import HalfRounding
from bursar.pricing.taxes import Supply

LINES_MAX = 500
#: Bounds a quantity so that a line's total is rejected before it overflows.
QUANTITY_MAX = 10**9

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3,8}$", examples=["EUR"])]


class RequestModel(BaseModel):
    """Base of request bodies: unknown fields and wrong types are rejected."""

    model_config = ConfigDict(
        extra="forbid", strict=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class ResponseModel(BaseModel):
    """Base of response bodies."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def with_example(example: dict[str, Any]) -> ConfigDict:
    """Return the model configuration that describes the model by *example*."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class LineCreate(RequestModel):
    """One line of a basket or order."""

    model_config = with_example(examples.LINE_CREATE)

    sku: str = Field(max_length=SKU_LETTERS, default="", examples=["book-17"])
    """Stock keeping unit; names the price in the price lists."""
    description: str = Field(max_length=TEXT_LETTERS, default="", examples=["A book"])
    """Text for receipts and the back office."""
    quantity: int = Field(ge=1, le=QUANTITY_MAX, default=1, examples=[2])
    """Number of units."""
    unit_price: str = Field(
        max_length=40, pattern=r"^([0-9]{1,15}(\.[0-9]{1,12})?)?$", default="", examples=["4.20"]
    )
    """Price of one unit as a decimal in major units; without it the price list's."""
    tax_rate: str = Field(max_length=20, default="", examples=["19"])
    """Tax rate in percent; without it the rules' rate for `tax_category` and `country`."""
    tax_code: Literal["", "S", "Z", "E", "AE", "K", "G", "O"] = ""
    """VAT category code of EN 16931; `S`, or `Z` for a rate of zero, if omitted."""
    tax_category: str = Field(max_length=40, default="")
    """Tax category of the pricing rules, such as `standard` or `reduced`."""
    supply: Annotated[Supply, Field(strict=False)] = Supply.GOODS
    """Whether goods or services are sold; decides the place of taxation."""


class BasketCreate(RequestModel):
    """Lines in one currency, and what determines their prices and taxes."""

    currency: Currency
    """ISO 4217 code, or the code of a supported asset."""
    lines: list[LineCreate] = Field(min_length=1, max_length=LINES_MAX)
    """The lines to price."""
    country: str = Field(default="", pattern=r"^([A-Z]{2})?$")
    """Country of the buyer (ISO 3166-1 alpha-2)."""
    vat_id: str = Field(default="", max_length=30)
    """VAT identification number of a business buyer, with its country prefix."""
    customer_group: str = Field(default="", max_length=METADATA_KEY_LETTERS)
    """Customer group of the price lists and discounts."""
    coupons: list[Annotated[str, Field(min_length=1, max_length=60)]] = Field(
        default_factory=list, max_length=COUPONS_MAX
    )
    """Coupon codes to apply."""
    prices_include_tax: bool | None = None
    """Whether `unit_price` includes tax; null uses the default of the pricing rules."""

    def to_basket(self, payment_method: str = "") -> Basket:
        """Return the basket for the calculator."""
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
    """A basket to price without an order."""

    model_config = with_example(examples.QUOTE_CREATE)

    payment_method: str = Field(default="", max_length=40, examples=["europe"])
    """Provider account whose payment fee is added."""


class MoneyResponse(ResponseModel):
    """An amount in minor units of a currency."""

    model_config = with_example({"amount": 1999, "currency": "EUR"})

    amount: int = Field(ge=-MINOR_MAX, le=MINOR_MAX, examples=[1999])
    """Amount in minor units: cents for EUR, whole yen for JPY, thousandths for KWD."""
    currency: str = Field(examples=["EUR"])
    """ISO 4217 code, or the code of a supported asset."""


class QuoteDiscount(ResponseModel):
    """A discount applied to a line."""

    name: str
    """Name of the discount in the pricing rules."""
    amount: MoneyResponse
    """Amount deducted."""


class QuoteLine(ResponseModel):
    """One line of a quote; list price less discounts is net, or gross if the price includes tax."""

    position: int
    """Position from 1."""
    kind: Literal["item", "fee"]
    """`item` for a requested line, `fee` for a line that the rules add."""
    sku: str
    """Stock keeping unit."""
    description: str
    """Text of the line."""
    quantity: int
    """Number of units."""
    unit_price: str
    """Price of one unit as a decimal in major units."""
    price_includes_tax: bool
    """Whether `unit_price` and `list_price` include tax."""
    list_price: MoneyResponse
    """Unit price times quantity, before discounts."""
    discounts: list[QuoteDiscount]
    """Discounts in the order they were applied."""
    tax_code: str
    """VAT category code of EN 16931."""
    tax_rate: str
    """Tax rate in percent."""
    net: MoneyResponse
    """Amount without tax."""
    tax: MoneyResponse
    """Tax."""
    gross: MoneyResponse
    """Amount with tax."""


class QuoteTaxComponent(ResponseModel):
    """One of several taxes on the same sale, such as state and city."""

    name: str
    """Name of the tax."""
    rate: str
    """Tax rate in percent."""
    tax: MoneyResponse
    """Tax."""


class QuoteTax(ResponseModel):
    """Total of one tax code and rate."""

    code: str
    """VAT category code of EN 16931."""
    rate: str
    """Tax rate in percent."""
    reason: str
    """Why no tax is due; empty otherwise."""
    base: MoneyResponse
    """Taxable amount."""
    tax: MoneyResponse
    """Tax."""
    components: list[QuoteTaxComponent]
    """Taxes that add up to this one; empty if there is one only."""


class QuoteResponse(ResponseModel):
    """A priced basket; it is not stored."""

    model_config = with_example(examples.QUOTE)

    object: Literal["quote"]
    """Object type."""
    currency: str
    """Currency of all amounts."""
    total: MoneyResponse
    """Amount to pay, with tax."""
    net: MoneyResponse
    """Total without tax."""
    tax: MoneyResponse
    """Total tax."""
    discount: MoneyResponse
    """Sum of all discounts."""
    rounding: MoneyResponse
    """Tax of the totals less the sum of the lines' unrounded tax."""
    rounding_mode: TaxRounding
    """Whether tax is rounded per line or on the sum of each tax rate."""
    half_rounding: HalfRounding
    """How halves are rounded."""
    rules: str
    """Version of the pricing rules; empty without rules."""
    coupons: list[str]
    """Coupons that gave a discount."""
    taxes: list[QuoteTax]
    """Totals by tax code and rate."""
    lines: list[QuoteLine]
    """Priced lines."""
