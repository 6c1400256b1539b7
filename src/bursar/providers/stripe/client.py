"""HTTP client of Stripe's API: version, status codes, pagination."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from bursar import errors
from bursar.providers import http_provider
from bursar.providers.stripe import schemas

#: The API version of `schemas`; the official library used in tests has the same.
API_VERSION = "2026-10-28.endive"


class StripeClient(http_provider.HttpProvider):
    """Reads objects and lists; `StripeBase` has the operations."""

    __slots__ = ()

    readable_statuses = frozenset({400, 402, 404, 409})
    unavailable_statuses = frozenset({429})  # Stripe may return 503 after it carried out a request

    def headers(self) -> dict[str, str]:
        """Return the API key and the API version."""
        return {**super().headers(), "Stripe-Version": API_VERSION}

    async def get(self, path: str, *, expand: str = "", **params: str) -> Any:
        """
        Fetch one object or page.

        :raises errors.NotFound: if it does not exist.
        :raises errors.OutcomeUnknown: if the request is rejected.
        """
        query = {**params, **({"expand[]": expand} if expand else {})}
        response = await self.call("GET", path, params=query)
        if response.status == 404:
            raise errors.NotFound(f"stripe: GET {path}: no such object")
        if not 200 <= response.status < 300:
            raise errors.OutcomeUnknown(f"stripe: GET {path} was rejected with {response.status}")
        return response.body

    async def pages(self, path: str, *, expand: str = "", **params: str) -> AsyncIterator[Any]:
        """Iterate over the objects of a list or search, page by page."""
        query = {**params, "limit": "100"}
        while True:
            body = await self.get(path, expand=f"data.{expand}" if expand else "", **query)
            page = http_provider.decode(body, schemas.StripeList, "the list")
            for one in page.data:
                yield one
            if not page.has_more or not page.data:
                return
            cursor = (
                {"page": body["next_page"]}
                if body.get("next_page")
                else {"starting_after": page.data[-1]["id"]}
            )
            query.update(cursor)
