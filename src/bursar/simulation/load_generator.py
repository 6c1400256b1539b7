"""
Load generator: places orders, acts for buyers and shop, and delivers webhooks with faults.

The sandbox's clock advances by one hour per second, so that disputes and delayed refunds occur too.
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

DELIVERY_FAULTS = DeliveryFaults(
    dropped=0.08, late=0.15, reordered=0.15, duplicate=0.15, forged=0.04
)
SANDBOX_SECONDS_PER_TICK = 3_600.0
#: Seconds between redeliveries of webhooks that were not delivered.
TICKS_PER_REDELIVERY = 10
REASONS = ("sent back", "arrived broken", "ordered twice", "late delivery", "wrong size")

log = logs.get(__name__)


@dataclass(slots=True)
class LoadGenerator:
    """
    Simulated shop at a sandbox account.

    *orders_per_second* is an average; *seed* determines the orders.
    """

    account: str
    orders_per_second: float = 1.5
    seed: int = 2026
    number: int = 0
    position: int = 0
    delivered_position: int = 0  # up to here everything was delivered, in order
    ticks: int = 0
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        # A later run continues the order numbers.
        self.number = self.number or Order.objects.filter(reference__startswith="W-").count()
        self.rng = random.Random(self.seed + self.number)  # noqa: S311  (a simulation)

    async def run(self, address: str) -> None:
        """Run until cancelled; webhooks are delivered over HTTP to *address*."""
        async with WebhookSender() as sender:
            try:
                while True:
                    try:
                        await self.tick(sender, address)
                    except (errors.Unavailable, errors.Conflict) as error:
                        log.warning("simulation_rejected", error=error)
                    await asyncio.sleep(1.0)
            finally:
                # Deliver the dropped webhooks too, as a provider's retry would.
                await self._deliver(sender, address, redeliver=True)

    async def tick(self, sender: WebhookSender, address: str) -> None:
        """Simulate one second of the shop."""
        for _ in range(self._order_count()):
            await self._place_order()
        decided = await asyncio.to_thread(self._decide)
        log.debug("simulation_tick", decided=decided)
        self._provider().simulator.advance(SANDBOX_SECONDS_PER_TICK)
        self.ticks += 1
        await self._deliver(sender, address, redeliver=self.ticks % TICKS_PER_REDELIVERY == 0)

    def _order_count(self) -> int:
        minimum, fraction = divmod(self.orders_per_second, 1)
        return int(minimum) + (self.rng.random() < fraction)

    def create_history(self, *, days: int, orders: int) -> None:
        """Place *orders* spread over the past *days*, for charts."""
        now = clock.now()
        for n in range(orders):
            ago = timedelta(days=days) * (1 - (n + self.rng.random()) / orders)
            self._commit_order(now - ago)

    async def _place_order(self) -> None:
        order = self._next_order()
        order_id, payment_id, now = ids.new(ids.ORDER), ids.new(ids.PAYMENT), clock.now()
        await group_commit.commits.run(
            lambda: operations.place_order(order, order_id=order_id, payment_id=payment_id, now=now)
        )

    def _commit_order(self, placed_at: datetime) -> None:
        order = self._next_order(placed_at)
        order_id, payment_id = ids.new(ids.ORDER), ids.new(ids.PAYMENT)
        group_commit.commits.run_blocking(
            lambda: operations.place_order(
                order, order_id=order_id, payment_id=payment_id, now=placed_at
            )
        )

    def _next_order(self, placed_at: datetime | None = None) -> operations.NewOrder:
        self.number += 1
        return order_factory.make_order(
            self.rng, number=self.number, account=self.account, placed_at=placed_at or clock.now()
        )

    def _provider(self) -> SandboxProvider:
        provider = provider_accounts.get(self.account)
        assert isinstance(provider, SandboxProvider)
        return provider

    def _decide(self) -> int:
        """Simulate buyers (approve, reject) and shop (capture, void, refund). Returns the count."""
        decided = self._buyers_act()
        held = Payment.objects.filter(status=PaymentStatus.AUTHORIZED).order_by("-id")[:20]
        for payment in held:
            if self.rng.random() < 0.25:
                decided += self._decide_authorized(payment)
        paid = Payment.objects.filter(status=PaymentStatus.CAPTURED).order_by("-id")[:40]
        for payment in paid:
            if self.rng.random() < 0.004:
                decided += self._refund(payment)
        return decided

    def _buyers_act(self) -> int:
        acted = 0
        waiting = Attempt.objects.filter(status=AttemptStatus.REQUIRES_ACTION).order_by("id")[:20]
        for attempt in waiting:
            if self.rng.random() < 0.2:
                try:
                    self._provider().simulator.complete_action(
                        attempt.reference, approve=self.rng.random() < 0.7
                    )
                except errors.NotFound:
                    continue  # already completed; its webhook is pending or was dropped
                acted += 1
        return acted

    def _decide_authorized(self, payment: Payment) -> int:
        attempt_id, now = ids.new(ids.ATTEMPT), clock.now()
        amount = Money(payment.authorized_minor, payment.currency)
        is_abandoned = self.rng.random() < 0.2

        def settle() -> None:
            if is_abandoned:
                charges.abandon_attempt(payment_id=payment.id, attempt_id=attempt_id, now=now)
            else:
                charges.request_capture(
                    payment_id=payment.id, amount=amount, attempt_id=attempt_id, now=now
                )

        return _commit_decision(settle)

    def _refund(self, payment: Payment) -> int:
        refund_id, now = ids.new(ids.REFUND), clock.now()
        is_full = self.rng.random() < 0.5
        part = Money(max(1, payment.captured_minor // 3), payment.currency)
        reason = self.rng.choice(REASONS)
        return _commit_decision(
            lambda: refunds.create_refund(
                refund_id=refund_id,
                payment_id=payment.id,
                amount=None if is_full else part,
                reason=reason,
                now=now,
            )
        )

    async def _deliver(self, sender: WebhookSender, address: str, *, redeliver: bool) -> None:
        """
        Deliver the sandbox's webhooks over HTTP.

        With *redeliver*, all since the last redelivery, in order and without faults.
        """
        provider = self._provider()
        (key, *_) = standard_webhooks.parse_keys(provider.config.webhook_secret)
        deliveries = provider.simulator.deliveries(
            key,
            after=self.delivered_position if redeliver else self.position,
            faults=DeliveryFaults() if redeliver else DELIVERY_FAULTS,
            at=clock.now(),
        )
        url = f"{address}/hooks/{self.account}"
        for delivery in deliveries:
            try:
                status = await sender.send(url, delivery)
            except WebhookDeliveryFailed as error:
                if error.http_status is None:
                    raise
                status = error.http_status  # forged webhooks are rejected
            log.debug("simulation_delivered", status=status)
            self.position = max(self.position, delivery.position)
        if redeliver:
            self.delivered_position = self.position


def _commit_decision(decide: Callable[[], object]) -> int:
    """Commit a decision. Returns 0 if the object's state has changed meanwhile, else 1."""
    try:
        group_commit.commits.run_blocking(decide)
    except errors.Conflict:
        return 0
    return 1
