"""A provider that forgot its refunds cannot be made."""

from bursar.providers import interface


class Forgetful(interface.PaymentProvider):
    __slots__ = ()
    name = "forgetful"

    async def charge(self, request: interface.ChargeRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)

    async def get_status(self, request: interface.StatusRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.NOT_FOUND)


Forgetful(None)  # E: Cannot instantiate abstract class "Forgetful"
