"""An outcome nobody knows is found out in the provider's own way, or asked of a person."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bursar import clock, errors, group_commit
from bursar.payments import attempts, charges, models, refunds, reviews, status_checks
from bursar.providers.interface import Operation, Result, StatusRequest
from bursar.providers.sandbox import SandboxProvider
from bursar.queue import jobs, worker
from bursar.queue.models import Job
from tests.conftest import Database
from tests.shop import Shop, commit, depth

SOLD = {"receivable/sandbox-eu:EUR": 1000, "sales:EUR": -840, "tax_payable:EUR": -160}


@pytest.mark.parametrize(
    ("idempotency_keys", "looks_up"), [(True, True), (False, True), (True, False)]
)
def test_charged_and_no_answer(
    database: Database, closing: None, idempotency_keys: bool, looks_up: bool
) -> None:
    shop = Shop(idempotency_keys=idempotency_keys, lookup_by_key=looks_up)
    payment = shop.paid("tok_timeout_after_charge")
    assert (payment.status, shop.charges()) == ("captured", 1)
    assert shop.attempts(payment) == [("charge", "succeeded")]
    assert payment.attempts.get().was_unknown
    assert shop.reviews() == []
    assert shop.balances() == SOLD


def test_a_provider_that_can_neither_repeat_nor_tell_leaves_it_to_a_person(
    database: Database, closing: None
) -> None:
    shop = Shop(idempotency_keys=False, lookup_by_key=False)
    payment = shop.paid("tok_timeout_after_charge")
    assert (payment.status, shop.charges()) == ("unknown", 1)
    assert shop.reviews() == ["outcome_undecidable"]
    assert depth() == {}

    # Nothing may be tried anew while it stands.
    assert (
        commit(
            lambda: charges.prepare_charge(
                payment_id=payment.id, attempt_id="att_2", now=clock.now()
            )
        )
        is None
    )
    with pytest.raises(charges.PaymentNotCancelable, match=r"has a charge in progress \(unknown\)"):
        commit(lambda: charges.cancel(payment_id=payment.id, now=clock.now()))

    shop.deliver(shop.deliveries())

    assert shop.fresh(payment).status == "captured"
    assert shop.reviews() == []
    review = models.Review.objects.get()
    assert (review.resolution, review.resolved_by) == ("provider reported: succeeded", "bursar")
    assert shop.balances() == SOLD


def test_a_request_that_was_lost_is_repeated_with_the_same_key_where_keys_are_honoured(
    database: Database, closing: None
) -> None:
    shop = Shop(lookup_by_key=False)
    payment = shop.paid("tok_timeout_before")
    assert shop.attempts(payment) == [("charge", "succeeded")]
    assert (payment.status, shop.charges()) == ("captured", 1)


def test_a_key_that_is_too_old_is_not_repeated(database: Database, closing: None) -> None:
    shop = Shop(lookup_by_key=False)
    order_id = shop.place("tok_timeout_before")
    shop.run_jobs(rounds=1)
    payment = shop.payment(order_id)
    shop.age(payment, timedelta(hours=23, minutes=56))
    shop.run_jobs()
    assert (shop.fresh(payment).status, shop.charges()) == ("unknown", 0)
    assert shop.reviews() == ["outcome_undecidable"]


def test_a_worker_that_died_after_the_intent_leaves_an_unknown(shop: Shop) -> None:
    order_id = shop.place()
    payment = shop.payment(order_id)
    intent = commit(
        lambda: charges.prepare_charge(payment_id=payment.id, attempt_id="att_1", now=clock.now())
    )
    assert intent is not None
    asyncio.run(shop.provider.charge(intent.request))  # type: ignore[arg-type]
    assert shop.fresh(payment).status == "pending"

    shop.run_jobs(rounds=1)
    assert shop.fresh(payment).status == "unknown"
    shop.run_jobs()

    assert shop.attempts(payment) == [("charge", "succeeded")]
    assert (shop.charges(), shop.balances()) == (1, SOLD)


def test_a_worker_that_died_before_the_call_is_not_found_twice_and_tried_anew(shop: Shop) -> None:
    order_id = shop.place()
    payment = shop.payment(order_id)
    commit(
        lambda: charges.prepare_charge(payment_id=payment.id, attempt_id="att_1", now=clock.now())
    )

    shop.run_jobs()

    assert shop.attempts(payment) == [("charge", "not_sent"), ("charge", "succeeded")]
    assert models.Attempt.objects.get(id="att_1").status_check_count == status_checks.CHECKS_MIN
    assert (shop.charges(), shop.balances()) == (1, SOLD)


def test_a_lost_capture_is_read_off_its_charge(shop: Shop) -> None:
    payment = shop.authorized()
    shop.capture(payment, 400)
    shop.run_jobs()
    shop.capture(shop.fresh(payment), 300)
    # The worker dies once after its intent, and once more after the provider has captured.
    job = _next_job()
    intent = commit(lambda: charges._prepare_capture(Operation.CAPTURE, job, clock.now()))
    assert intent is not None
    asyncio.run(shop.provider.capture(intent.request))  # type: ignore[arg-type]
    shop.run_jobs()
    payment = shop.fresh(payment)
    assert (payment.captured_minor, payment.authorized_minor) == (700, 300)
    assert [status for _, status in shop.attempts(payment)] == ["succeeded"] * 3
    assert shop.agrees()


def _next_job() -> jobs.Lease:
    job = Job.objects.get(name="capture")
    return jobs.Lease(job.pk, job.name, job.payload, 1, 100, "token")


def test_a_lost_refund_is_made_once(shop: Shop) -> None:
    payment = shop.paid()
    refund_id = shop.refund(payment, 400)
    intent = commit(
        lambda: refunds.prepare_refund(
            refund_id=refund_id, payment_id=payment.id, attempt_id="att_9", now=clock.now()
        )
    )
    assert intent is not None
    asyncio.run(shop.provider.refund(intent.request))  # type: ignore[arg-type]
    shop.run_jobs()
    assert shop.refund_of(refund_id).status == "succeeded"
    assert shop.fresh(payment).refunded_minor == 400
    assert shop.agrees()


class _Away(SandboxProvider):
    """A sandbox that cannot be asked."""

    async def get_status(self, request: StatusRequest, /) -> Result:
        raise errors.Unavailable("away", after_seconds=5.0)


def test_a_look_up_that_cannot_be_asked_comes_back_and_at_last_asks_a_person(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = shop.place("tok_timeout_after_charge")
    shop.run_jobs(rounds=1)
    payment = shop.payment(order_id)
    monkeypatch.setattr(type(shop.provider), "get_status", _Away.get_status)

    assert shop.run_jobs(rounds=20) == {("check_attempt_status", "rescheduled"): 20}
    assert depth() == {("check_attempt_status", "delayed"): 1}

    shop.age(payment, timedelta(hours=25))
    assert shop.run_jobs() == {("check_attempt_status", "done"): 1}
    assert shop.reviews() == ["outcome_unresolved"]
    assert shop.fresh(payment).status == "unknown"


def test_a_review_is_answered_once(shop: Shop) -> None:
    now = clock.now()
    commit(
        lambda: reviews.create_review(code="c", subject="s", payment_id=None, detail={}, now=now)
    )
    commit(
        lambda: reviews.create_review(code="c", subject="s", payment_id=None, detail={}, now=now)
    )
    review = models.Review.objects.get()
    commit(lambda: reviews.resolve(review_id=review.id, resolution="so", by="ann", now=now))
    with pytest.raises(reviews.AlreadyResolved):
        commit(lambda: reviews.resolve(review_id=review.id, resolution="no", by="bob", now=now))
    with pytest.raises(reviews.ReviewNotFound):
        commit(lambda: reviews.resolve(review_id="rev_0", resolution="x", by="ann", now=now))
    review.refresh_from_db()
    assert (review.resolution, review.resolved_by) == ("so", "ann")


def test_writing_needs_a_transaction(shop: Shop) -> None:
    with pytest.raises(RuntimeError, match=r"write through group_commit.commits"):
        reviews.close(code="c", subject="s", resolution="", now=clock.now())
    assert group_commit.commits is not None


def test_an_intent_that_waited_too_long_is_not_sent_but_made_anew(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after SIGSTOP: somebody else may have looked the attempt up and charged anew meanwhile.
    monkeypatch.setattr(attempts, "SEND_SECONDS_MAX", -1.0)
    order_id = shop.place()
    assert shop.run_jobs(rounds=1) == {("charge", "retried"): 1}
    payment = shop.payment(order_id)
    assert (shop.charges(), shop.attempts(payment)) == (0, [("charge", "not_sent")])

    monkeypatch.setattr(attempts, "SEND_SECONDS_MAX", 20.0)
    shop.run_jobs()

    assert shop.attempts(payment) == [("charge", "not_sent"), ("charge", "succeeded")]
    assert (shop.fresh(payment).status, shop.charges()) == ("captured", 1)
    assert timedelta(seconds=20) < worker.LEASE
