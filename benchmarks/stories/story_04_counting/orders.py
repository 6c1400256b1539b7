"""The orders that come: some of them twice."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence

STATES = ("captured", "declined", "pending", "refunded")


def arriving(task: Mapping[str, int]) -> Iterator[tuple[int, str, int]]:
    """Number, state and day of each, the same for all columns; one in ten comes again."""
    dice = random.Random(2026)
    for number in range(task["orders"]):
        order_number = number if dice.random() < 0.9 else number // 2
        yield order_number, STATES[order_number % 7 % 4], order_number % 28


def tell(
    counts: Mapping[str, int],
    groups: Mapping[tuple[str, int], Sequence[int] | int],
    seconds: float,
    count: int,
) -> None:
    """Print the result: orders by state, and the size of each group."""
    sizes = {
        f"{state} {day}": size if isinstance(size, int) else len(size)
        for (state, day), size in groups.items()
    }
    answer = [sorted(counts.items()), sum(sizes.values()), len(sizes), max(sizes.values())]
    print(json.dumps({"answer": answer, "figures": {"us an order": 1e6 * seconds / count}}))
