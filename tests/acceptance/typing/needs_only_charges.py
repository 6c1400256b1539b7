"""A function that only charges takes `SupportsCharge`: anything with charge()."""

from bursar.money import Money
from bursar.providers import capabilities, interface


async def collect(charger: capabilities.SupportsCharge) -> interface.Result:
    amount = Money(100, "EUR")
    return await charger.charge(
        interface.ChargeRequest(key="att_1", amount=amount, method="tok_visa")
    )


class Charger:
    """Not a PaymentProvider, but it has charge()."""

    async def charge(self, request: interface.ChargeRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)


class Refunder:
    async def refund(self, request: interface.RefundRequest, /) -> interface.Result:
        return interface.Result(outcome=interface.Outcome.SUCCEEDED)


async def both(provider: interface.PaymentProvider) -> None:
    await collect(provider)
    await collect(Charger())
    await collect(Refunder())  # E: Argument 1 to "collect" has incompatible type "Refunder"
