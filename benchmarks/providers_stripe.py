"""Peer: Stripe's own library, asynchronous over httpx or aiohttp, or in threads."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import stripe

KEY = "sk_test_stand_in"
ASKED: Any = {
    "amount": 1_000,
    "currency": "eur",
    "confirm": True,
    "payment_method": "pm_card_visa",
    "capture_method": "automatic",
    "expand": ["latest_charge.balance_transaction"],
    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
}


def _client(url: str, kind: str) -> stripe.StripeClient:
    http: Any = {"httpx": "HTTPXClient", "aiohttp": "AIOHTTPClient", "threads": "RequestsClient"}
    intent = getattr(stripe, http[kind])(timeout=60)
    return stripe.StripeClient(KEY, base_addresses={"api": url}, http_client=intent)


async def some_at_once(client: stripe.StripeClient, count: int, at_once: int) -> None:
    numbers = iter(range(count))

    async def charge() -> None:
        for _ in numbers:
            intent = await client.v1.payment_intents.create_async(ASKED)
            assert intent.status == "succeeded"

    await asyncio.gather(*(charge() for _ in range(at_once)))


def in_threads(client: stripe.StripeClient, count: int, at_once: int) -> None:
    def charge(_: int) -> None:
        assert client.v1.payment_intents.create(ASKED).status == "succeeded"

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(charge, range(count)))


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    client = _client(task["provider_url"], task["client"])
    began, cpu = time.perf_counter(), time.process_time()
    if task["client"] == "threads":
        in_threads(client, task["orders"], task["at_once"])
    else:
        asyncio.run(some_at_once(client, task["orders"], task["at_once"]))
    figures = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**figures, "peak_mb": peak, "orders": task["orders"]}))
