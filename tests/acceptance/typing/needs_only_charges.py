"""Who only collects money asks for `SupportsCharge`, and gets anything that has it."""

from bursar.money import Money
from bursar.providers import capabilities, interface


async def collect(till: capabilities.SupportsCharge) -> interface.Result:
    amount = Money(100, "EUR")
    return await till.charge(interface.ChargeRequest(key="att_1", amount=amount, method="tok_visa"))


class Till:
    """No provider at all, but it charges."""

    async def charge(self, request: interface.ChargeRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)


class Drawer:
    async def refund(self, request: interface.RefundRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)


async def both(provider: interface.PaymentProvider) -> None:
    await collect(provider)
    await collect(Till())
    await collect(Drawer())  # E: Argument 1 to "collect" has incompatible type "Drawer"
