import inspect
import json
import sys
import tracemalloc
from abc import ABC, abstractmethod


class PaymentProvider(ABC):  # noqa: B024  (they are abstract)
    __slots__ = ()
    charge = abstractmethod(lambda self, cents, payer: None)
    refund = abstractmethod(lambda self, cents, payment: None)


NAMES = "url api_key timeout retries currency account secret version".split()


class AcmePayments(PaymentProvider):
    __slots__ = NAMES

    def __init__(self, *values):
        for name, value in zip(NAMES, values, strict=True):
            setattr(self, name, value)

    def charge(self, cents, payer):
        return "paid" if payer == "solvent" else "refused"

    def refund(self, cents, payment):
        return "returned"


task = json.loads(sys.argv[1])
tracemalloc.start()
made = [AcmePayments("u", "k", 10.0, 3, "EUR", "a", "s", 1) for _ in range(task["instances"])]
used, one = tracemalloc.get_traced_memory()[0] / task["instances"] - 8, made[0]
answer = [one.charge(100, "solvent"), one.charge(100, "broke"), one.refund(100, "p")]
lines = sum(1 for line in inspect.getsource(AcmePayments).splitlines() if line.strip())
figures = {"bytes an instance": used, "its own lines": lines}
print(
    json.dumps({"answer": answer, "figures": {"bytes an instance": used, "its own lines": lines}})
)
