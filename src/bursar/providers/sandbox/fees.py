"""Terms of a sandbox account: fees, settlement currency, idempotency and faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType

from bursar import money
from bursar.providers.sandbox.fault_injection import Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeSchedule:
    """
    The fee is *fee_basis_points* (1/100 of a percent) of the captured amount plus
    *fee_fixed_minor*, in the currency of the balance. With a *settlement_currency*, charges in the
    currencies of *rates* (settlement units for one unit, as decimal text) are converted; each other
    currency has its own balance. Without *idempotency_keys* a repeated key is a new operation.
    """

    seed: int = 0
    idempotency_keys: bool = True
    fee_basis_points: int = 0
    fee_fixed_minor: int = 0
    settlement_currency: str = ""
    rates: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    faults: Faults = field(default_factory=Faults)

    def rate_of(self, currency: str) -> str:
        """Return the exchange rate of *currency* as decimal text; "" if it is not converted."""
        if currency == self.settlement_currency:
            return ""
        return self.rates.get(currency, "") if self.settlement_currency else ""

    def fee_minor(self, settled_minor: int) -> int:
        """Return the fee of *settled_minor* in the balance, in minor units, half rounded up."""
        if not settled_minor:
            return 0
        return (settled_minor * self.fee_basis_points + 5_000) // 10_000 + self.fee_fixed_minor


def convert(amount_minor: int, currency: str, rate: str, into: str) -> int:
    """Return *amount_minor* of *currency* in minor units of *into* at *rate*, half rounded up."""
    if not rate:
        return amount_minor
    shift = money.exponent_of(into) - money.exponent_of(currency)
    exact = (Decimal(amount_minor) * Decimal(rate)).scaleb(shift)
    return int(exact.to_integral_value(rounding=ROUND_HALF_UP))
