"""Quotes by `bursar.pricing`."""

from __future__ import annotations

import json
import sys
import time
from datetime import date

from benchmarks import pricing
from bursar.pricing import calculator, rules
from bursar.pricing.baskets import Basket, Line

DAY = date(2026, 11, 24)


def main(count: int, lines: int) -> None:
    text = '[[discounts]]\nname = "Sale"\npercent = "10"\n'
    pricing_rules = rules.parse(text, name="rules")
    rows = pricing.basket(lines)
    began = time.perf_counter()
    for _ in range(count):
        priced_basket = Basket(
            currency="EUR",
            lines=tuple(
                Line(sku="a", unit_price=price, quantity=units, tax_rate=rate)
                for price, units, rate in rows
            ),
        )
        quote = calculator.price(priced_basket, day=DAY, rules=pricing_rules)
    wall = time.perf_counter() - began
    total = f"{quote.total.amount} {quote.tax.amount}"
    print(json.dumps({"wall": wall, "orders": count, "total": total}))


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    main(task["orders"], task["lines"])
