"""A provider that takes an amount for a request, and answers with a truth value."""

from bursar.money import Money
from bursar.providers import interface


class Careless(interface.PaymentProvider):
    __slots__ = ()
    name = "careless"

    async def charge(self, amount: Money, /) -> interface.Result:  # E: Argument 1 of "charge"
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)

    async def refund(self, request: interface.RefundRequest, /) -> bool:  # E: Return type
        return True

    async def get_status(self, request: interface.StatusRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.NOT_FOUND)
