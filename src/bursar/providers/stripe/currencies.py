"""
Stripe's smallest units of currencies, where they differ from ISO 4217's minor units.

Source: docs.stripe.com/currencies. Stripe has no decimals for MGA, which has fifths. It has two for
ISK and UGX, which have none, and accepts only whole units of both. Amounts in currencies with three
decimals must end in zero.
"""

from __future__ import annotations

from bursar import errors, money
from bursar.money import Money

#: Decimals at Stripe where they differ from ISO 4217.
EXPONENTS = {"ISK": 2, "MGA": 0, "UGX": 2}
#: Amounts in these currencies must be multiples of this number of Stripe's units.
MULTIPLES = {"ISK": 100, "UGX": 100, "BHD": 10, "JOD": 10, "KWD": 10, "OMR": 10, "TND": 10}
#: The currencies in which Stripe charges.
CURRENCIES = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD "
    "CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ "
    "GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR "
    "LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB "
    "PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD STN SZL THB "
    "TJS TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XCG XOF XPF YER ZAR "
    "ZMW".split()
)


class UnsupportedAmountOrCurrency(errors.Declined):
    """The provider does not support this amount or currency; nothing was sent."""

    code = "unsupported_amount_or_currency"
    status = None


def exponent_of(currency: str) -> int:
    """Return the number of decimals of *currency* at Stripe."""
    return EXPONENTS.get(currency, money.exponent_of(currency))


def to_stripe_amount(amount: Money) -> int:
    """
    Return *amount* in Stripe's units, exactly.

    :raises UnsupportedAmountOrCurrency: if Stripe does not support the currency or the amount.
    """
    currency = amount.currency
    if currency not in CURRENCIES:
        raise UnsupportedAmountOrCurrency(f"stripe: {currency} is not supported")
    shift = exponent_of(currency) - money.exponent_of(currency)
    # At least one of the two is 1.
    more, fewer = 10 ** max(shift, 0), 10 ** max(-shift, 0)
    units, rest = divmod(amount.amount_minor * int(more), int(fewer))
    step = MULTIPLES.get(currency, 1)
    if rest or units % step:
        raise UnsupportedAmountOrCurrency(
            f"stripe: {amount} cannot be represented exactly; round the amount"
        )
    return units


def from_stripe_amount(units: int, currency: str) -> Money:
    """
    Return *units* of Stripe as money, exactly; *currency* may be in lower case.

    :raises errors.ValidationError: if they are not a whole number of ISO 4217's minor units.
    """
    code = currency.upper()
    shift = money.exponent_of(code) - exponent_of(code)
    minor, rest = divmod(units * int(10 ** max(shift, 0)), int(10 ** max(-shift, 0)))
    if rest:
        raise money.InvalidAmount(
            f"{units} of Stripe's units are not a whole number of minor units of {code}",
            param="amount",
        )
    return Money(minor, code)
