"""Quotes: the price of a basket, with its discounts and taxes; nothing is stored."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from bursar import clock
from bursar.access import roles
from bursar.api import pricing_schemas, responses
from bursar.api.openapi import operation
from bursar.api.routes.parameters import StrictRoute
from bursar.db_reader import readers
from bursar.orders import quotes
from bursar.pricing import baskets, calculator, discounts, taxes

router = APIRouter(prefix="/v1/quotes", tags=["quotes"], route_class=StrictRoute)


@router.post(
    "",
    **operation(
        roles.ORDERS_READ,
        pricing_schemas.QuoteResponse,
        baskets.EmptyBasket,
        calculator.PriceNotFound,
        taxes.TaxRateNotFound,
        taxes.InvalidVatId,
        discounts.CouponNotApplicable,
    ),
)
async def create_quote(basket: pricing_schemas.QuoteCreate) -> Response:
    """Price a basket as an order placed now would be."""
    now, requested = clock.now(), basket.to_basket(basket.payment_method)

    def read() -> bytes:
        quote = quotes.create_quote(requested, at=now, rules=quotes.configured_rules())
        return responses.dump_json(quote.to_json())

    return Response(await readers.run(read), media_type="application/json")
