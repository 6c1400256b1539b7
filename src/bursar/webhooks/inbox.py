"""
Webhook inbox: verify and store events, respond after the commit, process them in a job.

Nothing is stored before the signature over the raw body is verified. An event delivered twice is
stored once. The job translates it to facts, so that a delivery costs one insert.

An event of another account at the provider is stored and marked as ignored with the reason: if it
were rejected, the provider would deliver it again for days and nobody would see why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from bursar import clock, errors, fields, group_commit, ids, logs, sql
from bursar.payments import facts, provider_accounts, status_checks
from bursar.payments.models import RawBody
from bursar.providers import capabilities
from bursar.providers.capabilities import SupportsWebhookParsing, SupportsWebhookVerification
from bursar.queue import jobs
from bursar.webhooks.models import WebhookEvent

INSERT_EVENT = (
    "INSERT INTO bursar_webhookevent (provider_account_id, event_id, event_type, raw, received_at, "
    "processed_at, ignored) VALUES (%s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (provider_account_id, event_id) DO NOTHING"
)
#: For an ignored event that belongs to our account by the current configuration.
REOPEN_IGNORED = (
    "UPDATE bursar_webhookevent SET raw = %s, received_at = %s, processed_at = NULL, ignored = '' "
    "WHERE provider_account_id = %s AND event_id = %s AND ignored <> ''"
)
INSERT_BODY = "INSERT INTO bursar_rawbody (id, body, received_at) VALUES (%s, %s, %s)"

#: Name of the job that processes an event.
JOB = "process_webhook"
BODY_BYTES_MAX = 1_000_000
#: Length to which the name of another account is cut.
ACCOUNT_LETTERS_MAX = 120

log = logs.get(__name__)


class WebhooksNotSupported(errors.NotFound):
    """The provider of the account does not support webhooks."""

    code = "webhooks_not_supported"


def verify(
    *, provider_account: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> capabilities.VerifiedWebhook:
    """
    Verify the signature of a delivery; nothing is stored.

    :raises interface.InvalidSignature: if it was not signed with our secret within the tolerance;
    :raises WebhooksNotSupported: if the provider does not support webhooks;
    :raises errors.ContentTooLarge: if the body has more than 1 MB.
    """
    if len(body) > BODY_BYTES_MAX:
        raise errors.ContentTooLarge(
            f"the body has {len(body):,} bytes; the limit is {BODY_BYTES_MAX:,}"
        )
    provider = provider_accounts.get(provider_account)
    if not isinstance(provider, SupportsWebhookVerification):
        raise WebhooksNotSupported(f"provider account {provider_account} does not support webhooks")
    return provider.verify_webhook(headers, body, now=now)


def receive(
    *,
    provider_account: str,
    event: capabilities.VerifiedWebhook,
    body: bytes,
    raw_id: str,
    now: datetime,
) -> bool:
    """
    Store a verified event and enqueue its processing, unless it is to be ignored.

    Returns False for a duplicate. An ignored event that is delivered again is processed if it is
    no longer to be ignored, because the account's own id has been configured since. Needs an open
    transaction; respond to the provider only after its commit.
    """
    group_commit.require_transaction()
    received = fields.to_db_datetime(now)
    ignored = _reason_to_ignore(event)
    row: list[fields.Parameter] = [provider_account, event.event_id, event.type, raw_id, received]
    is_new = sql.run(INSERT_EVENT, [*row, received if ignored else None, ignored]) == 1
    if not is_new and (ignored or not _reopen_ignored(event, provider_account, raw_id, received)):
        return False
    sql.run(INSERT_BODY, [raw_id, body, received])
    if ignored:
        log.warning(
            "webhook_ignored",
            provider_account=provider_account,
            event_id=event.event_id,
            event_type=event.type,
            reason=ignored,
        )
        return True
    payload = {"provider_account": provider_account, "event_id": event.event_id}
    jobs.enqueue(JOB, payload, now=now)
    return True


def _reopen_ignored(
    event: capabilities.VerifiedWebhook, account: str, raw_id: str, received: fields.Parameter
) -> bool:
    return sql.run(REOPEN_IGNORED, [raw_id, received, account, event.event_id]) == 1


def _reason_to_ignore(event: capabilities.VerifiedWebhook) -> str:
    if not event.foreign_account:
        return ""
    # PostgreSQL cannot store NUL, and no database stores a lone surrogate.
    letters = event.foreign_account[:ACCOUNT_LETTERS_MAX]
    named = "".join(letter if letter.isprintable() else "?" for letter in letters)
    return f"of another account: {named}"


def receive_sync(*, provider_account: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Verify, store and commit one delivery; blocks. Returns False for a duplicate."""
    now = clock.now()
    event = verify(provider_account=provider_account, headers=headers, body=body, now=now)
    raw_id = ids.new(ids.BODY)
    return group_commit.commits.run_blocking(
        lambda: receive(
            provider_account=provider_account, event=event, body=body, raw_id=raw_id, now=now
        )
    )


async def process(lease: jobs.Lease) -> Callable[[], None]:
    """Job `process_webhook`: translate a stored event to facts and record them."""
    account, event_id = lease.payload["provider_account"], lease.payload["event_id"]
    return lambda: _process(account, event_id, clock.now())


def _process(provider_account: str, event_id: str, now: datetime) -> None:
    event = WebhookEvent.objects.get(provider_account_id=provider_account, event_id=event_id)
    body = RawBody.objects.filter(id=event.raw).values_list("body", flat=True).first()
    provider = provider_accounts.get(provider_account)
    if body is None or not isinstance(provider, SupportsWebhookParsing):
        raise errors.NotFound(
            f"event {event_id} has no stored body, or its provider cannot parse it"
        )
    snapshots = list(provider.parse_webhook(bytes(body)))
    facts.append_facts(
        provider_account=provider_account,
        snapshots=snapshots,
        source="webhook",
        raw=event.raw,
        now=now,
    )
    for snapshot in status_checks.needs_refresh(provider_account, snapshots):
        status_checks.enqueue_refresh(provider_account, snapshot, now)
    WebhookEvent.objects.filter(pk=event.pk).update(processed_at=now)
