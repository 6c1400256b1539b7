"""A provider with neither keys nor look-ups: a person is asked, unless a webhook tells in time."""

from __future__ import annotations

import asyncio

import pytest

from bursar import clock, ids
from bursar.payments import attempts, models, refunds, status_checks
from bursar.providers.interface import RefundRequest
from bursar.queue import jobs
from tests.conftest import Database
from tests.shop import Shop, commit


@pytest.fixture
def shop(database: Database) -> Shop:
    book = str(database.settings.home / "sandbox.sqlite3")
    return Shop(idempotency_keys=False, lookup_by_key=False, store=book)


def in_doubt(shop: Shop, payment: models.Payment, amount_minor: int) -> RefundRequest:
    """A refund whose call was sent and never answered; returns what was sent."""
    refund_id, attempt_id = shop.refund(payment, amount_minor), ids.new(ids.ATTEMPT)
    intent = commit(
        lambda: refunds.prepare_refund(
            refund_id=refund_id, payment_id=payment.id, attempt_id=attempt_id, now=clock.now()
        )
    )
    assert intent is not None
    commit(lambda: attempts.mark_unknown(intent, reason="no answer", now=clock.now()))
    assert isinstance(intent.request, RefundRequest)
    return intent.request


def asked_about() -> list[str]:
    open_ = models.Review.objects.filter(resolved_at__isnull=True).order_by("opened_at", "id")
    return [review.detail["attempt"] for review in open_]


def test_news_of_one_refund_leaves_the_question_about_another_open(shop: Shop) -> None:
    payment = shop.paid()
    first, second = in_doubt(shop, payment, 300), in_doubt(shop, payment, 400)
    shop.run_jobs()
    assert sorted(asked_about()) == sorted([first.key, second.key])

    shop.provider.simulator.refund(first)
    shop.deliver(shop.deliveries())
    assert asked_about() == [second.key]

    shop.provider.simulator.refund(second)
    shop.deliver(shop.deliveries())
    assert asked_about() == []
    assert shop.fresh(payment).refunded_minor == 700


def test_nobody_is_asked_about_what_was_told_meanwhile(shop: Shop) -> None:
    payment = shop.paid()
    sent = in_doubt(shop, payment, 300)
    lease = jobs.Lease(0, "check_attempt_status", {"attempt_id": sent.key}, 1, 100, "no lease")
    finish = asyncio.run(status_checks.check_attempt_status(lease))
    assert finish is not None

    shop.provider.simulator.refund(sent)
    shop.deliver(shop.deliveries())
    commit(finish)

    assert asked_about() == []
    assert shop.attempts(payment) == [("charge", "succeeded"), ("refund", "succeeded")]
