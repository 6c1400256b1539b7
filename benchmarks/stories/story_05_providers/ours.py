import asyncio
import inspect
import json
import sys
import tracemalloc

sys.path.insert(0, "examples/acme_provider")
from bursar_acme import AcmeBank, AcmeProvider

from bursar.money import Money
from bursar.providers import http_provider, interface

WORDS = {"succeeded": "paid", "declined": "refused"}


class Acme(AcmeProvider):  # the example plug-in, with the bank in this process
    __slots__ = ()

    async def call(self, method, path, *, json, key, **more):
        state = "refused" if json.get("payer") == "broke" else "paid"
        state = "returned" if "of" in json else state
        movement = ["no", state, json["cents"], json["ccy"], "", key, json.get("of", "")]
        return http_provider.JsonResponse(200, {"movement": movement})


task, euro = json.loads(sys.argv[1]), Money(100, "EUR")
config = http_provider.HttpConfig(
    url="u", api_key=interface.Secret("k")
)  # shared: it never changes
tracemalloc.start()
made = [Acme(config) for _ in range(task["instances"])]
used = tracemalloc.get_traced_memory()[0] / task["instances"] - 8
one = made[0]
charges = [interface.ChargeRequest(key="a", amount=euro, method=m) for m in ("solvent", "broke")]
answer = [WORDS[asyncio.run(one.charge(each)).outcome.value] for each in charges]
back = asyncio.run(one.refund(interface.RefundRequest(key="b", reference="no", amount=euro)))
answer.append("returned" if back.outcome is interface.Outcome.SUCCEEDED else back.outcome.value)
source = inspect.getsource(AcmeBank) + inspect.getsource(AcmeProvider)
lines = len([line for line in source.splitlines() if line.strip()])
print(
    json.dumps({"answer": answer, "figures": {"bytes an instance": used, "its own lines": lines}})
)
