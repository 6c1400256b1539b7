"""A provider that would stop the event loop while it waits."""

from bursar.providers import interface


class Blocking(interface.PaymentProvider):
    __slots__ = ()
    name = "blocking"

    def charge(
        self, request: interface.ChargeRequest, /
    ) -> interface.Result:  # E: Return type "Result"
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)

    async def refund(self, request: interface.RefundRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)

    async def get_status(self, request: interface.StatusRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.NOT_FOUND)
