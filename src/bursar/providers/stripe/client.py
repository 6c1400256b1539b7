"""How Stripe's API is asked: its version, its statuses, its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from bursar import errors
from bursar.providers import http_provider
from bursar.providers.stripe import schemas

#: The version whose shapes `wire` has; the official library of the tests has the same.
API_VERSION = "2026-10-28.endive"


class StripeClient(http_provider.HttpProvider):
    """Reads objects and lists; what changes something is `StripeBank`'s."""

    __slots__ = ()

    readable_statuses = frozenset({400, 402, 404, 409})
    unavailable_statuses = frozenset({429})  # a 503 of Stripe's may come after the fact

    def headers(self) -> dict[str, str]:
        """The key, and the version whose shapes we read."""
        return {**super().headers(), "Stripe-Version": API_VERSION}

    async def get(self, path: str, *, expand: str = "", **params: str) -> Any:
        """
        Ask for one object or page.

        :raises errors.NotFound: if there is none; :raises errors.OutcomeUnknown: if it is refused.
        """
        query = {**params, **({"expand[]": expand} if expand else {})}
        response = await self.call("GET", path, params=query)
        if response.status == 404:
            raise errors.NotFound(f"GET {path}: Stripe knows no such object")
        if not 200 <= response.status < 300:
            raise errors.OutcomeUnknown(f"GET {path} was refused with {response.status}")
        return response.body

    async def pages(self, path: str, *, expand: str = "", **params: str) -> AsyncIterator[Any]:
        """Every object of a list or search, page by page."""
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
