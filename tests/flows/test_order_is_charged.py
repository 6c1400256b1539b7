"""An order is placed, charged through every kind of trouble, and booked."""

from __future__ import annotations

import pytest

from bursar import clock, errors
from bursar.orders import queries
from bursar.orders.models import Order
from bursar.payments import charges, models
from bursar.pricing import baskets
from tests.shop import BOOKS, RECEIVABLE, Shop, commit, depth

SOLD = {RECEIVABLE: 1000, "sales:EUR": -840, "tax_payable:EUR": -160}


def test_placed_once_charged_once_and_booked(shop: Shop) -> None:
    order_id = shop.place()
    assert depth() == {("charge", "ready"): 1}
    assert shop.payment(order_id).status == "pending"

    assert shop.run_jobs() == {("charge", "done"): 1}

    payment = shop.payment(order_id)
    assert (payment.status, payment.captured_minor, payment.authorized_minor) == (
        "captured",
        1000,
        0,
    )
    assert shop.attempts(payment) == [("charge", "succeeded")]
    assert queries.fetch_payment_status(Order.objects.get(id=order_id)) == "paid"
    assert shop.balances() == SOLD
    assert shop.agrees()
    assert depth() == {}


def test_one_key_is_one_order(shop: Shop) -> None:
    first = shop.place(idempotency_key="same", reference="a")
    assert shop.place(idempotency_key="same", reference="a") == first
    assert (Order.objects.count(), models.Payment.objects.count()) == (1, 1)
    assert depth() == {("charge", "ready"): 1}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "other",
    [
        {"reference": "b"},
        {"method": "tok_amex"},
        {"currency": "USD"},
        {"metadata": {"a": "b"}},
        {"prices_include_tax": False},
        {"lines": [*BOOKS, *BOOKS]},
    ],
)
def test_one_key_with_other_content_is_refused(shop: Shop, other: dict[str, object]) -> None:
    shop.place(idempotency_key="same", reference="a")
    with pytest.raises(errors.IdempotencyKeyReused, match="which has different content"):
        shop.place(**{"idempotency_key": "same", "reference": "a", **other})  # type: ignore[arg-type]
    assert Order.objects.count() == 1


def test_an_order_of_nothing_to_pay_has_no_payment(shop: Shop) -> None:
    free = [baskets.Line(sku="f", description="free", quantity=1, unit_price="0.00")]
    order_id = shop.place(lines=free)
    assert models.Payment.objects.count() == 0
    assert queries.fetch_payment_status(Order.objects.get(id=order_id)) == "paid"


#: Token -> code of the decline, and whether it is soft.
DECLINES = {
    "tok_declined_hard": ("do_not_honor", False),
    "tok_declined_soft": ("try_again_later", True),
    "tok_chargeDeclined": ("card_declined", False),
    "tok_chargeDeclinedInsufficientFunds": ("insufficient_funds", True),
    "tok_chargeDeclinedLostCard": ("lost_card", False),
    "tok_chargeDeclinedProcessingError": ("processing_error", True),
    "tok_pending_declined": ("bank_refused", False),
    "tok_nobody_knows_this": ("unknown_method", False),
}
#: Token -> what became of its attempts.
APPROVED = {
    "tok_approved": ["succeeded"],
    "tok_visa": ["succeeded"],
    "tok_timeout_after_charge": ["succeeded"],
    "tok_timeout_before": ["not_sent", "succeeded"],
    "tok_reset_mid_response": ["succeeded"],
    "tok_garbage_response": ["succeeded"],
    "tok_unavailable_once": ["succeeded"],
    "tok_duplicate_response": ["succeeded"],
    "tok_pending": ["succeeded"],
}


def test_every_approval_is_one_charge(shop: Shop) -> None:
    tokens = list(APPROVED)
    orders = {token: shop.place(token) for token in tokens}
    shop.run_jobs(rounds=2)
    shop.provider.simulator.advance(86_400)
    shop.run_jobs()

    payments = {token: shop.payment(order_id) for token, order_id in orders.items()}
    assert {token: payment.status for token, payment in payments.items()} == dict.fromkeys(
        tokens, "captured"
    )
    assert {
        token: [status for _, status in shop.attempts(payment)]
        for token, payment in payments.items()
    } == {token: APPROVED[token] for token in tokens}
    assert shop.charges() == len(tokens)
    assert shop.balances() == {name: len(tokens) * amount for name, amount in SOLD.items()}
    assert shop.agrees()
    assert shop.reviews() == []


def test_a_decline_keeps_its_code_and_whether_it_is_soft(shop: Shop) -> None:
    orders = {token: shop.place(token) for token in DECLINES}
    shop.run_jobs(rounds=2)
    shop.provider.simulator.advance(86_400)
    shop.run_jobs(rounds=2)

    payments = {token: shop.payment(order_id) for token, order_id in orders.items()}
    assert {p.status for p in payments.values()} == {"declined"}
    told = {token: payment.attempts.get() for token, payment in payments.items()}
    assert {token: (a.status, a.failure_code, a.soft_decline) for token, a in told.items()} == {
        token: ("declined", code, soft) for token, (code, soft) in DECLINES.items()
    }
    assert shop.balances() == {}


def test_a_provider_that_is_away_is_tried_again_and_nothing_is_lost(shop: Shop) -> None:
    payment = shop.paid("tok_unavailable")
    assert payment.status == "pending"
    assert set(shop.attempts(payment)) == {("charge", "not_sent")}
    assert depth() == {("charge", "delayed"): 1}
    assert shop.balances() == {}


