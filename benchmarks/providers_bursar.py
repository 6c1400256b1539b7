"""Contestant: charges through `StripeProvider`, with errors, circuit breaker, logs and retries."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

from bursar import logs
from bursar.money import Money
from bursar.providers.interface import ChargeRequest, Outcome, Secret
from bursar.providers.stripe import StripeConfig, StripeProvider

KEY = "sk_test_stand_in"


async def main(url: str, count: int, at_once: int) -> None:
    provider = StripeProvider(StripeConfig(url=url, api_key=Secret(KEY), timeout_seconds=60))
    numbers = iter(range(count))

    async def charge() -> None:
        for number in numbers:
            request = ChargeRequest(
                key=f"ours-{time.monotonic_ns()}-{number}",
                amount=Money(1_000, "EUR"),
                method="pm_card_visa",
            )
            result = await provider.charge(request)
            assert result.outcome is Outcome.SUCCEEDED

    await asyncio.gather(*(charge() for _ in range(at_once)))
    await provider.close()


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    logs.configure(level="WARNING")
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(main(task["provider_url"], task["orders"], task["at_once"]))
    figures = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**figures, "peak_mb": peak, "orders": task["orders"]}))
