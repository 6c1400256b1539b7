"""A shop with one provider account: what the flows place, run, deliver and look at."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Sum

from bursar import clock, errors, fields, group_commit, ids, job_handlers
from bursar.ledger.models import Transfer
from bursar.money import Money
from bursar.orders import operations
from bursar.payments import charges, models, provider_accounts, refunds
from bursar.payments.statuses import CaptureMethod
from bursar.pricing import baskets
from bursar.providers import standard_webhooks
from bursar.providers.capabilities import VerifiedWebhook
from bursar.providers.sandbox import SandboxProvider, webhook_delivery
from bursar.queue import jobs, worker
from bursar.queue.models import Job
from bursar.webhooks import inbox

T = TypeVar("T")

#: Two books at 4.20 and 19 % (net 8.40, tax 1.60) cost 10.00.
BOOKS = (
    baskets.Line(sku="book", description="A book", quantity=2, unit_price="4.20", tax_rate="19"),
)
ACCOUNT = "sandbox-eu"
RECEIVABLE = f"receivable/{ACCOUNT}:EUR"
FEES = f"fees/{ACCOUNT}:EUR"


def commit(member: Callable[[], T]) -> T:
    """Run *member* in a grouped commit."""
    return group_commit.commits.run_blocking(member)


class Shop:
    """A shop whose orders cost 10.00 EUR, 1.60 of it tax, unless they say otherwise."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        self.add_account()
        self._numbers = itertools.count(1)

    def add_account(self) -> None:
        self.config = {"durable": False, **self.config}
        commit(
            lambda: provider_accounts.create_account(
                name=ACCOUNT, provider="sandbox", config=self.config, now=clock.now()
            )
        )

    @property
    def provider(self) -> SandboxProvider:
        provider = provider_accounts.get(ACCOUNT)
        assert isinstance(provider, SandboxProvider)
        return provider

    # --- doing ----------------------------------------------------------------------------------

    def place(self, method: str = "tok_visa", **told: Any) -> str:
        """Place an order; returns its id."""
        number = next(self._numbers)
        lines = told.pop("lines", BOOKS)
        order = operations.NewOrder(
            **{
                "reference": f"order-{number}",
                "currency": "EUR",
                "lines": lines,
                "idempotency_key": f"key-{number}",
                "placed_at": datetime(2026, 3, 1, tzinfo=UTC),
                "provider_account": ACCOUNT,
                "method": method,
                **told,
            }
        )
        order_id, payment_id = ids.new(ids.ORDER), ids.new(ids.PAYMENT)
        return commit(
            lambda: operations.place_order(
                order, order_id=order_id, payment_id=payment_id, now=clock.now()
            )
        )

    def paid(self, method: str = "tok_visa", **told: Any) -> models.Payment:
        """Place an order and run its jobs; returns its payment."""
        order_id = self.place(method, **told)
        self.run_jobs()
        return self.payment(order_id)

    def authorized(self, method: str = "tok_visa") -> models.Payment:
        return self.paid(method, capture_method=CaptureMethod.MANUAL)

    def capture(self, payment: models.Payment, amount_minor: int) -> None:
        amount, attempt_id = Money(amount_minor, payment.currency), ids.new(ids.ATTEMPT)
        commit(
            lambda: charges.request_capture(
                payment_id=payment.id, amount=amount, attempt_id=attempt_id, now=clock.now()
            )
        )

    def void(self, payment: models.Payment) -> None:
        attempt_id = ids.new(ids.ATTEMPT)
        commit(
            lambda: charges.request_void(
                payment_id=payment.id, attempt_id=attempt_id, now=clock.now()
            )
        )

    def refund(self, payment: models.Payment, amount_minor: int, **told: Any) -> str:
        """Decide a refund; returns its id."""
        refund_id = ids.new(ids.REFUND)
        amount = Money(amount_minor, told.pop("currency", payment.currency))
        return commit(
            lambda: refunds.create_refund(
                refund_id=refund_id, payment_id=payment.id, amount=amount, now=clock.now(), **told
            )
        )

    def run_jobs(
        self, *, rounds: int = 8, handlers: Mapping[str, worker.Handler] = job_handlers.HANDLERS
    ) -> Counter[tuple[str, str]]:
        """
        Run every job, and those that are delayed as if their time had come, *rounds* times.

        Returns what became of them.
        """
        outcomes: Counter[tuple[str, str]] = Counter()
        for _ in range(rounds):
            running = worker.Worker(handlers)
            provider_accounts.run_sync(running.run(until_empty=True))
            outcomes += running.outcomes
            if not self.hurry():
                break
        return outcomes

    def hurry(self) -> int:
        """Let the time of every delayed job have come; returns how many there are."""
        past = clock.now() - timedelta(seconds=1)
        return commit(lambda: Job.objects.filter(state="delayed").update(run_at=past))

    # --- webhooks -------------------------------------------------------------------------------

    def deliveries(self, **disorder: float) -> list[webhook_delivery.Delivery]:
        """All webhooks of the sandbox so far, signed now."""
        key = standard_webhooks.parse_keys(self.provider.config.webhook_secret)[0]
        return self.provider.simulator.deliveries(
            key, faults=webhook_delivery.DeliveryFaults(**disorder)
        )

    def deliver(self, coming: Iterable[webhook_delivery.Delivery]) -> Counter[str]:
        """Take deliveries in and work on them; counts what was answered."""
        answers: Counter[str] = Counter()
        for delivery in coming:
            try:
                new = self._take(delivery)
            except errors.Denied:
                answers["refused"] += 1
            else:
                answers["stored" if new else "known"] += 1
        self.run_jobs(rounds=1)
        return answers

    def _take(self, delivery: webhook_delivery.Delivery) -> bool:
        now, raw_id = self.provider.simulator.now(), ids.new(ids.BODY)
        event: VerifiedWebhook = inbox.verify(
            provider_account=ACCOUNT, headers=delivery.headers, body=delivery.body, now=now
        )
        return commit(
            lambda: inbox.receive(
                provider_account=ACCOUNT, event=event, body=delivery.body, raw_id=raw_id, now=now
            )
        )

    # --- looking --------------------------------------------------------------------------------

    def payment(self, order_id: str) -> models.Payment:
        return models.Payment.objects.get(order_id=order_id)

    def fresh(self, payment: models.Payment) -> models.Payment:
        return models.Payment.objects.get(id=payment.id)

    def refund_of(self, refund_id: str) -> models.Refund:
        return models.Refund.objects.get(id=refund_id)

    def attempts(self, payment: models.Payment) -> list[tuple[str, str]]:
        """(operation, status) of a payment's attempts, oldest first."""
        rows = models.Attempt.objects.filter(payment=payment).order_by("created_at", "id")
        return [(row.operation, row.status) for row in rows]

    def reviews(self) -> list[str]:
        """The codes of the open reviews, oldest first."""
        open_ = models.Review.objects.filter(resolved_at__isnull=True)
        return list(open_.order_by("opened_at", "id").values_list("code", flat=True))

    def balances(self) -> dict[str, int]:
        """Debits less credits of every account that is not level."""
        balances: Counter[str] = Counter()
        for debit, credit, amount in Transfer.objects.values_list(
            "debit_account_id", "credit_account_id"
        ).annotate(Sum("amount_minor")):
            balances[debit] += int(amount)
            balances[credit] -= int(amount)
        return {account: amount for account, amount in sorted(balances.items()) if amount}

    def agrees(self) -> bool:
        """Whether our receivables are what the sandbox says it owes."""
        prefix = f"receivable/{ACCOUNT}:"
        ours = {
            account.removeprefix(prefix): amount
            for account, amount in self.balances().items()
            if account.startswith(prefix)
        }
        assert ours == self.provider.simulator.balances()
        return True

    def charges(self) -> int:
        """How many charges with money the sandbox's book holds."""
        return len(
            self.provider.simulator.store.select_objects("kind = 'charge' AND captured_minor > 0")
        )

    def age(self, payment: models.Payment, by: timedelta) -> None:
        """Let a payment's attempts have been made longer ago."""
        earlier = clock.now() - by

        def change() -> None:
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE bursar_attempt SET created_at = %s WHERE payment_id = %s",
                    [fields.to_db_datetime(earlier), payment.id],
                )

        commit(change)


def depth() -> dict[tuple[str, str], int]:
    return dict(jobs.count_by_state())
