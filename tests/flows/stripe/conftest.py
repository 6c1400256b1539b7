"""A shop at the stand-in Stripe, which listens on loopback in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web

from bursar import clock, ids
from bursar.payments import provider_accounts
from bursar.webhooks import inbox
from tests import faulty_database
from tests import shop as shops
from tests.conftest import Database
from tests.stripe import server
from tests.stripe.simulator import StripeSimulator

ACCOUNT = "stripe-eu"


class Listening:
    """The stand-in over HTTP, with a `faulty` server before it."""

    def __init__(self, book: StripeSimulator) -> None:
        self.book = book
        self.app, self.front = server.application(book), web.Application()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def seen(self) -> list[Any]:
        """(method, path, form or query, headers) of every call of the API."""
        return self.app[server.SEEN]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()

    async def _start(self) -> None:
        self._runners = [await _serve(self.app)]
        self.front = faulty_database.before(_url(self._runners[0]), hang_seconds=2)
        self._runners.append(await _serve(self.front))
        self.url = _url(self._runners[1])

    def close(self) -> None:
        async def stop() -> None:
            for runner in reversed(self._runners):
                await runner.cleanup()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _serve(app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


def _url(runner: web.AppRunner) -> str:
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


class StripeShop(shops.Shop):
    """A shop whose payments are collected at the stand-in."""

    def __init__(self, listening: Listening, **config: Any) -> None:
        self.listening = listening
        self.delivered = 0
        config = {"url": listening.url, "timeout_seconds": 10.0, **config}
        super().__init__(**config)

    @property
    def book(self) -> StripeSimulator:
        return self.listening.book

    def add_account(self) -> None:
        shops.commit(
            lambda: provider_accounts.create_account(
                name=ACCOUNT, provider="stripe", config=self.config, now=clock.now()
            )
        )

    def place(self, method: str = "pm_card_visa", **told: Any) -> str:
        return super().place(method, **{"provider_account": ACCOUNT, **told})

    def paid(self, method: str = "pm_card_visa", **told: Any):
        return super().paid(method, **told)

    def authorized(self, method: str = "pm_card_visa"):
        return super().authorized(method)

    def hear(self, *, times: int = 1) -> None:
        """Take every new webhook in, each *times* times, and work on them."""
        now = clock.now()
        for one in server.deliveries(self.book, after=self.delivered, limit=100_000, at=now):
            for _ in range(times):
                self._hear(one, now)
            self.delivered = one["position"]
        self.run_jobs(rounds=2)

    def _hear(self, one: dict[str, Any], now: datetime) -> None:
        body, raw_id = one["body"].encode(), ids.new(ids.BODY)
        event = inbox.verify(provider_account=ACCOUNT, headers=one["headers"], body=body, now=now)
        shops.commit(
            lambda: inbox.receive(
                provider_account=ACCOUNT, event=event, body=body, raw_id=raw_id, now=now
            )
        )

    def agrees(self) -> bool:
        """Whether our receivables are what the stand-in owes."""
        assert provider_accounts.receivable_balances(ACCOUNT) == (
            provider_accounts.fetch_balance(ACCOUNT) or {}
        )
        return True


@pytest.fixture
def stripe(database: Database, closing: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A maker of shops: `stripe(terms of the book..., config={...})`."""
    monkeypatch.setenv("BURSAR_STRIPE_EU_API_KEY", server.KEY)
    monkeypatch.setenv("BURSAR_STRIPE_EU_WEBHOOK_SECRET", server.SECRET)
    made: list[Listening] = []

    def make(config: dict[str, Any] | None = None, **terms: Any) -> StripeShop:
        terms = {"now": int(clock.now().timestamp()), **terms}
        made.append(Listening(StripeSimulator(**terms)))
        return StripeShop(made[-1], **(config or {}))

    yield make
    asyncio.run(provider_accounts.close_all())
    for listening in made:
        listening.close()
