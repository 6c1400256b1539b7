"""Provider accounts, read-only; they are created on the command line, next to their secrets."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from bursar.access import roles
from bursar.api import responses, schemas, serializers
from bursar.api.openapi import operation
from bursar.api.routes.parameters import Id, IfNoneMatch, StrictRoute
from bursar.db_reader import readers
from bursar.payments import provider_accounts
from bursar.payments.models import ProviderAccount

router = APIRouter(
    prefix="/v1/provider_accounts", tags=["provider accounts"], route_class=StrictRoute
)

#: Bounds the list, which has no pages.
ACCOUNTS_MAX = 200


@router.get("", **operation(roles.ACCOUNTS_READ, schemas.ProviderAccountList))
async def list_accounts() -> Response:
    """List the provider accounts by name."""

    def read() -> bytes:
        rows = list(ProviderAccount.objects.order_by("name")[:ACCOUNTS_MAX])
        data = serializers.serialize_provider_accounts(rows)
        return responses.dump_json({"object": "list", "data": data, "next_cursor": None})

    return Response(await readers.run(read), media_type="application/json")


@router.get(
    "/{name}",
    **operation(
        roles.ACCOUNTS_READ,
        schemas.ProviderAccountResponse,
        provider_accounts.ProviderAccountNotFound,
    ),
)
async def read_account(request: Request, name: Id, _: IfNoneMatch = None) -> Response:
    """Read a provider account."""

    def find() -> ProviderAccount:
        account = ProviderAccount.objects.filter(name=name).first()
        if account is None:
            raise provider_accounts.ProviderAccountNotFound(f"provider account {name!r} not found")
        return account

    return await responses.retrieve(request, find, serializers.serialize_provider_accounts)
