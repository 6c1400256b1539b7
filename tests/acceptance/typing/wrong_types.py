"""mypy rejects wrong parameter and return types of a provider."""

from bursar.money import Money
from bursar.providers import interface


class WrongTypes(interface.PaymentProvider):
    __slots__ = ()
    name = "wrong_types"

    async def charge(self, amount: Money, /) -> interface.Result:  # E: Argument 1 of "charge"
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)

    async def refund(self, request: interface.RefundRequest, /) -> bool:  # E: Return type
        return True

    async def get_status(self, request: interface.StatusRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.NOT_FOUND)
