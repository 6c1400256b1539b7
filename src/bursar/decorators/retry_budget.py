"""Retry budgets: where most calls fail, repeating them only makes it worse."""

from __future__ import annotations

import math
import threading
from typing import Final

#: How many dependencies may have a budget; more names than that come from a mistake.
BUDGETS_MAX: Final = 1_000


class RetryBudget:
    """
    Tokens that failures take and successes slowly give back (retry throttling of gRFC A6).

    It begins with *tokens_max*. A failed attempt takes one token, a call that went well gives
    *token_ratio* back; calls are repeated only while more than half of the tokens are left. So a
    dead dependency is asked again at most tokens_max / 2 times in all, and one that fails more
    often than *token_ratio* of the time soon is not asked again at all. May be shared by threads.

    :raises ValueError: if a number is not positive, or *token_ratio* above 1.
    """

    __slots__ = ("_lock", "token_ratio", "tokens", "tokens_max")

    def __init__(self, tokens_max: float = 100.0, token_ratio: float = 0.1) -> None:
        if not (0 < tokens_max < math.inf and 0 < token_ratio <= 1):
            raise ValueError("tokens_max is above 0, token_ratio above 0 and at most 1")
        self.tokens_max = tokens_max
        self.token_ratio = token_ratio
        self.tokens = tokens_max
        self._lock = threading.Lock()

    def record_failure(self) -> bool:
        """Take a token for a failed attempt; True while repeating is allowed."""
        with self._lock:
            self.tokens = max(self.tokens - 1, 0.0)
            return self.tokens > self.tokens_max / 2

    def record_success(self) -> None:
        """Give a part of a token back for a call that went well."""
        if self.tokens < self.tokens_max:  # nearly always full: no lock for that
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
                raise RuntimeError(f"{BUDGETS_MAX} retry budgets are enough: {dependency!r}")
            budget = _budgets.setdefault(dependency, RetryBudget())
    return budget
