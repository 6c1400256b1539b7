"""Posting: append the transfers that bring a subject to its target balances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from bursar import fields, group_commit, settings, sql

SUM_POSTED = (
    "SELECT debit_account_id, credit_account_id, SUM(amount_minor) FROM bursar_transfer "
    "WHERE subject = %s GROUP BY debit_account_id, credit_account_id"
)
INSERT_ACCOUNT = (
    "INSERT INTO bursar_account (name, currency) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"
)
INSERT_TRANSFER = (
    "INSERT INTO bursar_transfer (subject, debit_account_id, credit_account_id, amount_minor, "
    "currency, posting_date, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s)"
)

#: Account names that exist, by connection; names are added after the commit that created them.
_existing_accounts: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()


def post(*, subject: str, target: Mapping[tuple[str, str], int], now: datetime) -> int:
    """
    Post the difference between *target* and the existing transfers of *subject*.

    *target* maps (debit account, credit account) to minor units; a negative amount is the reverse
    entry. Needs an open transaction with *subject*'s payment locked. Idempotent. Return the number
    of transfers posted.
    """
    group_commit.require_transaction()
    rows = _transfers(subject, unposted_amounts(subject=subject, target=target), now)
    if rows:
        _create_accounts({str(name) for row in rows for name in row[1:3]})
        sql.run_many(INSERT_TRANSFER, rows)
    return len(rows)


def unposted_amounts(
    *, subject: str, target: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    """
    Return what is still to be posted to bring *subject* to *target*; empty if nothing is.

    Keys are pairs of accounts in alphabetical order; a positive amount debits the first.
    """
    missing: defaultdict[tuple[str, str], int] = defaultdict(int)
    for (debit, credit), amount in target.items():
        _add(missing, debit, credit, amount)
    for debit, credit, amount in sql.rows(SUM_POSTED, [subject]):
        _add(missing, debit, credit, -int(amount))
    return {pair: amount for pair, amount in missing.items() if amount}


def _add(missing: defaultdict[tuple[str, str], int], debit: str, credit: str, amount: int) -> None:
    # One key for both directions of a pair: its names in order, the first one debited.
    if debit < credit:
        missing[debit, credit] += amount
    else:
        missing[credit, debit] -= amount


def _transfers(
    subject: str, missing: Mapping[tuple[str, str], int], now: datetime
) -> list[tuple[fields.Parameter, ...]]:
    date = fields.to_db_date(now.astimezone(ZoneInfo(settings.current.time_zone)).date())
    created = fields.to_db_datetime(now)
    rows: list[tuple[fields.Parameter, ...]] = []
    for (first, second), amount in sorted(missing.items()):
        debit, credit = (first, second) if amount > 0 else (second, first)
        rows.append((subject, debit, credit, abs(amount), currency_of(debit), date, created))
    return rows


def currency_of(account: str) -> str:
    """Return the currency at the end of an account's name."""
    return account.rpartition(":")[2]


def _create_accounts(names: set[str]) -> None:
    existing = _existing_accounts.setdefault(connections[DEFAULT_DB_ALIAS], set())
    new = sorted(names - existing)
    if new:
        sql.run_many(INSERT_ACCOUNT, [(name, currency_of(name)) for name in new])
        transaction.on_commit(lambda: existing.update(new))
