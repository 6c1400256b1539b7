"""Who sends a request: by API key or, at the dashboard, by a session of the back office."""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from bursar import settings
from bursar.access import users
from bursar.api.middleware import auth
from bursar.db_reader import readers
from bursar.decorators import Principal, cache

#: The page and, below the second, what it asks for; nothing there changes anything.
DASHBOARD_PATH: Final = "/dashboard"
DASHBOARD_API_PREFIX: Final = "/v1/dashboard"
_SESSION: Final = re.compile("[a-z0-9]{32}")


@cache(maxsize=1_000, ttl_seconds=auth.KEY_CACHE_SECONDS)
async def _find_by_session(session_key: str) -> Principal | None:
    return await readers.run(lambda: users.of_session(session_key))


async def authenticate(scope: Scope, headers: Headers) -> Principal | None:
    """
    Who asks for a path where that matters; None where it does not, and for strangers at `PAGE`.

    :raises Unauthenticated: as `auth.authenticate_api_key` does; :raises problem_details.TooManyRequests: also.
    """
    path = scope["path"]
    if path == DASHBOARD_PATH or (
        path.startswith(DASHBOARD_API_PREFIX) and "authorization" not in headers
    ):
        visitor = await _of_session(headers)
        if visitor is not None or path == DASHBOARD_PATH:
            return visitor
    if path.startswith("/v1/") or path == "/metrics":
        return await auth.authenticate_api_key(scope, headers)
    return None


async def _of_session(headers: Headers) -> Principal | None:
    cookies = cookie_parser(headers.get("cookie", ""))
    session_key = cookies.get(settings.SESSION_COOKIE_NAME, "")
    return await _find_by_session(session_key) if _SESSION.fullmatch(session_key) else None
