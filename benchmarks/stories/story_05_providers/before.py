import inspect
import json
import sys
import tracemalloc


class AcmePayments:  # copied from StripePayments, with fifteen places changed
    def __init__(self, url, api_key, timeout, retries, currency, account, secret, version):
        self.url = url
        self.api_key = api_key
        self.timeout = timeout
        self.retries = retries
        self.currency = currency
        self.account = account
        self.secret = secret
        self.version = version

    def charge(self, cents, payer):
        for attempt in range(self.retries):
            try:
                return "paid" if payer == "solvent" else "refused"
            except OSError:
                print("Error", attempt)

    def refund(self, cents, payment):
        for _ in range(self.retries):
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
