"""Quotes as they are written by hand, with py-moneyed or plain Decimal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from benchmarks import pricing

Rows = Sequence[tuple[str, int, str]]
CENT = Decimal("0.01")


def rounded(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_EVEN)


def by_decimal(rows: Rows) -> tuple[Decimal, Decimal]:
    net_total, tax_total = Decimal(0), Decimal(0)
    by_rate: dict[str, Decimal] = {}
    for price, units, rate in rows:
        listed = rounded(Decimal(price) * units)
        net = listed - rounded(listed * 10 / 100)
        tax = rounded(net * Decimal(rate) / 100)
        by_rate[rate] = by_rate.get(rate, Decimal(0)) + tax
        net_total += net
        tax_total += tax
    return net_total + tax_total, tax_total


def with_moneyed() -> Callable[[Rows], tuple[Decimal, Decimal]]:
    from moneyed import EUR, Money

    def priced(rows: Rows) -> tuple[Decimal, Decimal]:
        net_total, tax_total = Money(0, EUR), Money(0, EUR)
        by_rate: dict[str, Money] = {}
        for price, units, rate in rows:
            listed = Money(rounded((Money(price, EUR) * units).amount), EUR)
            net = listed - Money(rounded((listed * 10 / 100).amount), EUR)
            tax = Money(rounded((net * Decimal(rate) / 100).amount), EUR)
            by_rate[rate] = by_rate.get(rate, Money(0, EUR)) + tax
            net_total += net
            tax_total += tax
        return (net_total + tax_total).amount, tax_total.amount

    return priced


def main(count: int, lines: int, peer: str) -> None:
    priced = with_moneyed() if peer == "moneyed" else by_decimal
    rows = pricing.basket(lines)
    began = time.perf_counter()
    for _ in range(count):
        total, tax = priced(rows)
    wall = time.perf_counter() - began
    print(json.dumps({"wall": wall, "orders": count, "total": f"{total} {tax}"}))


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    main(task["orders"], task["lines"], task["with"])
