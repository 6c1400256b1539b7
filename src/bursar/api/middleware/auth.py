"""Who calls the public API, what a route demands of them, and how often they may call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

import limits
from fastapi import Depends
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers
from starlette.types import Scope

from bursar import clock, errors, group_commit, settings
from bursar.access import api_keys
from bursar.api import problem_details
from bursar.db_reader import readers
from bursar.decorators import (
    Principal,
    Unauthenticated,
    bearer_token,
    cache,
    cache_of,
    require_auth,
)

#: A key that was revoked elsewhere may work for so long: it spares a query on every call.
KEY_CACHE_SECONDS: Final = 2.0
#: Calls without a valid key that one address may make in a minute.
UNAUTHENTICATED_PER_MINUTE: Final = 60


def new_limiter() -> FixedWindowRateLimiter:
    """Counts of this process, from zero."""
    return FixedWindowRateLimiter(MemoryStorage())


_limiter = new_limiter()


@cache(maxsize=10_000, ttl_seconds=KEY_CACHE_SECONDS)
async def _find_by_token(token: str) -> Principal | None:
    now = clock.now()
    known = await readers.run(lambda: api_keys.authenticate(token, now=now))
    if known is None:
        return None
    if known.stale:
        key_id = known.principal.id
        await group_commit.commits.run(lambda: api_keys.record_use(key_id, now=now))
    return known.principal


def clear_key_cache() -> None:
    """Ask the database again for every key: one was made, changed or revoked here."""
    cache_of(_find_by_token).clear()


async def authenticate_api_key(scope: Scope, headers: Headers) -> Principal:
    """
    Whose API key a request carries.

    :raises Unauthenticated: if there is none, or it is unknown, ended, or of the other mode;
    :raises problem_details.TooManyRequests: if one address tries that too often.
    """
    try:
        principal = await _find_by_token(bearer_token(headers))
        if principal is None:
            mode = settings.current.mode
            raise Unauthenticated(f"this API key is not valid here; this is a {mode} installation")
    except Unauthenticated:
        address = (scope.get("client") or ("unknown",))[0]
        _hit(
            limits.RateLimitItemPerMinute(UNAUTHENTICATED_PER_MINUTE, namespace="address"), address
        )
        raise
    return principal


def check_rate_limit(principal: Principal) -> dict[str, str]:
    """
    Count a call; returns the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-10).

    :raises problem_details.TooManyRequests: if it is one too many.
    """
    most = settings.current.api_requests_per_minute
    return _hit(limits.RateLimitItemPerMinute(most, namespace="key"), principal.id)


def _hit(limit: limits.RateLimitItem, who: str) -> dict[str, str]:
    allowed = _limiter.hit(limit, who)
    resets_at, left = _limiter.get_window_stats(limit, who)
    seconds = max(1, round(resets_at - time.time()))
    if not allowed:
        raise problem_details.TooManyRequests(
            f"at most {limit.amount} requests a minute", after_seconds=seconds
        )
    return {
        "RateLimit-Policy": f'"default";q={limit.amount};w=60',
        "RateLimit": f'"default";r={left};t={seconds}',
    }


def query_texts(scope: Scope) -> Iterator[str]:
    """Every name and value of a request's query."""
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        yield name
        yield value


# --- What a route declares ----------------------------------------------------------------------


class RequireScope:
    """That a route needs a scope; the tests find it on every route."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

        @require_auth(scope)
        async def check() -> None:
            """The decorator does it."""

        vars(check)["needs"] = self
        self.check: Callable[[], Any] = check


def operation(
    scope: str,
    answer: type[Any],
    *refusals: type[errors.BursarError],
    status: int = 200,
    keyed: bool = False,
) -> dict[str, Any]:
    """
    The arguments of a route that only a caller with *scope* may call and that answers *answer*.

    *refusals* are what it may raise besides what every route may; a *keyed* one takes an
    `Idempotency-Key`.
    """
    declared = RequireScope(scope)
    told = {
        400: "invalid_json",
        401: "unauthenticated",
        403: "forbidden",
        422: "validation_error",
        429: "rate_limited",
        503: "unavailable",
    }
    for refusal in refusals:
        assert refusal.status is not None, f"{refusal.code} is not met over HTTP"
        told[refusal.status] = ", ".join(filter(None, [told.get(refusal.status), refusal.code]))
    responses: dict[int | str, dict[str, Any]] = {
        code: {
            "description": text,
            "content": {
                problem_details.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
        for code, text in sorted(told.items())
    }
    responses[status] = {"model": answer, "description": _summary(answer)}
    if keyed:
        responses[status]["headers"] = {
            "Idempotent-Replayed": {
                "description": "`true` where this is the answer to an earlier request",
                "schema": {"type": "string"},
            }
        }
    return {
        "dependencies": [Depends(declared.check)],
        "status_code": status,
        "response_model": None,
        "responses": responses,
        "openapi_extra": {"security": [{"apiKey": []}], "x-required-scope": scope},
    }


def _summary(shape: type[Any]) -> str:
    """The first line of a shape's docstring."""
    return (shape.__doc__ or "").strip().splitlines()[0]
