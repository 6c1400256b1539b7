"""
Money: a whole number of minor units and a currency, exact for every ISO 4217 exponent.

An amount is at most 2**53 - 1 minor units in size, which every JSON parser reads exactly. Floats
are never used. Digits beyond the currency's exponent are rejected, never rounded; only `pricing`
rounds, with a named mode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bursar import errors

#: Largest amount in minor units (RFC 8259 section 6: integers that are interoperable in JSON).
MINOR_MAX = 2**53 - 1

#: Active ISO 4217 currencies (table A.1 as of 2026-01) by the number of digits of the minor unit.
#: Not included because they are not used for payments: metals (XAG XAU XPD XPT), units of account
#: and test codes (XAD XBA XBB XBC XBD XDR XSU XTS XUA XXX), and funds codes other than the two
#: with four digits (BOV CHE CHW COU MXV USN UYI).
_ISO_4217 = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD "
        "CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
        "GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL "
        "MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN "
        "PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP "
        "SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

#: Assets other than ISO currencies, with their exponent in the ledger. It may be smaller than on
#: chain (ETH has 18 digits there), so that amounts stay below `MINOR_MAX`.
ASSETS = {"BTC": 8, "ETH": 9, "USDC": 6, "USDT": 6}

EXPONENTS: dict[str, int] = {
    code: exponent for exponent, codes in _ISO_4217.items() for code in codes.split()
} | ASSETS

# [0-9], not \d, which also matches digits of other scripts.
_DECIMAL = re.compile(r"(-?)([0-9]{1,40})(?:\.([0-9]{1,40}))?")


class UnsupportedCurrency(errors.ValidationError):
    """The code is neither an active ISO 4217 currency nor a known asset."""

    code = "unsupported_currency"


class InvalidAmount(errors.ValidationError):
    """The amount is not a plain decimal, has too many digits, or is out of range."""

    code = "invalid_amount"


class CurrencyMismatch(errors.ValidationError):
    """Two amounts of one operation have different currencies."""

    code = "currency_mismatch"


def exponent_of(currency: str) -> int:
    """
    Return the number of digits of the minor unit (ISO 4217: 0, 2, 3 or 4; assets: see `ASSETS`).

    :raises UnsupportedCurrency: if *currency* is not supported; codes are upper case.
    """
    try:
        return EXPONENTS[currency]
    except (KeyError, TypeError):
        raise UnsupportedCurrency(
            f"{_preview(currency)} is not an active ISO 4217 currency code or supported asset",
            param="currency",
        ) from None


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount of *amount_minor* minor units, at most 2**53 - 1 in size; may be negative."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.amount_minor) is not int:  # bool and float are not amounts
            raise InvalidAmount(
                f"an amount must be a whole number of minor units, not {self.amount_minor!r}",
                param="amount",
            )
        if not -MINOR_MAX <= self.amount_minor <= MINOR_MAX:
            raise InvalidAmount(
                f"an amount is at most {MINOR_MAX:,} minor units in size", param="amount"
            )
        exponent_of(self.currency)

    @classmethod
    def parse(cls, text: str, currency: str) -> Money:
        """
        Parse a plain decimal in major units, such as "12.30": ASCII digits and one point.

        Zeros beyond the currency's digits are rejected too: "1.000" EUR may mean a thousand.

        :raises InvalidAmount: for anything else, or for more digits than the currency has.
        """
        exponent = exponent_of(currency)
        try:
            match = _DECIMAL.fullmatch(text)
        except TypeError:  # not a string
            match = None
        if match is None:
            raise InvalidAmount(
                f"{_preview(text)} is not a plain decimal number such as 12.30", param="amount"
            )
        sign, integer_part, fraction = match[1], match[2], match[3] or ""
        if len(fraction) > exponent:
            raise InvalidAmount(
                f"{_preview(text)} has {len(fraction)} decimals; {currency} has {exponent}",
                param="amount",
            )
        return cls(int(sign + integer_part + fraction.ljust(exponent, "0")), currency)

    @property
    def amount(self) -> Decimal:
        """The amount in major units, exact."""
        return Decimal(self.amount_minor).scaleb(-exponent_of(self.currency))

    def __str__(self) -> str:
        return f"{self.amount:,f} {self.currency}"

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"cannot combine {self.currency} and {other.currency}")
        return other.amount_minor

    def __add__(self, other: Money) -> Money:
        return Money(self.amount_minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.amount_minor - self._same(other), self.currency)

    def __mul__(self, count: int) -> Money:
        if type(count) is not int:
            raise InvalidAmount(f"money can be multiplied only by whole numbers, not {count!r}")
        return Money(self.amount_minor * count, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount_minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.amount_minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.amount_minor <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.amount_minor > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.amount_minor >= self._same(other)


def total(amounts: Iterable[Money], currency: str) -> Money:
    """Return the sum of *amounts*, all in *currency*; zero if there are none."""
    return sum(amounts, Money(0, currency))


def allocate(amount_minor: int, weights: Sequence[int]) -> list[int]:
    """
    Allocate *amount_minor* in proportion to *weights* by largest remainder; shares add up exactly.

    Among equal remainders the earlier weight goes first, so the result is deterministic. A
    negative amount is allocated like its absolute value.

    :raises ValueError: if a weight is negative or all are zero.
    """
    total_weight = sum(weights)
    if total_weight <= 0 or min(weights) < 0:
        raise ValueError("weights must not be negative, and at least one must be positive")
    size = abs(amount_minor)
    shares = [size * weight // total_weight for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(size * weights[i] % total_weight))
    for i in by_remainder[: size - sum(shares)]:
        shares[i] += 1
    return shares if amount_minor >= 0 else [-share for share in shares]


def _preview(text: object) -> str:
    preview = repr(text[:40] if isinstance(text, str) else text)
    return preview if len(preview) <= 42 else preview[:39] + "..."
