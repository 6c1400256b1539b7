"""
Job operations in the database: enqueue, claim, acknowledge, retry, dead-letter.

Times are arguments. With several workers they must come from one clock, `database_time`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from bursar import clock, fields, group_commit, sql
from bursar.queue.models import JobState

PRIORITY_NORMAL = 100

ENQUEUE = (
    "INSERT INTO bursar_job (name, payload, priority, state, run_at, attempts, unique_key, "
    "lease_token, leased_until, last_error, created_at) "
    "VALUES (%s, %s, %s, %s, %s, 0, %s, NULL, NULL, '', %s) "
    "ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND NOT (state = 'dead') DO NOTHING"
)
# MATERIALIZED, because PostgreSQL may run a sub-select once per joined row, and each run skips the
# rows that the previous one locked: more than LIMIT would be claimed.
# SKIP LOCKED is inserted on PostgreSQL only: SQLite has one writer.
CLAIM = (
    "WITH soonest AS MATERIALIZED (SELECT id FROM bursar_job WHERE state = 'ready' "
    "ORDER BY priority, id LIMIT %s{skip_locked}) "
    "UPDATE bursar_job SET state = 'leased', attempts = attempts + 1, lease_token = %s, "
    "leased_until = %s WHERE id IN (SELECT id FROM soonest) "
    "RETURNING id, name, payload, attempts, priority"
)
PROMOTE = "UPDATE bursar_job SET state = 'ready' WHERE state = 'delayed' AND run_at <= %s"
RECLAIM_EXPIRED = (
    "UPDATE bursar_job SET state = 'ready', lease_token = NULL, leased_until = NULL "
    "WHERE state = 'leased' AND leased_until <= %s"
)
ACK = "DELETE FROM bursar_job WHERE id = %s AND lease_token = %s"
RETRY = (
    "UPDATE bursar_job SET state = 'delayed', run_at = %s, last_error = %s, attempts = %s, "
    "lease_token = NULL, leased_until = NULL WHERE id = %s AND lease_token = %s"
)
DEAD_LETTER = (
    "UPDATE bursar_job SET state = 'dead', last_error = %s, lease_token = NULL, "
    "leased_until = NULL WHERE id = %s AND lease_token = %s"
)
RELEASE = (
    "UPDATE bursar_job SET state = 'ready', attempts = attempts - 1, lease_token = NULL, "
    "leased_until = NULL WHERE id = %s AND lease_token = %s"
)
EXTEND = "UPDATE bursar_job SET leased_until = %s WHERE id = %s AND lease_token = %s"
REDRIVE = (
    "UPDATE bursar_job SET state = 'ready', attempts = 0 WHERE id = %s AND state = 'dead' "
    "AND NOT EXISTS (SELECT 1 FROM bursar_job living WHERE living.unique_key IS NOT NULL "
    "AND NOT (living.state = 'dead') AND living.unique_key = bursar_job.unique_key)"
)
COUNT = "SELECT name, state, COUNT(*) FROM bursar_job GROUP BY name, state"

ERROR_LETTERS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Lease:
    """A job leased to this worker. *token* is the fencing token: only its holder may finish it."""

    job_id: int
    name: str
    payload: Mapping[str, Any]
    attempts: int
    priority: int
    token: str


def database_time() -> datetime:
    """Return the database's time, the clock that all workers share (on SQLite, this process's)."""
    if connection.vendor != "postgresql":
        return clock.now()
    [(current_time,)] = sql.rows("SELECT clock_timestamp()")
    assert isinstance(current_time, datetime)
    return current_time


def enqueue(
    name: str,
    payload: Mapping[str, Any],
    *,
    now: datetime,
    delay: timedelta = timedelta(0),
    priority: int = PRIORITY_NORMAL,
    unique_key: str | None = None,
) -> bool:
    """
    Add a job; it becomes visible when the caller's transaction commits.

    Returns False, and adds nothing, while a job that is not dead has the same *unique_key*. A
    lower *priority* runs first. Needs an open transaction.
    """
    group_commit.require_transaction()
    state = JobState.DELAYED if delay > timedelta(0) else JobState.READY
    run_at, created = fields.to_db_datetime(now + delay), fields.to_db_datetime(now)
    row: list[fields.Parameter] = [
        name,
        json.dumps(payload),
        priority,
        state.value,
        run_at,
        unique_key,
        created,
    ]
    return sql.run(ENQUEUE, row) == 1


def claim(*, count: int, token: str, lease: timedelta, now: datetime) -> list[Lease]:
    """
    Lease up to *count* ready jobs, by priority, then in the order they were enqueued.

    *token* must be unique to this claim. The attempt is counted on claiming, so that a job which
    kills its worker is not retried forever. Needs an open transaction.
    """
    group_commit.require_transaction()
    skip_locked = " FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    rows = sql.rows(
        CLAIM.format(skip_locked=skip_locked), [count, token, fields.to_db_datetime(now + lease)]
    )
    # RETURNING has no defined order.
    return [
        Lease(job_id, name, json.loads(payload), attempts, priority, token)
        for job_id, name, payload, attempts, priority in sorted(rows, key=lambda r: (r[4], r[0]))
    ]


def promote_due(*, now: datetime) -> int:
    """Make due delayed jobs and jobs with an expired lease ready. Returns their number."""
    group_commit.require_transaction()
    return sql.run(PROMOTE, [fields.to_db_datetime(now)]) + sql.run(
        RECLAIM_EXPIRED, [fields.to_db_datetime(now)]
    )


def ack(lease: Lease) -> bool:
    """Delete a finished job. Returns False if the lease was lost."""
    return _update_leased(ACK, [], lease)


def retry(lease: Lease, *, at: datetime, error: str, reset_attempts: bool = False) -> bool:
    """Delay a job until *at*; with *reset_attempts* its attempts count from zero again."""
    attempts = 0 if reset_attempts else lease.attempts
    return _update_leased(
        RETRY, [fields.to_db_datetime(at), error[:ERROR_LETTERS_MAX], attempts], lease
    )


def dead_letter(lease: Lease, *, error: str) -> bool:
    """Mark a job as dead, with the error."""
    return _update_leased(DEAD_LETTER, [error[:ERROR_LETTERS_MAX]], lease)


def release(lease: Lease) -> bool:
    """Release the lease of a job that was not started; it does not count as an attempt."""
    return _update_leased(RELEASE, [], lease)


def extend_lease(lease: Lease, *, until: datetime) -> bool:
    """Extend a lease until *until*. Returns False if it was lost."""
    return _update_leased(EXTEND, [fields.to_db_datetime(until)], lease)


def _update_leased(statement: str, values: Sequence[fields.Parameter], lease: Lease) -> bool:
    group_commit.require_transaction()
    return sql.run(statement, [*values, lease.job_id, lease.token]) == 1


def redrive(job_id: int) -> bool:
    """
    Make a dead job ready with its attempts reset.

    Returns False if it is not dead, or another job has its unique key.
    """
    group_commit.require_transaction()
    return sql.run(REDRIVE, [job_id]) == 1


def count_by_state() -> Counter[tuple[str, str]]:
    """Count jobs by (name, state)."""
    return Counter({(name, state): int(count) for name, state, count in sql.rows(COUNT)})
