"""Who only collects money asks for `Charges`, and gets anything that has it."""

from bursar.money import Money
from bursar.providers import base, powers


async def collect(till: powers.Charges) -> base.Result:
    amount = Money(100, "EUR")
    return await till.charge(base.ChargeRequest(key="att_1", amount=amount, method="tok_visa"))


class Till:
    """No provider at all, but it charges."""

    async def charge(self, request: base.ChargeRequest, /) -> base.Result:
        return base.Result(outcome=base.Outcome.SUCCEEDED)


class Drawer:
    async def refund(self, request: base.RefundRequest, /) -> base.Result:
        return base.Result(outcome=base.Outcome.SUCCEEDED)


async def both(provider: base.PaymentProvider) -> None:
    await collect(provider)
    await collect(Till())
    await collect(Drawer())  # E: Argument 1 to "collect" has incompatible type "Drawer"
