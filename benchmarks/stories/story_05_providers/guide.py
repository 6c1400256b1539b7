import inspect
import json
import logging
import sys
import tracemalloc
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Protocol


class PaymentProvider(ABC):
    __slots__ = ()

    @abstractmethod
    def charge(self, cents, payer): ...

    @abstractmethod
    def refund(self, cents, payment): ...

    @abstractmethod
    def get_status(self, payment): ...


class LoggingMixin:
    __slots__ = ()

    def charge(self, cents, payer):
        status = super().charge(cents, payer)
        logging.info("charge of %s cents: %s", cents, status)
        return status


class RetryMixin:
    __slots__ = ()

    def charge(self, cents, payer):
        for attempt in range(1, self.retries + 1):
            try:
                return super().charge(cents, payer)
            except ConnectionError:
                if attempt == self.retries:
                    raise


@dataclass(frozen=True)
class Config:
    url: str
    api_key: str
    timeout: float
    retries: int
    currency: str
    account: str
    secret: str
    version: int


NAMES = tuple(field.name for field in fields(Config))


class AcmeBank(PaymentProvider):
    __slots__ = NAMES

    def __init__(self, config):
        for name in NAMES:
            setattr(self, name, getattr(config, name))

    def charge(self, cents, payer):
        return "paid" if payer == "solvent" else "refused"

    def refund(self, cents, payment):
        return "returned"

    def get_status(self, payment):
        return "paid"


class AcmePayments(LoggingMixin, RetryMixin, AcmeBank):  # a mixin before what it wraps
    __slots__ = ()


class Charges(Protocol):
    def charge(self, cents: int, payer: str) -> str: ...


def collect(provider: Charges, payers: list[str]) -> list[str]:
    return [provider.charge(100, payer) for payer in payers]


task = json.loads(sys.argv[1])
config = Config("u", "k", 10.0, 3, "EUR", "a", "s", 1)
tracemalloc.start()
instances = [AcmePayments(config) for _ in range(task["instances"])]
used, one = tracemalloc.get_traced_memory()[0] / task["instances"] - 8, instances[0]
answer = [*collect(one, ["solvent", "broke"]), one.refund(100, "p")]
source = inspect.getsource(AcmeBank) + inspect.getsource(AcmePayments)
lines = sum(1 for line in source.splitlines() if line.strip())
print(
    json.dumps({"answer": answer, "figures": {"bytes an instance": used, "its own lines": lines}})
)
