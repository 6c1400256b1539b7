"""Rate limits of this process: requests per minute of a principal, and failed logins of an address."""

from __future__ import annotations

import time
from typing import Final

import limits
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from bursar import settings
from bursar.api import problem_details
from bursar.decorators import Principal

#: Requests without valid credentials that one address may make in a minute.
UNAUTHENTICATED_PER_MINUTE: Final = 60


def new_limiter() -> FixedWindowRateLimiter:
    """Create a limiter whose counts start at zero; they are kept in memory."""
    return FixedWindowRateLimiter(MemoryStorage())


_limiter = new_limiter()


def check_principal(principal: Principal) -> dict[str, str]:
    """
    Count a request; return the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-10).

    :raises problem_details.RateLimited: if the principal exceeds the limit.
    """
    requests_max = settings.current.api_rate_limit
    return _count(limits.RateLimitItemPerMinute(requests_max, namespace="key"), principal.id)


def check_address(address: str) -> None:
    """
    Count a request without valid credentials from *address*.

    :raises problem_details.RateLimited: if the address exceeds the limit.
    """
    _count(limits.RateLimitItemPerMinute(UNAUTHENTICATED_PER_MINUTE, namespace="address"), address)


def _count(limit: limits.RateLimitItem, client: str) -> dict[str, str]:
    is_allowed = _limiter.hit(limit, client)
    resets_at, remaining = _limiter.get_window_stats(limit, client)
    seconds = max(1, round(resets_at - time.time()))
    if not is_allowed:
        raise problem_details.RateLimited(
            f"rate limit exceeded: at most {limit.amount} requests per minute",
            after_seconds=seconds,
        )
    return {
        "RateLimit-Policy": f'"default";q={limit.amount};w=60',
        "RateLimit": f'"default";r={remaining};t={seconds}',
    }
