"""Account balances: the sums of their transfers."""

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
    Return the balance of every account whose name starts with *prefix*; debits are positive.

    In minor units of the currency at the end of the account's name.
    """
    return {name: int(total) for name, total in sql.rows(BALANCES) if name.startswith(prefix)}
