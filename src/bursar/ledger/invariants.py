"""Invariants of the ledger: each with the query that finds violating rows."""

from __future__ import annotations

from collections.abc import Mapping

INVARIANTS: Mapping[str, str] = {
    "every transfer is positive, between two accounts of its currency": (
        "SELECT id, subject, debit_account_id, credit_account_id, amount_minor, currency "
        "FROM bursar_transfer WHERE amount_minor <= 0 OR debit_account_id = credit_account_id "
        "OR debit_account_id NOT LIKE '%%:' || currency "
        "OR credit_account_id NOT LIKE '%%:' || currency"
    ),
    "every transfer's accounts exist": (
        "SELECT t.id, t.subject FROM bursar_transfer t "
        "LEFT JOIN bursar_account d ON d.name = t.debit_account_id "
        "LEFT JOIN bursar_account c ON c.name = t.credit_account_id "
        "WHERE d.name IS NULL OR c.name IS NULL"
    ),
    "account balances sum to zero in every currency": (
        "SELECT currency, SUM(amount_minor) AS unbalanced_minor FROM ("
        "SELECT a.currency, t.amount_minor FROM bursar_transfer t "
        "JOIN bursar_account a ON a.name = t.debit_account_id UNION ALL "
        "SELECT a.currency, -t.amount_minor FROM bursar_transfer t "
        "JOIN bursar_account a ON a.name = t.credit_account_id) AS sides "
        "GROUP BY currency HAVING SUM(amount_minor) <> 0"
    ),
}
