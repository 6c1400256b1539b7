"""What the user of the second and third column does: press again where it still failed."""

from __future__ import annotations

import json
from collections.abc import Callable


def ask_all(get: Callable[[int], int], calls: int, errors: type[Exception]) -> tuple[int, int]:
    """Get all amounts; returns their sum, and how often a user saw a failure at first."""
    total, seen, left = 0, 0, list(range(calls))
    while left:
        failed = []
        for number in left:
            try:
                total += get(number)
            except errors:
                failed.append(number)
        seen = seen or len(failed)
        left = failed
    return total, seen


def tell(total: int, seen: int, calls: int, sent: int) -> None:
    """Print the program's result."""
    figures = {"failures seen, %": 100 * seen / calls, "calls sent": sent}
    print(json.dumps({"answer": total, "figures": figures}))
