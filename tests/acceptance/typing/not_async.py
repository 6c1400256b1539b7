"""mypy rejects a provider whose charge() is not async."""

from bursar.providers import interface


class Blocking(interface.PaymentProvider):
    __slots__ = ()
    name = "blocking"

    def charge(self, request: interface.ChargeRequest, /) -> interface.Result:  # E: Return type
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)

    async def refund(self, request: interface.RefundRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)

    async def get_status(self, request: interface.StatusRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.NOT_FOUND)
