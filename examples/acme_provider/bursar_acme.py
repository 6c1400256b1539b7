"""A Bursar provider for the invented Acme Bank: a complete example."""

from dataclasses import replace
from datetime import timedelta

from bursar.money import Money
from bursar.providers import conformance, http_provider, interface, mixins, results

STATUS = {"paid": "captured", "refused": "declined", "returned": "succeeded"}


class AcmeBank(http_provider.HttpProvider, interface.PaymentProvider):
    __slots__ = ()
    name, idempotency_key_ttl, lookup_by_key = "acme", timedelta(days=1), True
    conformance = conformance.Conformance(approved="solvent", declined="broke")

    async def charge(self, request: interface.ChargeRequest, /) -> interface.Result:
        return await self.pay("/payments", request.key, request.amount, payer=request.method)

    async def refund(self, request: interface.RefundRequest, /) -> interface.Result:
        return await self.pay("/returns", request.key, request.amount, of=request.reference)

    async def get_status(self, request: interface.StatusRequest, /) -> interface.Result:
        return self.result(await self.call("GET", f"/movements/{request.reference or request.key}"))

    async def pay(self, path: str, key: str, amount: Money, **more: str) -> interface.Result:
        body = {"cents": amount.amount_minor, "ccy": amount.currency, **more}
        return self.result(await self.call("POST", path, json=body, key=key))

    def result(self, response: http_provider.JsonResponse) -> interface.Result:
        if response.status != 200:
            return results.declined_result(response.status, code=response.body["why"])
        no, state, cents, currency, why, key, of = response.body["movement"]
        kind = interface.ObjectKind.REFUND if of else interface.ObjectKind.CHARGE
        paid = Money(cents, currency)
        base = interface.Snapshot(kind=kind, reference=no, status=STATUS[state], amount=paid)
        return results.result_from_snapshots(replace(base, code=why, key=key, parent_reference=of))


class AcmeProvider(mixins.LoggingMixin, mixins.RetryMixin, AcmeBank):
    __slots__ = ()
