"""Authentication of requests: by API key or, for the dashboard, by a session of the back office."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from bursar import clock, group_commit, settings
from bursar.access import api_keys, users
from bursar.api.middleware import rate_limit
from bursar.db_reader import readers
from bursar.decorators import (
    Principal,
    Unauthenticated,
    bearer_token,
    cache,
    cache_of,
    require_auth,
)

#: For so long a key or session that another process revoked may still work; saves a query per request.
CACHE_SECONDS: Final = 2.0
#: The dashboard's page, and the prefix of its API, which a session may read too.
DASHBOARD_PATH: Final = "/dashboard"
DASHBOARD_API_PREFIX: Final = "/v1/dashboard"
_SESSION_KEY: Final = re.compile("[a-z0-9]{32}")


async def authenticate(scope: Scope, headers: Headers) -> Principal | None:
    """
    Return the principal of a request; None for paths that need none and visitors of `DASHBOARD_PATH`.

    :raises Unauthenticated: if the path needs valid credentials and the request has none;
    :raises problem_details.RateLimited: if its address fails too often.
    """
    path = scope["path"]
    if path == DASHBOARD_PATH or (
        path.startswith(DASHBOARD_API_PREFIX) and "authorization" not in headers
    ):
        principal = await _authenticate_session(headers)
        if principal is not None or path == DASHBOARD_PATH:
            return principal
    if path.startswith("/v1/") or path == "/metrics":
        return await authenticate_api_key(scope, headers)
    return None


async def authenticate_api_key(scope: Scope, headers: Headers) -> Principal:
    """
    Return the principal of the bearer token.

    :raises Unauthenticated: if there is none, or it is unknown, expired, revoked or of the other mode;
    :raises problem_details.RateLimited: if its address fails too often.
    """
    try:
        principal = await _find_by_token(bearer_token(headers))
        if principal is None:
            mode = settings.current.mode
            raise Unauthenticated(f"invalid API key; this installation is in {mode} mode")
    except Unauthenticated:
        rate_limit.check_address((scope.get("client") or ("unknown",))[0])
        raise
    return principal


@cache(maxsize=10_000, ttl_seconds=CACHE_SECONDS)
async def _find_by_token(token: str) -> Principal | None:
    now = clock.now()
    match = await readers.run(lambda: api_keys.authenticate(token, now=now))
    if match is None:
        return None
    if match.is_last_use_stale:
        key_id = match.principal.id
        await group_commit.commits.run(lambda: api_keys.record_use(key_id, now=now))
    return match.principal


def clear_key_cache() -> None:
    """Read every API key from the database again: one was created, changed or revoked here."""
    cache_of(_find_by_token).clear()


async def _authenticate_session(headers: Headers) -> Principal | None:
    cookies = cookie_parser(headers.get("cookie", ""))
    session_key = cookies.get(settings.SESSION_COOKIE_NAME, "")
    return await _find_by_session(session_key) if _SESSION_KEY.fullmatch(session_key) else None


@cache(maxsize=1_000, ttl_seconds=CACHE_SECONDS)
async def _find_by_session(session_key: str) -> Principal | None:
    return await readers.run(lambda: users.principal_of_session(session_key))


class RequireScope:
    """The scope that a route requires; `check` is its dependency, and tests find it on every route."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

        @require_auth(scope)
        async def check() -> None:
            """Return if the principal has the scope; `require_auth` raises otherwise."""

        vars(check)["needs"] = self
        self.check: Callable[[], Any] = check
