"""
One life of the process under test: it places, charges, refunds and takes webhooks until killed.

It runs in a fork of the campaign, which has imported everything but has neither connection nor
thread. What it acknowledges goes through a pipe, after the commit: the client's view, which
survives it. Lines: `O number id` an order, `R key id` a refund, `W position` webhooks up to there,
`F event` a forged one was accepted, `P point` killed here, `D` everything done.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import sys
import traceback
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
from django.db import connection, connections

from bursar import clock, group_commit, ids, job_handlers, logs, settings
from bursar.money import Money
from bursar.orders import operations
from bursar.payments import attempts, provider_accounts, refunds
from bursar.providers.interface import InvalidSignature
from bursar.queue import worker
from bursar.webhooks import inbox
from campaigns import mutants, plan, points

LEASE = timedelta(seconds=0.6)
#: How much the network disturbs webhooks, as `GET /control/deliveries` wants it.
DISORDER = {
    "dropped": "0.15",
    "late": "0.2",
    "reordered": "0.2",
    "duplicate": "0.2",
    "forged": "0.05",
}

REFUNDABLE_PAYMENTS = (
    "SELECT p.id, o.idempotency_key FROM bursar_payment p JOIN bursar_order o ON o.id = p.order_id "
    "WHERE p.status IN ('captured', 'partially_refunded')"
)
EXISTING_REFUND_KEYS = "SELECT idempotency_key FROM bursar_refund"
COUNT_OPEN_JOBS = "SELECT COUNT(*) FROM bursar_job WHERE state <> 'dead'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """
    What one life is to do: place *todo* (numbers of the plan of *seed*) and work.

    It dies at *point* for the *nth* time it comes there, or when it is killed. With *finish* it
    goes on until nothing is left to do. Webhooks are delivered after *delivered*, unless None.
    """

    home: Path
    database_url: str | None
    account: str
    sandbox: str
    provider: str
    seed: int
    todo: tuple[int, ...]
    point: str = ""
    nth: int = 1
    delivered: int | None = None
    finish: bool = False
    mutant: str = ""


def live(life: Life, report_fd: int) -> NoReturn:
    """Run *life*; never returns."""
    code = 1
    try:
        _set_up_process(life)
        asyncio.run(_Shop(life, report_fd).run())
        code = 0
    except BaseException:  # noqa: BLE001  (any failure must be printed)
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _set_up_process(life: Life) -> None:
    log = os.open(life.home / "child.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logs.configure(level="ERROR")
    settings.current = settings.load(home=life.home, database_url=life.database_url)
    connections.settings = connections.configure_settings(settings.databases(settings.current))
    # Only delays are shortened.
    attempts.FIRST_CHECK_DELAY = timedelta(seconds=0.03)
    worker.IDLE_SECONDS = 0.02


class _Shop:
    """The concurrent work of one life."""

    def __init__(self, life: Life, report_fd: int) -> None:
        self.life = life
        self.dice = random.Random(f"{life.seed}/{life.todo}/{life.point}")
        self._report_fd = report_fd
        self._early = life.mutant == mutants.ACKNOWLEDGES_EARLY
        self._delivered = life.delivered

    def report(self, line: str) -> None:
        os.write(self._report_fd, f"{line}\n".encode())

    async def run(self) -> None:
        trap = points.Trap(point=self.life.point, nth=self.life.nth, report_fd=self._report_fd)
        group_commit.commits = group_commit.GroupCommit(watch=trap.watch)
        provider = await group_commit.commits.run(lambda: provider_accounts.get(self.life.account))
        watched = points.watched(provider, trap)
        setattr(provider_accounts, "get", lambda _name: watched)  # noqa: B010
        self.worker = worker.Worker(
            mutants.apply(self.life.mutant, job_handlers.HANDLERS),
            lease=LEASE,
            attempts_max=10_000,
            backoff_first=timedelta(seconds=0.05),
            randomness=self.dice,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self.worker.run(drain_seconds=5))
            if self.life.finish:
                group.create_task(self._finish())
            else:
                group.create_task(self._place_all())
                group.create_task(self._open_refunds_forever())
                if self.life.delivered is not None:
                    group.create_task(self._deliver_forever())
        await watched.close()
        group_commit.commits.close()
        self.report("D")

    async def _finish(self) -> None:
        await self._place_all()
        while True:
            opened_refunds = await self._open_refunds()
            delivered = await self._deliver() if self.life.delivered is not None else 0
            open_jobs = await _count_jobs()
            if not (opened_refunds or delivered or open_jobs):
                break
            await asyncio.sleep(0.02)
        self.worker.stop()

    async def _place_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in self.life.todo:
                group.create_task(self._place_one(number))
                await asyncio.sleep(self.dice.expovariate(1 / 0.004))

    async def _place_one(self, number: int) -> None:
        order_id = ids.new(ids.ORDER)
        if self._early:
            self.report(f"O {number} {order_id}")
        placed = await _place(self.life, number, order_id)
        if not self._early:
            self.report(f"O {number} {placed}")

    async def _open_refunds_forever(self) -> None:
        while True:
            await self._open_refunds()
            await asyncio.sleep(0.02)

    async def _open_refunds(self) -> int:
        missing = await group_commit.commits.run(lambda: _missing_refunds(self.life))
        await asyncio.gather(*(self._open_one_refund(*each) for each in missing))
        return len(missing)

    async def _open_one_refund(self, payment_id: str, key: str, amount: Money) -> None:
        refund_id = await _open_refund(payment_id, key, amount)
        self.report(f"R {key} {refund_id}")

    async def _deliver_forever(self) -> None:
        while True:
            await self._deliver()
            await asyncio.sleep(0.02)

    async def _deliver(self) -> int:
        """Deliver the next webhooks in chunks. Returns their number."""
        query = {"after": str(self._delivered), "limit": "40", **DISORDER}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.life.sandbox}/control/deliveries", params=query) as answer,
        ):
            deliveries = await answer.json()
        for start in range(0, len(deliveries), 5):
            chunk = deliveries[start : start + 5]
            accepted = await asyncio.gather(
                *(asyncio.to_thread(_receive, self.life.account, one) for one in chunk)
            )
            for one, was_accepted in zip(chunk, accepted, strict=True):
                if one["forged"] and was_accepted:
                    self.report(f"F {one['event_id']}")
        if deliveries:
            self._delivered = max(one["position"] for one in deliveries)
            self.report(f"W {self._delivered}")
        return len(deliveries)


async def _place(life: Life, number: int, order_id: str) -> str:
    planned = plan.order(life.seed, number, life.provider)
    order = planned.new_order(provider_account=life.account, provider=life.provider)
    payment_id, now = ids.new(ids.PAYMENT), clock.now()

    def place() -> str:
        return operations.place_order(order, order_id=order_id, payment_id=payment_id, now=now)

    return await group_commit.commits.run(place)


async def _open_refund(payment_id: str, key: str, amount: Money) -> str:
    refund_id, now = ids.new(ids.REFUND), clock.now()

    def open_refund() -> str:
        return refunds.create_refund(
            refund_id=refund_id, payment_id=payment_id, amount=amount, idempotency_key=key, now=now
        )

    return await group_commit.commits.run(open_refund)


def _missing_refunds(life: Life) -> list[tuple[str, str, Money]]:
    """Return planned refunds of captured payments that are not in the books yet."""
    with connection.cursor() as cursor:
        cursor.execute(EXISTING_REFUND_KEYS)
        existing_keys = {key for (key,) in cursor.fetchall()}
        cursor.execute(REFUNDABLE_PAYMENTS)
        paid = cursor.fetchall()
    missing = []
    for payment_id, key in paid:
        number = int(key.rpartition("/")[2])
        if not plan.wants_refund(number):
            continue
        order = plan.order(life.seed, number, life.provider)
        for part, amount in enumerate(order.refunds_minor):
            if order.refund_key(part) not in existing_keys:
                missing.append((payment_id, order.refund_key(part), Money(amount, order.currency)))
    return missing


async def _count_jobs() -> int:
    def count() -> int:
        with connection.cursor() as cursor:
            cursor.execute(COUNT_OPEN_JOBS)
            return int(cursor.fetchone()[0])

    return await group_commit.commits.run(count)


def _receive(account: str, one: dict[str, Any]) -> bool:
    """Pass one delivery to the inbox. Returns whether its signature was accepted."""
    try:
        inbox.receive_sync(
            provider_account=account, headers=one["headers"], body=base64.b64decode(one["body"])
        )
    except InvalidSignature:
        return False
    return True
