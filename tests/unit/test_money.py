"""Money is exact: what cannot be kept exactly is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar import errors, money
from bursar.money import MINOR_MAX, CurrencyMismatch, InvalidAmount, Money, UnsupportedCurrency

CURRENCIES = sorted(money.EXPONENTS)
amounts = st.builds(
    Money, st.integers(min_value=-MINOR_MAX, max_value=MINOR_MAX), st.sampled_from(CURRENCIES)
)


def plain(amount: Money) -> str:
    return f"{amount.amount:f}"


def test_the_list_of_currencies_is_complete() -> None:
    by_exponent: dict[int, int] = {}
    for currency in set(CURRENCIES) - set(money.ASSETS):
        exponent = money.exponent_of(currency)
        by_exponent[exponent] = by_exponent.get(exponent, 0) + 1
    assert by_exponent == {0: 16, 2: 132, 3: 7, 4: 2}


@pytest.mark.parametrize("currency", CURRENCIES)
def test_every_currency_is_parsed_and_shown_alike(currency: str) -> None:
    for minor in (0, 1, -1, 9, 10_000, -12_345_678, MINOR_MAX, -MINOR_MAX):
        assert Money.parse(plain(Money(minor, currency)), currency) == Money(minor, currency)


@given(amounts)
def test_what_is_shown_is_parsed_back(amount: Money) -> None:
    assert Money.parse(plain(amount), amount.currency) == amount


@given(amounts, st.integers(min_value=0, max_value=9))
def test_one_digit_too_many_is_refused(amount: Money, digit: int) -> None:
    text = plain(amount)
    text = f"{text}{digit}" if "." in text else f"{text}.{digit}"
    with pytest.raises(InvalidAmount):
        Money.parse(text, amount.currency)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.30", "EUR", 1230),
        ("12.3", "EUR", 1230),
        ("12", "EUR", 1200),
        ("-0.01", "EUR", -1),
        ("-0", "EUR", 0),
        ("0012", "EUR", 1200),
        ("1.234", "KWD", 1234),
        ("1000", "JPY", 1000),
        ("0.0001", "CLF", 1),
        ("0.000000001", "ETH", 1),
        ("90071992547409.91", "EUR", MINOR_MAX),
    ],
)
def test_plain_decimals_are_read(text: str, currency: str, minor: int) -> None:
    assert Money.parse(text, currency) == Money(minor, currency)


REFUSED = [
    *("NaN", "nan", "Infinity", "-inf", "1e400", "1e2", "1E2", "0x10", str(10**30)),
    *("٣٫٥٠", "١٢", "１２", "१२", "²", "①", "1_000", "1,000", "1'000", "1 000", "+1", "", " "),
    *(" 1", "1 ", "1\n", "1.", ".5", "-.5", "-", ".", "--1", "-+1", "1.2.3", "1,5", "12.345"),
    *("1.000", "12.300", "\u22121", "1\u00a0000", "$1", "1 EUR", "90071992547409.92", "1" * 5000),
]


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(InvalidAmount) as caught:
        Money.parse(text, "EUR")
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 120
    assert caught.value.param == "amount"


@pytest.mark.parametrize("value", [1.5, 1, True, None, Decimal("1.50"), b"1", ["1"], float("nan")])
def test_only_text_is_parsed(value: object) -> None:
    with pytest.raises(InvalidAmount):
        Money.parse(value, "EUR")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [1.0, True, False, None, "1", Decimal(1), Fraction(1), float("nan")]
)
def test_only_whole_numbers_are_amounts(value: object) -> None:
    with pytest.raises(InvalidAmount):
        Money(value, "EUR")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "minor", [MINOR_MAX + 1, -MINOR_MAX - 1, 10**30, 1 << 20_000], ids=int.bit_length
)
def test_an_amount_that_json_would_bend_is_refused(minor: int) -> None:
    with pytest.raises(InvalidAmount, match=r"at most 9,007,199,254,740,991 minor units in size$"):
        Money(minor, "EUR")


@pytest.mark.parametrize("code", ["", "eur", "EURO", "XXX", "XAU", "DEM", "XBT", "EUR ", None, 978])
def test_unknown_currencies_are_refused(code: object) -> None:
    with pytest.raises(UnsupportedCurrency):
        Money(1, code)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedCurrency):
        Money.parse("1", code)  # type: ignore[arg-type]


def test_a_list_is_no_currency() -> None:
    with pytest.raises(UnsupportedCurrency):
        money.exponent_of(["EUR"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Money(123456, "EUR"), "1,234.56 EUR"),
        (Money(-5, "EUR"), "-0.05 EUR"),
        (Money(1234, "JPY"), "1,234 JPY"),
        (Money(1234, "KWD"), "1.234 KWD"),
        (Money(0, "UYW"), "0.0000 UYW"),
        (Money(1, "ETH"), "0.000000001 ETH"),
    ],
)
def test_amounts_are_shown_with_all_their_digits(amount: Money, shown: str) -> None:
    assert str(amount) == shown


def test_arithmetic_is_exact_and_stays_in_its_currency() -> None:
    assert Money(10, "EUR") + Money(5, "EUR") == Money(15, "EUR")
    assert Money(10, "EUR") - Money(15, "EUR") == Money(-5, "EUR")
    assert Money(10, "EUR") * 3 == Money(30, "EUR")
    assert -Money(10, "EUR") == Money(-10, "EUR")
    assert money.total([Money(1, "EUR"), Money(2, "EUR")], "EUR") == Money(3, "EUR")
    assert money.total([], "EUR") == Money(0, "EUR")
    assert sorted([Money(2, "EUR"), Money(1, "EUR")]) == [Money(1, "EUR"), Money(2, "EUR")]
    assert Money(1, "EUR") <= Money(1, "EUR") >= Money(1, "EUR")
    assert Money(2, "EUR") > Money(1, "EUR")
    assert Money(1, "EUR") != Money(1, "USD")


def test_currencies_do_not_mix() -> None:
    one, other = Money(1, "EUR"), Money(1, "USD")
    for mix in (one.__add__, one.__sub__, one.__lt__, one.__le__, one.__gt__, one.__ge__):
        with pytest.raises(CurrencyMismatch):
            mix(other)
    with pytest.raises(CurrencyMismatch):
        money.total([other], "EUR")


@pytest.mark.parametrize("factor", [1.5, True, "2", Decimal(2)])
def test_money_is_multiplied_by_whole_numbers_only(factor: object) -> None:
    with pytest.raises(InvalidAmount):
        Money(1, "EUR") * factor  # type: ignore[operator]


def test_a_sum_beyond_the_limit_is_refused() -> None:
    with pytest.raises(InvalidAmount):
        Money(MINOR_MAX, "EUR") + Money(1, "EUR")


weights_of = st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=20).filter(
    lambda weights: sum(weights) > 0
)


@given(st.integers(min_value=-MINOR_MAX, max_value=MINOR_MAX), weights_of)
def test_shares_lose_no_unit_and_are_in_proportion(amount: int, weights: list[int]) -> None:
    shares = money.allocate(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(amount * weight, sum(weights))) < 1
        assert weight > 0 or share == 0


@given(st.integers(min_value=0, max_value=MINOR_MAX), weights_of)
def test_a_negative_amount_is_shared_as_its_counterpart(amount: int, weights: list[int]) -> None:
    assert money.allocate(-amount, weights) == [-share for share in money.allocate(amount, weights)]


@pytest.mark.parametrize(
    ("amount", "weights", "shares"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (5, [3, 7], [2, 3]),
        (1, [1, 1], [1, 0]),
        (0, [1, 2], [0, 0]),
        (7, [0, 1], [0, 7]),
    ],
)
def test_remainders_go_to_the_largest_then_the_earliest(
    amount: int, weights: list[int], shares: list[int]
) -> None:
    assert money.allocate(amount, weights) == shares


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [-1, 2], [1, -1]])
def test_impossible_weights_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights must not be negative"):
        money.allocate(100, weights)


def test_its_errors_are_the_callers_fault() -> None:
    assert issubclass(InvalidAmount, errors.ValidationError)
    assert issubclass(UnsupportedCurrency, errors.ValidationError)
    assert issubclass(CurrencyMismatch, errors.Invalid)
