"""Webhook endpoint of the providers: verify the signature, commit the event, then respond."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from bursar import clock, errors, group_commit, ids
from bursar.api import openapi, problem_details, responses, schemas
from bursar.api.routes.parameters import Id
from bursar.db_reader import readers
from bursar.payments import provider_accounts
from bursar.providers.interface import InvalidSignature
from bursar.webhooks import inbox

router = APIRouter(tags=["webhooks"])

_RAW_BODY = {
    "requestBody": {
        "description": "The webhook as the provider sends it, signed.",
        "required": True,
        "content": {
            "application/octet-stream": {
                "schema": {"type": "string"},
                "example": '{"id": "evt_1", "type": "charge.captured", "object": {"id": "ch_1"}}',
            }
        },
    }
}


@router.post(
    "/hooks/{provider_account}",
    response_model=None,
    responses={
        200: {"model": schemas.WebhookReceipt, "description": "The webhook is stored."},
        **openapi.error_responses(
            (
                problem_details.InvalidJson,
                InvalidSignature,
                inbox.WebhooksNotSupported,
                errors.ContentTooLarge,
                errors.ValidationError,
                errors.Unavailable,
            )
        ),
    },
    openapi_extra=_RAW_BODY | {"security": [], "x-required-scope": "the provider's signature"},
)
async def receive_webhook(request: Request, provider_account: Id) -> Response:
    """Receive a webhook; the provider authenticates by its signature over the raw body."""
    body, now, raw_id = await request.body(), clock.now(), ids.new(ids.BODY)
    if not provider_accounts.is_cached(provider_account):
        await readers.run(lambda: _load_account(provider_account))
    event = inbox.verify(
        provider_account=provider_account, headers=request.headers, body=body, now=now
    )
    is_new = await group_commit.commits.run(
        lambda: inbox.receive(
            provider_account=provider_account, event=event, body=body, raw_id=raw_id, now=now
        )
    )
    receipt = responses.dump_json({"received": True, "duplicate": not is_new})
    return Response(receipt, media_type="application/json")


def _load_account(name: str) -> None:
    try:
        provider_accounts.get(name)
    except provider_accounts.ProviderAccountNotFound:
        # The response does not reveal which accounts exist.
        raise inbox.WebhooksNotSupported("unknown webhook endpoint") from None
    except errors.Invalid as error:
        raise errors.Unavailable(
            "the provider account is misconfigured; deliver again later"
        ) from error
