"""mypy rejects a provider without refund()."""

from bursar.providers import interface


class WithoutRefund(interface.PaymentProvider):
    __slots__ = ()
    name = "without_refund"

    async def charge(self, request: interface.ChargeRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)

    async def get_status(self, request: interface.StatusRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.NOT_FOUND)


WithoutRefund(None)  # E: Cannot instantiate abstract class "WithoutRefund"
