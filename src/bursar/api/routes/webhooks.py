"""Where providers deliver: the signature first, one grouped commit, and only then an answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from bursar import clock, errors, group_commit, ids
from bursar.api import problem_details, responses, schemas
from bursar.api.routes.parameters import Id
from bursar.db_reader import readers
from bursar.payments import provider_accounts
from bursar.providers.interface import InvalidSignature
from bursar.webhooks import inbox

router = APIRouter(tags=["hooks"])

_PROBLEM: dict[str, Any] = {
    "content": {problem_details.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
}
_RAW = {"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}}


@router.post(
    "/hooks/{provider_account}",
    response_model=None,
    responses={
        200: {"model": schemas.WebhookReceipt, "description": "It is kept."},
        400: {"description": "invalid_json", **_PROBLEM},
        401: {"description": InvalidSignature.code, **_PROBLEM},
        404: {"description": inbox.WebhooksNotSupported.code, **_PROBLEM},
        413: {"description": errors.ContentTooLarge.code, **_PROBLEM},
        422: {"description": "validation_error", **_PROBLEM},
        503: {"description": "unavailable: deliver again", **_PROBLEM},
    },
    openapi_extra=_RAW | {"security": [], "x-required-scope": "the provider's signature"},
)
async def receive_webhook(request: Request, provider_account: Id) -> Response:
    """Take a delivery of a provider, who proves it by its signature over the raw bytes."""
    body, now, raw_id = await request.body(), clock.now(), ids.new(ids.BODY)
    if not provider_accounts.is_cached(provider_account):
        await readers.run(lambda: _make(provider_account))
    event = inbox.verify(
        provider_account=provider_account, headers=request.headers, body=body, now=now
    )
    new = await group_commit.commits.run(
        lambda: inbox.receive(
            provider_account=provider_account, event=event, body=body, raw_id=raw_id, now=now
        )
    )
    told = responses.dump_json({"received": True, "duplicate": not new})
    return Response(told, media_type="application/json")


def _make(name: str) -> None:
    try:
        provider_accounts.get(name)
    except provider_accounts.UnknownAccount:
        # Nobody learns from outside which accounts there are.
        raise inbox.WebhooksNotSupported("no webhooks are taken here") from None
    except errors.Invalid as error:
        raise errors.Unavailable("this provider account cannot be used now") from error
