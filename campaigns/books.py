"""Our books as plain rows, read by independent SQL over a separate connection."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
Books = Mapping[str, list[Row]]

TABLES = {
    "orders": ("order", "id currency total_minor idempotency_key"),
    "payments": (
        "payment",
        """id order_id amount_minor tax_minor currency status closed_status authorized_minor
        captured_minor refunded_minor pending_refund_minor disputed_minor""",
    ),
    "attempts": ("attempt", "id payment_id refund_id operation amount_minor status was_unknown"),
    "refunds": ("refund", "id payment_id amount_minor tax_minor status idempotency_key"),
    "facts": (
        "fact",
        """kind reference status amount_minor currency captured_minor refunded_minor
        withdrawn_minor reinstated_minor settled_minor settled_currency rate key
        parent_reference failure_code soft_decline provider_version dispute_stage""",
    ),
    "links": ("factlink", "kind reference payment_id refund_id"),
    "transfers": ("transfer", "subject debit_account_id credit_account_id amount_minor currency"),
    "reviews": ("review", "code subject detail resolved_at"),
    "jobs": ("job", "name state payload last_error"),
    "events": ("webhookevent", "event_id processed_at"),
}


def read(*, sqlite_path: Path | None, database_url: str | None) -> dict[str, list[Row]]:
    """Read every row that the judge needs from the given database."""
    connection: Any
    if database_url is not None:
        import psycopg

        connection = psycopg.connect(database_url)
    else:
        assert sqlite_path is not None
        connection = sqlite3.connect(sqlite_path, timeout=20)
    with closing(connection):
        return {name: list(_rows(connection, *table)) for name, table in TABLES.items()}


def broken_pages(sqlite_path: Path) -> str:
    """Return the result of SQLite's integrity check; "ok" if the file is intact."""
    with closing(sqlite3.connect(sqlite_path, timeout=20)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def _rows(connection: Any, table: str, names: str) -> Iterator[Row]:
    columns = names.split()
    cursor = connection.cursor()
    cursor.execute(f"SELECT {', '.join(columns)} FROM bursar_{table} ORDER BY id")
    for values in cursor.fetchall():
        row = dict(zip(columns, values, strict=True))
        for name in ("detail", "payload"):
            if isinstance(row.get(name), str):
                row[name] = json.loads(row[name])
        yield row
