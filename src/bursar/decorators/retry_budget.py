"""Retry budgets: no retries while most calls of a dependency fail."""

from __future__ import annotations

import math
import threading
from typing import Final

#: Greatest number of budgets; more dependency names are a programming error.
BUDGETS_MAX: Final = 1_000


class RetryBudget:
    """
    A token bucket for retries (retry throttling of gRPC, gRFC A6); thread-safe.

    It starts with *tokens_max*. A failed attempt removes one token, a successful call returns
    *token_ratio*; retries are allowed while more than half of the tokens remain. A dependency that
    fails always is retried at most tokens_max / 2 times in all; one whose failure rate stays above
    *token_ratio* is soon not retried at all.

    :raises ValueError: if a number is not positive, or *token_ratio* is above 1.
    """

    __slots__ = ("_lock", "token_ratio", "tokens", "tokens_max")

    def __init__(self, tokens_max: float = 100.0, token_ratio: float = 0.1) -> None:
        if not (0 < tokens_max < math.inf and 0 < token_ratio <= 1):
            raise ValueError("tokens_max must be above 0, token_ratio above 0 and at most 1")
        self.tokens_max = tokens_max
        self.token_ratio = token_ratio
        self.tokens = tokens_max
        self._lock = threading.Lock()

    def record_failure(self) -> bool:
        """Remove a token for a failed attempt; True if a retry is allowed."""
        with self._lock:
            self.tokens = max(self.tokens - 1, 0.0)
            return self.tokens > self.tokens_max / 2

    def record_success(self) -> None:
        """Return a part of a token for a successful call."""
        if self.tokens < self.tokens_max:  # the bucket is nearly always full: no lock is taken then
            with self._lock:
                self.tokens = min(self.tokens + self.token_ratio, self.tokens_max)


_budgets: dict[str, RetryBudget] = {}
_budgets_lock = threading.Lock()


def budget_of(dependency: str) -> RetryBudget:
    """
    Return the budget that all callers of *dependency* in this process share.

    :raises RuntimeError: at more than `BUDGETS_MAX` names.
    """
    budget = _budgets.get(dependency)
    if budget is None:
        with _budgets_lock:
            if len(_budgets) >= BUDGETS_MAX:
                raise RuntimeError(
                    f"more than {BUDGETS_MAX} retry budgets; the last dependency is {dependency!r}"
                )
            budget = _budgets.setdefault(dependency, RetryBudget())
    return budget
