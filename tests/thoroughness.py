"""
How much is tried: a quick run, which somebody waits for, or a thorough one, as CI makes it.

Thorough is where CI is set in the environment. Quick runs try fewer examples, and look at pages, and at
what becomes of money, on one database and not on both.
"""

from __future__ import annotations

import os

THOROUGH = "CI" in os.environ
#: What a quick run tries of a number of examples.
_QUICK_SHARE = 5


def examples(count: int) -> int:
    """Return how many of *count* examples are tried."""
    return count if THOROUGH else max(1, count // _QUICK_SHARE)
