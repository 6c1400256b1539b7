"""A provider that would stop the event loop while it waits."""

from bursar.providers import base


class Blocking(base.PaymentProvider):
    __slots__ = ()
    name = "blocking"

    def charge(self, request: base.ChargeRequest, /) -> base.Result:  # E: Return type "Result"
        return base.Result(outcome=base.Outcome.SUCCEEDED)

    async def refund(self, request: base.RefundRequest, /) -> base.Result:
        return base.Result(outcome=base.Outcome.SUCCEEDED)

    async def get_status(self, request: base.StatusRequest, /) -> base.Result:
        return base.Result(outcome=base.Outcome.NOT_FOUND)
