"""The same rows, and what must hold for every price there is."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.stories.story_07_prices.calculator import price
from benchmarks.stories.story_07_prices.parametrised import test_case  # noqa: F401  (the rows)

amounts = st.integers(0, 10**9).map(lambda cents: f"{cents // 100}.{cents % 100:02}")
rates = st.integers(0, 9_999).map(lambda points: f"{points // 100}.{points % 100:02}")


@settings(derandomize=True, max_examples=300)
@given(amounts, st.integers(1, 1_000), rates | st.sampled_from(["5", "25", "50"]))
def test_it_is_the_exact_price_rounded_once_half_to_even(unit: str, n: int, rate: str) -> None:
    net = Fraction(unit) * 100 * n
    assert price(unit, n, rate) == net + round(net * Fraction(rate) / 100)


@given(amounts, st.integers(max_value=0), rates)
def test_there_is_no_price_of_nothing(unit: str, quantity: int, rate: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        price(unit, quantity, rate)


@given(amounts, rates)
def test_a_price_is_not_negative(unit: str, rate: str) -> None:
    with pytest.raises(ValueError, match="price"):
        price(f"-{unit}", 1, rate)
