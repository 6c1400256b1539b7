"""
Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a repeated request has one effect.

The key is claimed and the response stored in the transaction of the effect, so neither exists
without the other. A second request with the key waits for that commit and gets the same bytes. An
error writes nothing, so a retry after it runs again.

A caller is a lineage of API keys: rotating a key between two requests changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bursar import errors, fields, group_commit, retention, sql
from bursar.access.models import IdempotencyRecord
from bursar.decorators import Principal

CLAIM = (
    "INSERT INTO bursar_idempotencyrecord (caller, key, fingerprint, status, headers, body, "
    "created_at) VALUES (%s, %s, %s, 0, '{}', %s, %s) ON CONFLICT (caller, key) DO NOTHING"
)
STORE = (
    "UPDATE bursar_idempotencyrecord SET status = %s, headers = %s, body = %s "
    "WHERE caller = %s AND key = %s"
)
FIND = (
    "SELECT fingerprint, status, headers, body FROM bursar_idempotencyrecord "
    "WHERE caller = %s AND key = %s"
)

KEY_LETTERS_MAX = 200
RETENTION = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A stored HTTP response: *status*, its own *headers*, and the bytes of *body*."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False


def caller_of(principal: Principal) -> str:
    """Return the caller that owns *principal*'s idempotency keys: the same after a rotation."""
    return principal.lineage or principal.id


def run_once(
    *, caller: str, key: str, fingerprint: str, now: datetime, make: Callable[[], StoredResponse]
) -> StoredResponse:
    """
    Return the stored response to *key*, or call *make* and store its response.

    Needs an open transaction, which *make* shares. *fingerprint* is a digest of the request.

    :raises errors.IdempotencyKeyReused: if the key was used for a different request.
    """
    group_commit.require_transaction()
    if sql.run(CLAIM, [caller, key, fingerprint, b"", fields.to_db_datetime(now)]) == 0:
        return _replay(caller, key, fingerprint)
    response = make()
    sql.run(
        STORE, [response.status, json.dumps(dict(response.headers)), response.body, caller, key]
    )
    return response


def find(*, caller: str, key: str) -> tuple[str, StoredResponse] | None:
    """Return the fingerprint and the stored response of *key*; None without one."""
    row = sql.row(FIND, [caller, key])
    if row is None:
        return None
    fingerprint, status, headers, body = row
    return fingerprint, StoredResponse(
        status, bytes(body), fields.from_json(headers), replayed=True
    )


def _replay(caller: str, key: str, fingerprint: str) -> StoredResponse:
    stored = find(caller=caller, key=key)
    assert stored is not None, "the claim conflicted with a row"
    if stored[0] != fingerprint:
        raise errors.IdempotencyKeyReused(
            "this Idempotency-Key was used for a different request", param="Idempotency-Key"
        )
    return stored[1]


def prune(*, now: datetime, rows_max: int) -> int:
    """Delete up to *rows_max* records older than `RETENTION`, oldest first. Returns the number."""
    expired = IdempotencyRecord.objects.filter(created_at__lt=now - RETENTION)
    return retention.delete_first(expired.order_by("created_at"), rows_max)
