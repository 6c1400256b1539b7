"""
Decorators for any function, sync or async: retry, cache, require_auth, log_call.

Independent of Django and of Bursar's database. `decorator_order` has the order in which they stack.
"""

from __future__ import annotations

from bursar.decorators.authorization import (
    BearerTokens,
    Forbidden,
    Principal,
    Unauthenticated,
    acting_as,
    bearer_token,
    current_principal,
    require_auth,
)
from bursar.decorators.cache_decorator import all_cache_statistics, cache, cache_of
from bursar.decorators.cache_store import CacheStatistics
from bursar.decorators.call_logging import log_call
from bursar.decorators.retry_budget import RetryBudget
from bursar.decorators.retry_decorator import (
    ExponentialBackoff,
    RetryStatistics,
    all_retry_statistics,
    exponential,
    retry,
    retry_statistics,
)

__all__ = [
    "BearerTokens",
    "CacheStatistics",
    "ExponentialBackoff",
    "Forbidden",
    "Principal",
    "RetryBudget",
    "RetryStatistics",
    "Unauthenticated",
    "acting_as",
    "all_cache_statistics",
    "all_retry_statistics",
    "bearer_token",
    "cache",
    "cache_of",
    "current_principal",
    "exponential",
    "log_call",
    "require_auth",
    "retry",
    "retry_statistics",
]
