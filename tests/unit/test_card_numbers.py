"""Card numbers are recognised in any spelling; other numbers are left alone."""

from __future__ import annotations

import pytest

from bursar import card_numbers

# The schemes' published test numbers; no real card has one of them.
CARDS = [
    *("4242424242424242", "4000056655665556", "4222222222222", "5555555555554444"),
    *("2223003122003222", "378282246310005", "371449635398431", "6011111111111117"),
    *("3056930009020004", "36227206271667", "6555900000604105", "3566002020360505"),
    *("6200000000000005", "6205500000000000004", "6759649826438453", "9792030394440796"),
]
WRITTEN = [
    *("4242 4242 4242 4242", "4242-4242-4242-4242", "3782 822463 10005", "4242  4242  4242  4242"),
    *(
        "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        "4242\u00a04242\u00a04242\u00a04242",
        "card:4242424242424242.",
    ),
    *("4242\u20134242\u20134242\u20134242", "order 12345 4242 4242 4242 4242 12/29 123"),
    *("x4242424242424242x", "４２４２４２４２４２４２４２４２", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"),
]
NEAR_MISSES = [
    *("4242424242424241", "4242 4242 4242 4243", "378282246310006", "424242424242"),
    *("42424242424242424242", "0000000000000000", "1111111111111117", "7000000000000005"),
    *("1764022834123", "1764022834123456789", "2026-11-22 20:43:56", "20261122000018"),
    *(
        "536365",
        "85123A",
        "4006381333931x1",
        "4006381333924",
        "DE89 3704 0044 0532 0130 00",
        "+49 30 901820",
    ),
    *("550e8400-e29b-41d4-a716-446655440000", "pay_06ev3n8yz1x9k3m2q7r5t4w6v8", "", "4" * 5_000),
]


@pytest.mark.parametrize("text", CARDS + WRITTEN)
def test_card_numbers_are_recognised(text: str) -> None:
    assert card_numbers.contains_card_number(text)
    assert not card_numbers.contains_card_number(card_numbers.mask_card_numbers(text, "***"))


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_other_numbers_are_not_recognised(text: str) -> None:
    assert not card_numbers.contains_card_number(text)
    assert card_numbers.mask_card_numbers(text, "***") == text


def test_only_the_card_number_is_masked() -> None:
    text = "order 536365 paid with 4242 4242 4242 4242, 12/29"
    assert card_numbers.mask_card_numbers(text, "***") == "order 536365 paid with ***, 12/29"
