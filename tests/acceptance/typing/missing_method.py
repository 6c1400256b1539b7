"""A provider that forgot its refunds cannot be made."""

from bursar.providers import base


class Forgetful(base.PaymentProvider):
    __slots__ = ()
    name = "forgetful"

    async def charge(self, request: base.ChargeRequest, /) -> base.Result:
        return base.Result(outcome=base.Outcome.SUCCEEDED)

    async def get_status(self, request: base.StatusRequest, /) -> base.Result:
        return base.Result(outcome=base.Outcome.NOT_FOUND)


Forgetful(None)  # E: Cannot instantiate abstract class "Forgetful"
