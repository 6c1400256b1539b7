"""Charges, captures, refunds, disputes and pages at Stripe end in books that are level with its own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bursar.payments import charges, disputes, models, refunds
from bursar.payments.statuses import CaptureMethod
from tests import faulty_database
from tests.conftest import Database
from tests.flows.stripe.conftest import ACCOUNT

RECEIVABLE, FEES = f"receivable/{ACCOUNT}:EUR", f"fees/{ACCOUNT}:EUR"
SOLD = {"sales:EUR": -840, "tax_payable:EUR": -160}


@pytest.fixture
def database(sqlite_only: Database) -> Database:
    """What the provider tells is the same on both; `test_settlement` has it on PostgreSQL too."""
    return sqlite_only


def test_a_charge_is_booked_with_its_fee_at_once(stripe):
    shop = stripe()
    payment = shop.paid()
    assert payment.status == "captured"
    assert shop.balances() == {**SOLD, FEES: 40, RECEIVABLE: 960}
    assert shop.agrees()
    shop.hear(times=2)
    assert shop.balances() == {**SOLD, FEES: 40, RECEIVABLE: 960}


def test_a_charge_abroad_is_booked_at_the_rate_it_was_settled_at(stripe):
    shop = stripe(settlement="eur", rates={"usd": "0.9"})
    payment = shop.paid(currency="USD")
    assert (payment.captured_minor, payment.currency) == (1000, "USD")
    assert shop.balances() == {
        "sales:USD": -840,
        "tax_payable:USD": -160,
        "fx_clearing:USD": 1000,
        "fx_clearing:EUR": -900,
        FEES: 39,
        RECEIVABLE: 861,
    }
    assert models.Fact.objects.get(kind="charge").rate == "0.9"
    assert shop.agrees()


def test_a_decline_says_why_and_whether_a_later_try_may_do(stripe):
    shop = stripe()
    soft = shop.paid("pm_card_chargeDeclinedInsufficientFunds")
    hard = shop.paid("pm_card_chargeDeclinedLostCard")
    told = [
        (a.failure_code, a.soft_decline)
        for p in (soft, hard)
        for a in models.Attempt.objects.filter(payment=p)
    ]
    assert told == [("insufficient_funds", True), ("lost_card", False)]
    assert [soft.status, hard.status] == ["declined", "declined"]


def test_three_d_secure_sends_the_buyer_away_and_a_webhook_brings_the_rest(stripe):
    shop = stripe(config={"return_url": "https://shop.example/back"})
    payment = shop.paid("pm_card_authenticationRequired")
    attempt = models.Attempt.objects.get(payment=payment)
    assert payment.status == "requires_action"
    assert attempt.redirect_url.startswith("https://hooks.stripe.example/3ds/pi_")
    shop.book.act(attempt.reference, approve=True)
    shop.hear()
    assert shop.fresh(payment).status == "captured"
    assert shop.attempts(payment) == [("charge", "succeeded")]
    # The event told no fee: the object was fetched for it.
    assert shop.balances() == {**SOLD, FEES: 40, RECEIVABLE: 960}
    assert shop.agrees()


def test_a_page_of_checkout_collects_without_a_card_ever_coming_here(stripe):
    shop = stripe(config={"return_url": "https://shop.example/back"})
    payment = shop.paid("checkout")
    attempt = models.Attempt.objects.get(payment=payment)
    assert payment.status == "requires_action"
    assert attempt.redirect_url.startswith("https://checkout.stripe.example/cs_")
    shop.book.pay_page(attempt.reference, "pm_card_chargeDeclined")
    shop.hear()
    assert shop.fresh(payment).status == "requires_action"  # another card may do
    shop.book.pay_page(attempt.reference, "pm_card_visa")
    shop.hear()
    assert shop.fresh(payment).status == "captured"
    assert shop.attempts(payment) == [("charge", "succeeded")]
    assert shop.agrees()
    shop.refund(shop.fresh(payment), 1000)
    shop.run_jobs()
    assert shop.fresh(payment).status == "refunded"
    assert shop.agrees()


def test_a_page_that_nobody_paid_on_expires(stripe):
    shop = stripe(config={"return_url": "https://shop.example/back"})
    payment = shop.paid("checkout")
    shop.book.expire_page(models.Attempt.objects.get(payment=payment).reference)
    shop.hear()
    assert shop.fresh(payment).status == "expired"
    assert shop.attempts(payment) == [("charge", "declined")]


def test_an_authorization_is_captured_in_parts_where_the_account_may(stripe):
    shop = stripe(config={"multicapture": True})
    payment = shop.authorized()
    for part in (400, 250):
        shop.capture(shop.fresh(payment), part)
        shop.run_jobs()
    payment = shop.fresh(payment)
    assert (payment.status, payment.captured_minor, payment.authorized_minor) == (
        "partially_captured",
        650,
        350,
    )
    shop.void(payment)
    shop.run_jobs()
    assert shop.fresh(payment).authorized_minor == 0


def test_without_that_the_first_capture_releases_the_rest(stripe):
    shop = stripe()
    payment = shop.authorized()
    shop.capture(payment, 400)
    shop.run_jobs()
    payment = shop.fresh(payment)
    assert (payment.captured_minor, payment.authorized_minor) == (400, 0)
    with pytest.raises(charges.PaymentNotCapturable):
        shop.capture(payment, 100)
    assert shop.agrees()


def test_an_authorization_is_released(stripe):
    shop = stripe()
    payment = shop.authorized()
    shop.void(payment)
    shop.run_jobs()
    assert shop.fresh(payment).status == "canceled"
    assert shop.balances() == {}


def test_a_refund_goes_back_and_may_come_back(stripe):
    shop = stripe()
    payment = shop.paid()
    refund_id = shop.refund(payment, 300)
    shop.run_jobs()
    assert shop.refund_of(refund_id).status == "succeeded"
    assert shop.agrees()
    [made] = shop.book.listed("refund")
    shop.book.fail_refund(made["id"])
    shop.hear()
    assert shop.refund_of(refund_id).status == "failed"
    assert shop.fresh(payment).refunded_minor == 0
    assert shop.agrees()


def test_a_refund_made_in_the_dashboard_is_taken_in_once(stripe):
    shop = stripe(settlement="eur", rates={"usd": "0.9"})
    payment = shop.paid(currency="USD")
    [charge] = shop.book.listed("charge")
    shop.book.create_refund({"charge": charge["id"], "amount": "300"})
    shop.hear(times=3)
    assert shop.fresh(payment).refunded_minor == 300
    assert shop.agrees()


def test_a_dispute_holds_its_money_has_a_deadline_and_is_answered(stripe):
    shop = stripe()
    payment = shop.paid("pm_card_createDispute")
    shop.hear()
    assert shop.fresh(payment).disputed_minor == 1000
    [waiting] = disputes.list_needing_response()
    [dispute] = shop.book.listed("dispute")
    due = dispute["evidence_details"]["due_by"]
    assert waiting.evidence_due_by is not None
    assert (waiting.reference, int(waiting.evidence_due_by.timestamp())) == (dispute["id"], due)
    with pytest.raises(refunds.RefundExceedsBalance):
        shop.refund(payment, 100)
    assert shop.agrees()

    disputes.submit_evidence(
        provider_account=ACCOUNT,
        reference=dispute["id"],
        texts={"uncategorized_text": "it was delivered"},
        submit=True,
    )
    assert dispute["evidence"]["uncategorized_text"] == "it was delivered"
    assert disputes.list_needing_response() == []
    shop.book.close_dispute(dispute["id"], won=True)
    shop.hear()
    assert shop.fresh(payment).disputed_minor == 0
    assert shop.balances() == {**SOLD, FEES: 1540, RECEIVABLE: -540}
    assert shop.agrees()


def test_a_dispute_that_is_lost_is_a_loss(stripe):
    shop = stripe()
    shop.paid("pm_card_createDispute")
    [dispute] = shop.book.listed("dispute")
    shop.book.close_dispute(dispute["id"], won=False)
    shop.hear()
    assert shop.balances()["dispute_losses:EUR"] == 1000
    assert shop.agrees()


@pytest.mark.parametrize("fault", faulty_database.FAULTS)
def test_whatever_happens_on_the_way_there_is_one_charge(stripe, fault):
    shop = stripe(config={"timeout_seconds": 0.4})
    payment = shop.paid(f"pm_card_visa__{fault}")
    shop.run_jobs()
    assert shop.fresh(payment).status == "captured"
    assert len(shop.book.listed("charge")) == 1
    assert shop.agrees()


def test_when_the_key_is_dead_the_search_finds_what_was_charged(stripe):
    shop = stripe(config={"timeout_seconds": 0.4})
    order = shop.place("pm_card_visa__timeout_after")
    shop.run_jobs(rounds=1)
    payment = shop.payment(order)
    assert payment.status == "unknown"
    shop.age(payment, timedelta(hours=24))
    shop.run_jobs()
    assert shop.fresh(payment).status == "captured"
    assert any(path == "/v1/payment_intents/search" for _, path, _, _ in shop.listening.seen)
    assert len(shop.book.listed("charge")) == 1


def test_a_request_in_another_currency_than_stripe_takes_is_not_sent(stripe):
    shop = stripe()
    payment = shop.paid(currency="KPW")
    assert payment.status == "declined"
    assert [a.failure_code for a in models.Attempt.objects.all()] == [
        "unsupported_amount_or_currency"
    ]
    assert shop.listening.seen == []


def test_a_customers_saved_method_is_charged_by_reference(stripe):
    shop = stripe()
    shop.paid("cus_1/pm_card_visa", capture_method=CaptureMethod.AUTOMATIC)
    form = shop.listening.seen[0][2]
    assert (form["customer"], form["payment_method"]) == ("cus_1", "pm_card_visa")
    assert shop.listening.seen[0][3]["Stripe-Version"]
