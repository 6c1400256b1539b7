"""The calculator's edge cases, each in a function of its own."""

from __future__ import annotations

import pytest

from benchmarks.stories.story_07_prices.calculator import price


def test_case_01() -> None:
    unit, quantity, rate = "100", 1, "10"
    expected = 11000
    assert price(unit, quantity, rate) == expected


def test_case_02() -> None:
    unit, quantity, rate = "0", 1, "10"
    expected = 0
    assert price(unit, quantity, rate) == expected


def test_case_03() -> None:
    with pytest.raises(ValueError):
        price("-1", 1, "10")


def test_case_04() -> None:
    unit, quantity, rate = "19.99", 1, "19"
    expected = 2379
    assert price(unit, quantity, rate) == expected


def test_case_05() -> None:
    unit, quantity, rate = "19.99", 3, "19"
    expected = 7136
    assert price(unit, quantity, rate) == expected


def test_case_06() -> None:
    unit, quantity, rate = "0.01", 1, "19"
    expected = 1
    assert price(unit, quantity, rate) == expected


def test_case_07() -> None:
    unit, quantity, rate = "0.01", 1, "0"
    expected = 1
    assert price(unit, quantity, rate) == expected


def test_case_08() -> None:
    unit, quantity, rate = "5.00", 2, "7"
    expected = 1070
    assert price(unit, quantity, rate) == expected


def test_case_09() -> None:
    unit, quantity, rate = "4.20", 2, "19"
    expected = 1000
    assert price(unit, quantity, rate) == expected


def test_case_10() -> None:
    unit, quantity, rate = "999.99", 1, "0"
    expected = 99999
    assert price(unit, quantity, rate) == expected


def test_case_11() -> None:
    unit, quantity, rate = "12.5", 4, "20"
    expected = 6000
    assert price(unit, quantity, rate) == expected


def test_case_12() -> None:
    unit, quantity, rate = "1.005", 1, "10"
    expected = 110
    assert price(unit, quantity, rate) == expected


def test_case_13() -> None:
    with pytest.raises(ValueError):
        price("abc", 1, "10")


def test_case_14() -> None:
    with pytest.raises(ValueError):
        price("10", 0, "10")


def test_case_15() -> None:
    with pytest.raises(ValueError):
        price("10", -1, "10")


def test_case_16() -> None:
    unit, quantity, rate = "10", 1, "5.5"
    expected = 1055
    assert price(unit, quantity, rate) == expected


def test_case_17() -> None:
    unit, quantity, rate = "0.10", 3, "25"
    expected = 38
    assert price(unit, quantity, rate) == expected


def test_case_18() -> None:
    unit, quantity, rate = "1000000", 1, "19"
    expected = 119000000
    assert price(unit, quantity, rate) == expected


def test_case_19() -> None:
    unit, quantity, rate = "7.77", 10, "7"
    expected = 8314
    assert price(unit, quantity, rate) == expected


def test_case_20() -> None:
    unit, quantity, rate = "3", 1, "99.99"
    expected = 600
    assert price(unit, quantity, rate) == expected
