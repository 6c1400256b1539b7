"""Balances: what the transfers of an account add up to."""

from __future__ import annotations

from bursar import sql

BALANCES = (
    "SELECT name, SUM(amount_minor) FROM ("
    "SELECT debit_account_id AS name, amount_minor FROM bursar_transfer UNION ALL "
    "SELECT credit_account_id, -amount_minor FROM bursar_transfer) AS sides "
    "GROUP BY name ORDER BY name"
)


def balances(*, prefix: str = "") -> dict[str, int]:
    """
    The balance of every account whose name starts with *prefix*, debits counting positive.

    Minor units of the currency at the end of the account's name.
    """
    return {name: int(total) for name, total in sql.rows(BALANCES) if name.startswith(prefix)}
