"""
Stripe's units of each currency, which are not always ISO 4217's minor units.

Source: docs.stripe.com/currencies. Stripe has no units for MGA's fifths; it counts ISK and UGX in
hundredths although they have none, and takes whole crowns and shillings only; three-decimal
amounts must end in zero.
"""

from __future__ import annotations

from bursar import errors, money
from bursar.money import Money

#: Digits of Stripe's unit where they differ from ISO 4217.
EXPONENTS = {"ISK": 2, "MGA": 0, "UGX": 2}
#: Amounts in these must be multiples of so many of Stripe's units.
MULTIPLES = {"ISK": 100, "UGX": 100, "BHD": 10, "JOD": 10, "KWD": 10, "OMR": 10, "TND": 10}
#: What Stripe charges in.
CURRENCIES = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD "
    "CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ "
    "GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR "
    "LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB "
    "PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD STN SZL THB "
    "TJS TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XCG XOF XPF YER ZAR "
    "ZMW".split()
)


class UnsupportedAmount(errors.Declined):
    """The provider cannot move this amount in this currency; nothing was sent."""

    code = "unsupported_amount_or_currency"
    status = None


def exponent_of(currency: str) -> int:
    """Digits of Stripe's unit of *currency*."""
    return EXPONENTS.get(currency, money.exponent_of(currency))


def to_stripe_amount(amount: Money) -> int:
    """
    *amount* in Stripe's units, exact.

    :raises NotChargeable: if Stripe does not take the currency, or not this amount of it.
    """
    currency = amount.currency
    if currency not in CURRENCIES:
        raise UnsupportedAmount(f"Stripe takes no {currency}")
    shift = exponent_of(currency) - money.exponent_of(currency)
    # At most one of the two is not 1.
    more, fewer = 10 ** max(shift, 0), 10 ** max(-shift, 0)
    units, rest = divmod(amount.amount_minor * int(more), int(fewer))
    step = MULTIPLES.get(currency, 1)
    if rest or units % step:
        raise UnsupportedAmount(f"Stripe cannot move {amount} to the last digit")
    return units


def from_stripe_amount(units: int, currency: str) -> Money:
    """
    Stripe's *units* of a currency in lower case as money, exact.

    :raises errors.ValidationError: if they are no whole number of ISO 4217's minor units.
    """
    code = currency.upper()
    shift = money.exponent_of(code) - exponent_of(code)
    minor, rest = divmod(units * int(10 ** max(shift, 0)), int(10 ** max(-shift, 0)))
    if rest:
        raise money.BadAmount(f"{units} units of {code} are no whole minor unit", param="amount")
    return Money(minor, code)
