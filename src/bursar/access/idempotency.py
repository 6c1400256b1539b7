"""
Idempotency keys (draft-ietf-httpapi-idempotency-key-header): the same request twice is one effect.

The answer is claimed, made and stored inside the effect's own transaction, so there is no moment
at which the effect is there and the answer is not. A second request with the key waits for that
commit and is answered with the same bytes. A refusal writes nothing, so it is decided anew.

A caller is a lineage of API keys: a key that was rotated between two requests changes nothing.
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
KEEP = (
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
    """An HTTP answer as it was given: *status*, *headers* of its own, and the bytes of *body*."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False


def caller_of(principal: Principal) -> str:
    """Whose idempotency keys those of *principal* are: the same before and after a rotation."""
    return principal.lineage or principal.id


def run_once(
    *, caller: str, key: str, fingerprint: str, now: datetime, make: Callable[[], StoredResponse]
) -> StoredResponse:
    """
    Make the answer to *key*, or return the one that was made.

    Needs an open transaction, which *make* shares. *fingerprint* names the request's content.

    :raises errors.IdempotencyKeyReused: if the key came with another request.
    """
    group_commit.require_transaction()
    if sql.run(CLAIM, [caller, key, fingerprint, b"", fields.to_db_datetime(now)]) == 0:
        return _replay(caller, key, fingerprint)
    answer = make()
    sql.run(KEEP, [answer.status, json.dumps(dict(answer.headers)), answer.body, caller, key])
    return answer


def find(*, caller: str, key: str) -> tuple[str, StoredResponse] | None:
    """Return the fingerprint of the request that came with *key*, and its answer."""
    row = sql.row(FIND, [caller, key])
    if row is None:
        return None
    fingerprint, status, headers, body = row
    return fingerprint, StoredResponse(
        status, bytes(body), fields.from_json(headers), replayed=True
    )


def _replay(caller: str, key: str, fingerprint: str) -> StoredResponse:
    stored = find(caller=caller, key=key)
    assert stored is not None, "the claim met a row"
    if stored[0] != fingerprint:
        raise errors.IdempotencyKeyReused(
            "this Idempotency-Key was used for another request", param="Idempotency-Key"
        )
    return stored[1]


def prune(*, now: datetime, rows_max: int) -> int:
    """Delete up to *rows_max* answers older than `RETENTION`, oldest first; returns how many."""
    expired = IdempotencyRecord.objects.filter(created_at__lt=now - RETENTION)
    return retention.delete_first(expired.order_by("created_at"), rows_max)
