"""
Leading: one process watches, the others follow what it wrote.

The lease is a row, by the database's clock. Whoever writes states takes numbers from the row under
its token and in the same transaction, so a process that slept past its lease writes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from bursar import errors, fields, group_commit, sql

NAME: Final = "dashboard"
LEASE: Final = timedelta(seconds=15)

TAKE = (
    "INSERT INTO bursar_leaderlease (name, token, held_until, seq) VALUES (%s, %s, %s, 0) "
    "ON CONFLICT (name) DO UPDATE SET token = excluded.token, held_until = excluded.held_until "
    "WHERE bursar_leaderlease.held_until <= %s OR bursar_leaderlease.token = excluded.token"
)
NUMBER = (
    "UPDATE bursar_leaderlease SET seq = seq + %s, held_until = %s WHERE name = %s AND token = %s "
    "RETURNING seq"
)
GIVE_BACK = "UPDATE bursar_leaderlease SET held_until = %s WHERE name = %s AND token = %s"


class LeaseLost(errors.Conflict):
    """Another process watches by now; what this one found is not written."""

    code = "leader_lease_lost"
    status = None


def acquire(*, token: str, now: datetime, by_force: bool = False) -> bool:
    """
    Begin to watch, or go on; False while another process does.

    *token* names the process. With *by_force* the lease of a predecessor is not waited for: on
    SQLite there is no other process, whatever a row says that one left which was killed.
    """
    group_commit.require_transaction()
    free = now + LEASE if by_force else now
    row: list[fields.Parameter] = [
        NAME,
        token,
        fields.to_db_datetime(now + LEASE),
        fields.to_db_datetime(free),
    ]
    return sql.run(TAKE, row) == 1


def next_sequence(count: int, *, token: str, now: datetime) -> int:
    """
    Take *count* numbers for states to be written, and extend the lease; the first of them.

    :raises LeaseLost: if the lease is another's.
    """
    group_commit.require_transaction()
    row = sql.row(NUMBER, [count, fields.to_db_datetime(now + LEASE), NAME, token])
    if row is None:
        raise LeaseLost("another process watches by now")
    return int(row[0]) - count + 1


def release(*, token: str, now: datetime) -> None:
    """Let another process begin at once; nothing happens if the lease is another's."""
    group_commit.require_transaction()
    sql.run(GIVE_BACK, [fields.to_db_datetime(now), NAME, token])
