"""Disputes take money, give it back, come again, and come after a refund."""

from __future__ import annotations

import pytest

from bursar.payments import refunds
from tests.conftest import Database
from tests.shop import RECEIVABLE, Shop

SOLD = {"sales:EUR": -840, "tax_payable:EUR": -160}


def days(shop: Shop, count: int) -> None:
    for _ in range(count):
        shop.provider.simulator.advance(86_400)
    shop.deliver(shop.deliveries())


@pytest.mark.parametrize(
    ("token", "after"),
    [
        ("tok_dispute_inquiry", [{RECEIVABLE: 1000}, {RECEIVABLE: 1000}]),
        (
            "tok_dispute_lost",
            [
                {"disputes_held:EUR": 1000},
                {"disputes_held:EUR": 1000},
                {"dispute_losses:EUR": 1000},
            ],
        ),
        (
            "tok_dispute_won",
            [{"disputes_held:EUR": 1000}, {"disputes_held:EUR": 1000}, {RECEIVABLE: 1000}],
        ),
        (
            "tok_dispute_second_round",
            [
                {"disputes_held:EUR": 1000},
                {RECEIVABLE: 1000},
                {"disputes_held:EUR": 1000},
                {"dispute_losses:EUR": 1000},
            ],
        ),
    ],
)
def test_a_dispute_day_by_day(shop: Shop, token: str, after: list[dict[str, int]]) -> None:
    shop.paid(token)
    for expected in after:
        days(shop, 1)
        assert shop.balances() == {**SOLD, **expected}
        assert shop.agrees()
    assert shop.reviews() == []


def test_disputed_money_is_not_there_to_refund(shop: Shop) -> None:
    payment = shop.paid("tok_dispute_won")
    days(shop, 1)
    assert shop.fresh(payment).disputed_minor == 1000
    with pytest.raises(
        refunds.RefundExceedsBalance, match=r"1.00 EUR exceeds the refundable 0.00 EUR"
    ):
        shop.refund(payment, 100)

    days(shop, 2)
    shop.refund(payment, 1000)
    shop.run_jobs()
    assert shop.fresh(payment).status == "refunded"
    assert shop.agrees()


def test_a_dispute_after_a_refund_claims_the_rest(shop: Shop) -> None:
    payment = shop.paid("tok_dispute_lost")
    shop.refund(payment, 300)
    shop.run_jobs()
    days(shop, 3)
    payment = shop.fresh(payment)
    assert (payment.refunded_minor, payment.disputed_minor) == (300, 700)
    assert shop.balances() == {
        "dispute_losses:EUR": 700,
        "sales:EUR": -840,
        "sales_returns:EUR": 252,
        "tax_payable:EUR": -112,
    }
    assert shop.agrees()


def test_a_dispute_in_the_currency_of_the_balance(database: Database, closing: None) -> None:
    shop = Shop(settlement_currency="EUR", rates={"USD": "0.9"})
    payment = shop.paid("tok_dispute_lost", currency="USD")
    days(shop, 3)
    assert shop.fresh(payment).disputed_minor == 1000  # withdrawn in EUR, at the charge's own rate
    assert shop.balances() == {
        "dispute_losses:EUR": 900,
        "fx_clearing:EUR": -900,
        "fx_clearing:USD": 1000,
        "sales:USD": -840,
        "tax_payable:USD": -160,
    }
    assert shop.agrees()
