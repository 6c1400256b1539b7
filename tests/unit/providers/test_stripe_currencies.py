"""Stripe's units of every currency, exact or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar import money
from bursar.money import Money
from bursar.providers.stripe import currencies


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (Money(1234, "EUR"), 1234),
        (Money(1234, "JPY"), 1234),
        (Money(1230, "KWD"), 1230),
        (Money(5, "ISK"), 500),
        (Money(5, "UGX"), 500),
        (Money(1200, "MGA"), 12),
        (Money(100, "HUF"), 100),
        (Money(700, "TWD"), 700),
    ],
)
def test_units_are_stripes(amount: Money, told: int) -> None:
    assert currencies.to_stripe_amount(amount) == told
    assert currencies.from_stripe_amount(told, amount.currency.lower()) == amount


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (Money(1234, "KWD"), "1.234 KWD cannot be represented"),
        (Money(1250, "MGA"), "12.50 MGA cannot be represented"),
        (Money(100, "KPW"), "KPW is not supported"),
        (Money(100, "CLF"), "CLF is not supported"),
        (Money(100, "BTC"), "BTC is not supported"),
    ],
)
def test_what_stripe_cannot_move_is_refused_before_it_is_sent(amount: Money, said: str) -> None:
    with pytest.raises(currencies.UnsupportedAmountOrCurrency, match=said):
        currencies.to_stripe_amount(amount)


def test_a_part_of_a_crown_is_no_money() -> None:
    with pytest.raises(money.InvalidAmount, match="not a whole number of minor units"):
        currencies.from_stripe_amount(550, "isk")


@given(
    minor=st.integers(-(10**9), 10**9),
    currency=st.sampled_from(sorted(money.EXPONENTS.keys() - money.ASSETS.keys())),
)
def test_every_currency_goes_there_and_back_or_is_refused(minor: int, currency: str) -> None:
    amount = Money(minor, currency)
    try:
        told = currencies.to_stripe_amount(amount)
    except currencies.UnsupportedAmountOrCurrency:
        return
    assert currencies.from_stripe_amount(told, currency.lower()) == amount


def test_every_currency_that_stripe_takes_is_known_here() -> None:
    assert (
        {*currencies.EXPONENTS, *currencies.MULTIPLES}
        <= currencies.CURRENCIES
        <= money.EXPONENTS.keys()
    )
