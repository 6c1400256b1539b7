"""
Leader election by a lease: one process runs the checks, the others read its results.

The lease is a row and expires by the database's clock. States are written with sequence numbers that
are taken from the row under its token, in the same transaction, so a process that was suspended past
its lease writes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from bursar import errors, fields, group_commit, sql

LEASE_NAME: Final = "dashboard"
LEASE_DURATION: Final = timedelta(seconds=15)

ACQUIRE = (
    "INSERT INTO bursar_leaderlease (name, token, held_until, sequence) VALUES (%s, %s, %s, 0) "
    "ON CONFLICT (name) DO UPDATE SET token = excluded.token, held_until = excluded.held_until "
    "WHERE bursar_leaderlease.held_until <= %s OR bursar_leaderlease.token = excluded.token"
)
NEXT_SEQUENCE = (
    "UPDATE bursar_leaderlease SET sequence = sequence + %s, held_until = %s "
    "WHERE name = %s AND token = %s RETURNING sequence"
)
RELEASE = "UPDATE bursar_leaderlease SET held_until = %s WHERE name = %s AND token = %s"


class LeaderLeaseLost(errors.Conflict):
    """Another process holds the leader lease; the results of this process are discarded."""

    code = "leader_lease_lost"
    status = None


def acquire(*, token: str, now: datetime, force: bool = False) -> bool:
    """
    Acquire or renew the lease. Returns False while another process holds it.

    *token* identifies the process. With *force* a lease that has not expired is taken over: on
    SQLite there is no other process, so the row belongs to a predecessor that was killed. Needs an
    open transaction.
    """
    group_commit.require_transaction()
    expired_by = now + LEASE_DURATION if force else now
    row: list[fields.Parameter] = [
        LEASE_NAME,
        token,
        fields.to_db_datetime(now + LEASE_DURATION),
        fields.to_db_datetime(expired_by),
    ]
    return sql.run(ACQUIRE, row) == 1


def next_sequence(count: int, *, token: str, now: datetime) -> int:
    """
    Reserve *count* sequence numbers and renew the lease. Returns the first number.

    Needs the transaction that writes the states.

    :raises LeaderLeaseLost: if another process holds the lease.
    """
    group_commit.require_transaction()
    row = sql.row(
        NEXT_SEQUENCE, [count, fields.to_db_datetime(now + LEASE_DURATION), LEASE_NAME, token]
    )
    if row is None:
        raise LeaderLeaseLost("another process holds the leader lease")
    return int(row[0]) - count + 1


def release(*, token: str, now: datetime) -> None:
    """Release the lease so that another process can lead at once; no effect without the lease."""
    group_commit.require_transaction()
    sql.run(RELEASE, [fields.to_db_datetime(now), LEASE_NAME, token])