def test_the_buyer_completes_what_was_asked_of_them(shop: Shop) -> None:
    payment = shop.paid("tok_requires_action")
    attempt = payment.attempts.get()
    assert (payment.status, attempt.status) == ("requires_action", "requires_action")
    assert attempt.redirect_url == f"https://sandbox.invalid/actions/{attempt.reference}"

    shop.provider.simulator.complete_action(attempt.reference, approve=True)
    shop.run_jobs()

    assert shop.fresh(payment).status == "captured"
    assert shop.attempts(payment) == [("charge", "succeeded")]
    assert shop.balances() == SOLD


def test_the_buyer_refuses_what_was_asked_of_them(shop: Shop) -> None:
    payment = shop.paid("tok_requires_action")
    shop.provider.simulator.complete_action(payment.attempts.get().reference, approve=False)
    shop.run_jobs()
    assert shop.fresh(payment).status == "declined"
    assert payment.attempts.get().failure_code == "authentication_failed"


def test_a_buyer_who_never_comes_back_is_given_up(shop: Shop) -> None:
    payment = shop.paid("tok_requires_action")
    commit(lambda: models.Payment.objects.update(expires_at=clock.now()))
    shop.run_jobs()
    assert (shop.fresh(payment).status, shop.fresh(payment).closed_status) == ("expired", "expired")
    assert shop.attempts(payment) == [("charge", "declined")]
    assert depth() == {}


def test_authorized_and_captured_in_parts(shop: Shop) -> None:
    payment = shop.authorized()
    assert (payment.status, payment.authorized_minor) == ("authorized", 1000)
    assert shop.balances() == {}

    shop.capture(payment, 400)
    with pytest.raises(charges.PaymentNotCapturable, match="is in progress"):
        shop.capture(payment, 100)
    shop.run_jobs()
    payment = shop.fresh(payment)
    assert (payment.status, payment.captured_minor, payment.authorized_minor) == (
        "partially_captured",
        400,
        600,
    )
    assert shop.balances() == {RECEIVABLE: 400, "sales:EUR": -336, "tax_payable:EUR": -64}

    with pytest.raises(
        charges.PaymentNotCapturable, match=r"7.00 EUR exceeds the authorized 6.00 EUR"
    ):
        shop.capture(payment, 700)
    shop.capture(payment, 600)
    shop.run_jobs()
    assert shop.fresh(payment).status == "captured"
    assert shop.attempts(payment) == [
        ("authorize", "succeeded"),
        ("capture", "succeeded"),
        ("capture", "succeeded"),
    ]
    assert shop.balances() == SOLD
    assert shop.agrees()


def test_what_is_not_captured_is_released(shop: Shop) -> None:
    payment = shop.authorized()
    shop.capture(payment, 400)
    shop.run_jobs()
    shop.void(payment)
    shop.run_jobs()
    payment = shop.fresh(payment)
    assert (payment.status, payment.captured_minor, payment.authorized_minor) == (
        "partially_captured",
        400,
        0,
    )
    assert shop.agrees()


def test_an_authorization_is_voided(shop: Shop) -> None:
    payment = shop.authorized()
    shop.void(payment)
    shop.run_jobs()
    assert shop.fresh(payment).status == "canceled"
    assert shop.attempts(payment) == [("authorize", "succeeded"), ("void", "succeeded")]
    with pytest.raises(charges.PaymentNotCapturable):
        shop.capture(payment, 1)


def test_a_payment_is_canceled_only_while_nothing_is_under_way(shop: Shop) -> None:
    waiting, paid = shop.place(), shop.paid("tok_requires_action")
    with pytest.raises(
        charges.PaymentNotCancelable, match=r"has a charge in progress \(requires_action\)"
    ):
        commit(lambda: charges.cancel(payment_id=paid.id, now=clock.now()))

    unpaid = shop.payment(shop.place())
    commit(lambda: charges.cancel(payment_id=unpaid.id, now=clock.now()))
    commit(lambda: charges.cancel(payment_id=unpaid.id, now=clock.now()))
    shop.run_jobs()
    assert (shop.fresh(unpaid).status, shop.attempts(unpaid)) == ("canceled", [])

    with pytest.raises(charges.PaymentNotCancelable, match="is authorized or captured"):
        commit(lambda: charges.cancel(payment_id=shop.payment(waiting).id, now=clock.now()))


def test_a_wrong_amount_is_booked_apart_and_reviewed(shop: Shop) -> None:
    payment = shop.paid("tok_wrong_amount")
    assert (payment.status, payment.captured_minor) == ("captured", 1001)
    assert shop.reviews() == ["over_captured"]
    assert shop.balances() == {**SOLD, RECEIVABLE: 1001, "suspense:EUR": -1}
    assert shop.agrees()


def test_a_wrong_currency_is_booked_apart_reviewed_and_not_charged_again(shop: Shop) -> None:
    payment = shop.paid("tok_wrong_currency")
    assert (payment.status, payment.captured_minor) == ("processing", 0)
    assert shop.reviews() == ["currency_mismatch"]
    assert shop.balances() == {"receivable/sandbox-eu:USD": 1000, "suspense:USD": -1000}
    assert (
        commit(
            lambda: charges.prepare_charge(
                payment_id=payment.id, attempt_id="att_2", now=clock.now()
            )
        )
        is None
    )
    assert shop.charges() == 1
