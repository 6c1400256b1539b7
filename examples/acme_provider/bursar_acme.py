"""The made-up Acme Bank as a provider for Bursar: everything there is to write."""

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
        return self.told(await self.call("GET", f"/movements/{request.reference or request.key}"))

    async def pay(self, path: str, key: str, asked: Money, **more: str) -> interface.Result:
        body = {"cents": asked.amount_minor, "ccy": asked.currency, **more}
        return self.told(await self.call("POST", path, json=body, key=key))

    def told(self, answer: http_provider.JsonResponse) -> interface.Result:
        if answer.status != 200:
            return results.declined_result(answer.status, code=answer.body["why"])
        no, state, cents, currency, why, key, of = answer.body["movement"]
        kind = interface.ObjectKind.REFUND if of else interface.ObjectKind.CHARGE
        paid = Money(cents, currency)
        made = interface.Snapshot(kind=kind, reference=no, status=STATUS[state], amount=paid)
        return results.result_from_snapshots(replace(made, code=why, key=key, parent_reference=of))


class AcmeProvider(mixins.LoggingMixin, mixins.RetryMixin, AcmeBank):
    __slots__ = ()
