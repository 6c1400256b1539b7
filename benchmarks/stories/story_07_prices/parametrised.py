"""The calculator's edge cases, one row each."""

from __future__ import annotations

import pytest

from benchmarks.stories.story_07_prices.calculator import price


@pytest.mark.parametrize(
    ("unit", "quantity", "rate", "expected"),
    [
        ("100", 1, "10", 11000),
        ("0", 1, "10", 0),
        ("-1", 1, "10", None),
        ("19.99", 1, "19", 2379),
        ("19.99", 3, "19", 7136),
        ("0.01", 1, "19", 1),
        ("0.01", 1, "0", 1),
        ("5.00", 2, "7", 1070),
        ("4.20", 2, "19", 1000),
        ("999.99", 1, "0", 99999),
        ("12.5", 4, "20", 6000),
        ("1.005", 1, "10", 110),
        ("abc", 1, "10", None),
        ("10", 0, "10", None),
        ("10", -1, "10", None),
        ("10", 1, "5.5", 1055),
        ("0.10", 3, "25", 38),
        ("1000000", 1, "19", 119000000),
        ("7.77", 10, "7", 8314),
        ("3", 1, "99.99", 600),
    ],
)
def test_case(unit: str, quantity: int, rate: str, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="a "):
            price(unit, quantity, rate)
    else:
        assert price(unit, quantity, rate) == expected
