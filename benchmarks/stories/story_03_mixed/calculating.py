"""What takes a core: some arithmetic in plain Python on an API's value."""

from __future__ import annotations


def score(value: float, rounds: int) -> int:
    """Calculate for as long as *rounds* says."""
    total = int(value)
    for number in range(rounds):
        total = (total * 31 + number) % 1_000_003
    return total
