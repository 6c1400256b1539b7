"""GET over HTTP: one attempt, within limits, and the reason in plain words where it fails."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from bursar import errors
from bursar.dashboard.fetching.sources import FetchFailed, HttpSource
from bursar.http_client import (
    HttpClient,
    HttpFailure,
    HttpResponse,
    IsAddressAllowed,
    retry_after_seconds,
)

#: Statuses that another attempt may not meet.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
#: How long an idle connection waits for the next gathering, and how long a resolved name is believed:
#: names are resolved in a few threads, and hundreds at once would wait for each other.
KEPT_SECONDS, NAMES_KEPT_SECONDS = 75.0, 300
#: So many addresses are remembered as they were read.
URLS_MAX = 5_000


class HttpFetcher:
    """Open connections of one event loop; sources with different guards share none."""

    def __init__(self, *, now: Callable[[], Any]) -> None:
        self._now = now
        self._clients: dict[IsAddressAllowed | None, HttpClient] = {}
        # Addresses as the client reads them: reading each anew takes a tenth of a call's time.
        self._urls: dict[str, Any] = {}

    async def fetch(self, source: HttpSource[Any]) -> Any:
        """
        Send one GET and read its answer with `source.read`; the caller bounds the time.

        :raises NotAnswered: if there is none that counts.
        """
        client = self._clients.get(source.allows) or self._open(source.allows)
        try:
            response = await client.request(
                "GET",
                self._urls.get(source.url, source.url),
                headers=source.headers,
                body_bytes_max=source.body_bytes_max,
                body_statuses=(HTTPStatus.OK,),
            )
        except HttpFailure as failure:
            raise FetchFailed(
                str(failure), again=not failure.is_permanent, well=failure.is_answered
            ) from failure
        self._remember(source.url, response)
        if response.status != HTTPStatus.OK:
            raise self._refused(response)
        try:
            return source.read(response.body)
        except errors.BursarError as error:
            raise FetchFailed(error.message, again=False, well=True) from error
        except Exception as error:
            raise FetchFailed(
                f"its answer could not be read ({type(error).__name__})", again=False, well=True
            ) from error

    def _remember(self, url: str, response: HttpResponse) -> None:
        # What the client takes out of an address, a fragment or a password, is wanted next time too.
        if url not in self._urls and "#" not in url and "@" not in url:
            if len(self._urls) >= URLS_MAX:
                self._urls.clear()
            self._urls[url] = response.url

    def _open(self, allows: IsAddressAllowed | None) -> HttpClient:
        client = self._clients[allows] = HttpClient(
            is_address_allowed=allows,
            keepalive_seconds=KEPT_SECONDS,
            dns_seconds=NAMES_KEPT_SECONDS,
        )
        return client

    def _refused(self, response: HttpResponse) -> FetchFailed:
        status = response.status
        if 300 <= status < 400:
            return FetchFailed(
                f"it redirects ({status}), which is not followed", again=False, well=True
            )
        return FetchFailed(
            f"it answered {status}",
            again=status in PASSING,
            well=status not in PASSING,
            after_seconds=retry_after_seconds(response.headers.get("Retry-After", ""), self._now()),
        )

    async def close(self) -> None:
        """Close all connections."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.close()
