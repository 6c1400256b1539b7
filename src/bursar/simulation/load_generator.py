"""
The stream: orders come in, buyers act, the shop captures and refunds, webhooks arrive in disorder.

The sandbox's clock runs ahead, an hour a second, so that disputes and late refunds are seen too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bursar import clock, errors, group_commit, ids, logs
from bursar.money import Money
from bursar.orders import operations
from bursar.orders.models import Order
from bursar.payments import charges, provider_accounts, refunds
from bursar.payments.models import Attempt, Payment
from bursar.payments.statuses import AttemptStatus, PaymentStatus
from bursar.providers import standard_webhooks
from bursar.providers.sandbox import SandboxProvider
from bursar.providers.sandbox.webhook_delivery import DeliveryFaults
from bursar.providers.webhook_sender import WebhookDeliveryFailed, WebhookSender
from bursar.simulation import order_factory

DISORDER = DeliveryFaults(dropped=0.08, late=0.15, reordered=0.15, duplicate=0.15, forged=0.04)
HOUR_A_SECOND = 3_600.0
#: After so many seconds the sandbox delivers again what did not arrive.
TICKS_TO_AGAIN = 10
REASONS = ("sent back", "arrived broken", "ordered twice", "late delivery", "wrong size")

log = logs.get(__name__)


@dataclass(slots=True)
class LoadGenerator:
    """
    One shop's day at a sandbox account.

    *orders_per_second* on average; *seed* decides what they are.
    """

    account: str
    orders_per_second: float = 1.5
    seed: int = 2026
    number: int = 0
    position: int = 0
    settled: int = 0  # up to here everything was delivered, in order and for sure
    ticks: int = 0
    draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        # A run after another one goes on with other numbers.
        self.number = self.number or Order.objects.filter(reference__startswith="W-").count()
        self.draw = random.Random(self.seed + self.number)  # noqa: S311  (a simulation)

    async def run(self, address: str) -> None:
        """Go on until cancelled; webhooks are delivered to the hooks at *address*."""
        async with WebhookSender() as sender:
            try:
                while True:
                    try:
                        await self.tick(sender, address)
                    except (errors.Unavailable, errors.Conflict) as error:
                        log.warning("simulation_hindered", error=error)
                    await asyncio.sleep(1.0)
            finally:
                # What was dropped so far comes after all, as a provider's next try would.
                await self._deliver(sender, address, again=True)

    async def tick(self, sender: WebhookSender, address: str) -> None:
        """One second of the day."""
        for _ in range(self._how_many()):
            await self._place()
        decided = await asyncio.to_thread(self._decide)
        log.debug("simulation_tick", decided=decided)
        self._provider().simulator.advance(HOUR_A_SECOND)
        self.ticks += 1
        await self._deliver(sender, address, again=self.ticks % TICKS_TO_AGAIN == 0)

    def _how_many(self) -> int:
        whole, part = divmod(self.orders_per_second, 1)
        return int(whole) + (self.draw.random() < part)

    def history(self, *, days: int, orders: int) -> None:
        """Place *orders* over the *days* before now, so that charts have a past."""
        now = clock.now()
        for n in range(orders):
            ago = timedelta(days=days) * (1 - (n + self.draw.random()) / orders)
            self._commit_order(now - ago)

    async def _place(self) -> None:
        order = self._next()
        order_id, payment_id, now = ids.new(ids.ORDER), ids.new(ids.PAYMENT), clock.now()
        await group_commit.commits.run(
            lambda: operations.place_order(order, order_id=order_id, payment_id=payment_id, now=now)
        )

    def _commit_order(self, moment: datetime) -> None:
        order = self._next(moment)
        order_id, payment_id = ids.new(ids.ORDER), ids.new(ids.PAYMENT)
        group_commit.commits.run_blocking(
            lambda: operations.place_order(
                order, order_id=order_id, payment_id=payment_id, now=moment
            )
        )

    def _next(self, moment: datetime | None = None) -> operations.NewOrder:
        self.number += 1
        return order_factory.make_order(
            self.draw, number=self.number, account=self.account, placed_at=moment or clock.now()
        )

    def _provider(self) -> SandboxProvider:
        provider = provider_accounts.get(self.account)
        assert isinstance(provider, SandboxProvider)
        return provider

    def _decide(self) -> int:
        """What people do: buyers approve or refuse, the shop captures, gives up and refunds."""
        decided = self._buyers_act()
        held = Payment.objects.filter(status=PaymentStatus.AUTHORIZED).order_by("-id")[:20]
        for payment in held:
            if self.draw.random() < 0.25:
                decided += self._settle_held(payment)
        paid = Payment.objects.filter(status=PaymentStatus.CAPTURED).order_by("-id")[:40]
        for payment in paid:
            if self.draw.random() < 0.004:
                decided += self._refund(payment)
        return decided

    def _buyers_act(self) -> int:
        acted = 0
        waiting = Attempt.objects.filter(status=AttemptStatus.REQUIRES_ACTION).order_by("id")[:20]
        for attempt in waiting:
            if self.draw.random() < 0.2:
                try:
                    self._provider().simulator.complete_action(
                        attempt.reference, approve=self.draw.random() < 0.7
                    )
                except errors.NotFound:
                    continue  # done; its webhook is on its way, or was dropped
                acted += 1
        return acted

    def _settle_held(self, payment: Payment) -> int:
        attempt_id, now = ids.new(ids.ATTEMPT), clock.now()
        amount = Money(payment.authorized_minor, payment.currency)
        give_up = self.draw.random() < 0.2

        def settle() -> None:
            if give_up:
                charges.abandon_attempt(payment_id=payment.id, attempt_id=attempt_id, now=now)
            else:
                charges.request_capture(
                    payment_id=payment.id, amount=amount, attempt_id=attempt_id, now=now
                )

        return _tried(settle)

    def _refund(self, payment: Payment) -> int:
        refund_id, now = ids.new(ids.REFUND), clock.now()
        whole = self.draw.random() < 0.5
        part = Money(max(1, payment.captured_minor // 3), payment.currency)
        reason = self.draw.choice(REASONS)
        return _tried(
            lambda: refunds.create_refund(
                refund_id=refund_id,
                payment_id=payment.id,
                amount=None if whole else part,
                reason=reason,
                now=now,
            )
        )

    async def _deliver(self, sender: WebhookSender, address: str, *, again: bool) -> None:
        """
        Deliver what the sandbox has to tell, to our own hooks, over HTTP.

        *again*: all since the last time, in order, whatever the network had dropped or turned.
        """
        provider = self._provider()
        (key, *_) = standard_webhooks.parse_keys(provider.config.webhook_secret)
        deliveries = provider.simulator.deliveries(
            key,
            after=self.settled if again else self.position,
            faults=DeliveryFaults() if again else DISORDER,
            at=clock.now(),
        )
        url = f"{address}/hooks/{self.account}"
        for delivery in deliveries:
            try:
                status = await sender.send(url, delivery)
            except WebhookDeliveryFailed as error:
                if error.http_status is None:
                    raise
                status = error.http_status  # a forged one is refused
            log.debug("simulation_delivered", status=status)
            self.position = max(self.position, delivery.position)
        if again:
            self.settled = self.position


def _tried(decide: Callable[[], object]) -> int:
    """Commit a decision; 0 where the thing had moved on meanwhile."""
    try:
        group_commit.commits.run_blocking(decide)
    except errors.Conflict:
        return 0
    return 1
