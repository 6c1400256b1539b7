"""One HTTP GET within limits; failures carry a reason that can be shown to users."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from bursar import errors
from bursar.dashboard.fetching.sources import HttpSource, SourceUnavailable
from bursar.http_client import (
    HttpClient,
    HttpFailure,
    HttpResponse,
    IsAddressAllowed,
    retry_after_seconds,
)

#: Statuses that are retried.
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
#: The idle time of connections, and the lifetime of resolved host names: names are resolved in a few
#: threads, and hundreds at once would queue.
KEEPALIVE_SECONDS, DNS_CACHE_SECONDS = 75.0, 300
#: The number of parsed URLs that are cached.
URLS_MAX = 5_000


class HttpFetcher:
    """HTTP clients of one event loop, one for each address filter."""

    def __init__(self, *, now: Callable[[], Any]) -> None:
        self._now = now
        self._clients: dict[IsAddressAllowed | None, HttpClient] = {}
        # Parsed URLs: parsing takes a tenth of the time of a call.
        self._urls: dict[str, Any] = {}

    async def fetch(self, source: HttpSource[Any]) -> Any:
        """
        Send one GET and parse the response with `source.read`; the caller limits the time.

        :raises SourceUnavailable: if there is no usable response.
        """
        client = self._clients.get(source.is_address_allowed) or self._open(
            source.is_address_allowed
        )
        try:
            response = await client.request(
                "GET",
                self._urls.get(source.url, source.url),
                headers=source.headers,
                body_bytes_max=source.body_bytes_max,
                body_statuses=(HTTPStatus.OK,),
            )
        except HttpFailure as failure:
            raise SourceUnavailable(
                str(failure),
                is_retryable=not failure.is_permanent,
                has_host_responded=failure.is_answered,
            ) from failure
        self._cache_url(source.url, response)
        if response.status != HTTPStatus.OK:
            raise self._failure(response)
        try:
            return source.read(response.body)
        except errors.BursarError as error:
            raise SourceUnavailable(
                error.message, is_retryable=False, has_host_responded=True
            ) from error
        except Exception as error:
            raise SourceUnavailable(
                f"invalid response ({type(error).__name__})",
                is_retryable=False,
                has_host_responded=True,
            ) from error

    def _cache_url(self, url: str, response: HttpResponse) -> None:
        # The client drops fragments and credentials from a parsed URL, so those are not cached.
        if url not in self._urls and "#" not in url and "@" not in url:
            if len(self._urls) >= URLS_MAX:
                self._urls.clear()
            self._urls[url] = response.url

    def _open(self, is_address_allowed: IsAddressAllowed | None) -> HttpClient:
        client = self._clients[is_address_allowed] = HttpClient(
            is_address_allowed=is_address_allowed,
            keepalive_seconds=KEEPALIVE_SECONDS,
            dns_seconds=DNS_CACHE_SECONDS,
        )
        return client

    def _failure(self, response: HttpResponse) -> SourceUnavailable:
        status = response.status
        if 300 <= status < 400:
            return SourceUnavailable(
                f"HTTP {status}: redirects are not followed",
                is_retryable=False,
                has_host_responded=True,
            )
        return SourceUnavailable(
            f"HTTP {status}",
            is_retryable=status in RETRYABLE_STATUSES,
            has_host_responded=status not in RETRYABLE_STATUSES,
            after_seconds=retry_after_seconds(response.headers.get("Retry-After", ""), self._now()),
        )

    async def close(self) -> None:
        """Close all connections."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.close()
