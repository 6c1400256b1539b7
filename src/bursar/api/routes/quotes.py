"""Quotes: what a basket would cost, explained; nothing is kept."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from bursar import clock
from bursar.access import roles
from bursar.api import answers, pricing_shapes
from bursar.api.border.callers import needs
from bursar.api.routes.parameters import StrictRoute
from bursar.db_reader import readers
from bursar.orders import quoting
from bursar.pricing import baskets, calculator, discounts, taxes

router = APIRouter(prefix="/v1/quotes", tags=["quotes"], route_class=StrictRoute)


@router.post(
    "",
    **needs(
        roles.ORDERS_READ,
        pricing_shapes.Quote,
        baskets.EmptyBasket,
        calculator.NoPrice,
        taxes.UnknownTax,
        taxes.BadVatId,
        discounts.CouponRefused,
    ),
)
async def quote_basket(basket: pricing_shapes.NewQuote) -> Response:
    """Price a basket as an order would be priced now."""
    now, wanted = clock.now(), basket.basket(basket.payment_method)

    def read() -> bytes:
        quote = quoting.quote(wanted, at=now, rules=quoting.installed())
        return answers.body_of(quote.to_json())

    return Response(await readers.run(read), media_type="application/json")
