"""The sandbox's database: one SQLite file with its own transactions, shared by all threads."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from bursar.money import Money
from bursar.providers.interface import MovementStatus, ObjectKind, Snapshot


@dataclass(slots=True, kw_only=True)
class SandboxObject:
    """
    One object of the sandbox, a row of its table; amounts in minor units of *currency*.

    *settled_minor* and *fee_minor* are in *balance_currency*; *net_minor* is the object's part of
    the balance now. *version* counts its changes. *scenario* is the name of its scenario. *capture*
    is whether an approved charge is captured at once.
    """

    reference: str
    kind: str
    status: str
    currency: str
    amount_minor: int
    captured_minor: int = 0
    refunded_minor: int = 0
    withdrawn_minor: int = 0
    reinstated_minor: int = 0
    fee_minor: int = 0
    settled_minor: int = 0
    balance_currency: str = ""
    rate: str = ""
    key: str = ""
    parent_reference: str = ""
    code: str = ""
    soft_decline: int = 0
    version: int = 0
    dispute_stage: int = 1
    occurred_at: str = ""
    captured_at: str = ""
    scenario: str = ""
    capture: int = 1
    net_minor: int = 0

    def snapshot(self) -> Snapshot:
        """Return the object as a snapshot."""
        is_converted = bool(self.rate and self.settled_minor)
        return Snapshot(
            kind=ObjectKind(self.kind),
            reference=self.reference,
            status=str(self.status),
            amount=Money(self.amount_minor, self.currency),
            captured_minor=self.captured_minor,
            refunded_minor=self.refunded_minor,
            withdrawn_minor=self.withdrawn_minor,
            reinstated_minor=self.reinstated_minor,
            fee=Money(self.fee_minor, self.balance_currency) if self.fee_minor else None,
            settled=Money(self.settled_minor, self.balance_currency) if is_converted else None,
            rate=self.rate,
            key=self.key,
            parent_reference=self.parent_reference,
            code=self.code,
            soft_decline=bool(self.soft_decline),
            version=self.version,
            dispute_stage=self.dispute_stage,
            occurred_at=datetime.fromisoformat(self.occurred_at),
        )

    def fee_snapshot(self) -> Snapshot:
        """
        Return the fee of a charge as an object of its own, with the charge's reference.

        Its version is the captured total, because it changes with captures only.
        """
        return Snapshot(
            kind=ObjectKind.FEE,
            reference=self.reference,
            status=MovementStatus.POSTED.value,
            amount=Money(self.fee_minor, self.balance_currency),
            parent_reference=self.reference,
            version=self.captured_minor,
            occurred_at=datetime.fromisoformat(self.captured_at),
        )

    def snapshots(self) -> list[Snapshot]:
        """Return the snapshot of the object and of its fee, if any."""
        return [self.snapshot(), self.fee_snapshot()] if self.fee_minor else [self.snapshot()]


_COLUMNS = [one.name for one in fields(SandboxObject)]
_NAMES = ", ".join(_COLUMNS)
_INSERT = f"INSERT INTO object ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_UPDATE = (
    f"UPDATE object SET {', '.join(f'{name} = ?' for name in _COLUMNS)}"  # noqa: S608
    " WHERE kind = ? AND reference = ?"
)
_SELECT = f"SELECT {_NAMES} FROM object"  # noqa: S608  (column names are constants of this module)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    position INTEGER PRIMARY KEY,
    reference TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL,
    currency TEXT NOT NULL, amount_minor INTEGER NOT NULL,
    captured_minor INTEGER NOT NULL, refunded_minor INTEGER NOT NULL,
    withdrawn_minor INTEGER NOT NULL, reinstated_minor INTEGER NOT NULL,
    fee_minor INTEGER NOT NULL, settled_minor INTEGER NOT NULL,
    balance_currency TEXT NOT NULL, rate TEXT NOT NULL, key TEXT NOT NULL,
    parent_reference TEXT NOT NULL, code TEXT NOT NULL, soft_decline INTEGER NOT NULL,
    version INTEGER NOT NULL, dispute_stage INTEGER NOT NULL, occurred_at TEXT NOT NULL,
    captured_at TEXT NOT NULL,
    scenario TEXT NOT NULL, capture INTEGER NOT NULL, net_minor INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS object_reference ON object (reference, kind);
CREATE INDEX IF NOT EXISTS object_key ON object (key) WHERE key <> '';
CREATE INDEX IF NOT EXISTS object_parent ON object (parent_reference) WHERE parent_reference <> '';
CREATE TABLE IF NOT EXISTS response (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS call (key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scheduled_action (
    position INTEGER PRIMARY KEY, at TEXT NOT NULL, action TEXT NOT NULL,
    kind TEXT NOT NULL, reference TEXT NOT NULL, step INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS scheduled_action_at ON scheduled_action (at, position);
CREATE TABLE IF NOT EXISTS delivery (
    position INTEGER PRIMARY KEY, event_id TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""


class SandboxStore:
    """
    The rows of one sandbox account.

    *path* is a file or ":memory:". A *durable* store syncs the disk at each commit; otherwise it
    survives a killed process but not a power failure.
    """

    __slots__ = ("_depth", "_lock", "connection", "path")

    def __init__(self, path: str, *, durable: bool = True) -> None:
        self.path = path
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(
            path,
            check_same_thread=False,
            isolation_level=None,
            timeout=30,
            cached_statements=64,
        )
        self._lock = threading.RLock()
        self._depth = 0
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        self.connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock and a transaction; a nested one of the same thread joins it."""
        with self._lock:
            if self._depth == 0:
                self.connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                if self._depth == 1:
                    self.connection.execute("ROLLBACK")
                raise
            else:
                if self._depth == 1:
                    self.connection.execute("COMMIT")
            finally:
                self._depth -= 1

    def execute(self, sql: str, *values: Any) -> None:
        """Execute one statement of a transaction."""
        self.connection.execute(sql, values)

    def fetch_all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._lock:
            return self.connection.execute(sql, values).fetchall()

    def fetch_value(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        with self._lock:
            row = self.connection.execute(sql, values).fetchone()
        return row[0] if row else None

    def insert(self, item: SandboxObject) -> None:
        """Insert a new object."""
        self.connection.execute(_INSERT, row_values(item))

    def update(self, item: SandboxObject) -> None:
        """Update the row of an object."""
        self.connection.execute(_UPDATE, (*row_values(item), item.kind, item.reference))

    def find(self, kind: str, reference: str) -> SandboxObject | None:
        """Return the object of that kind and reference, or None."""
        rows = self.select_objects("reference = ? AND kind = ?", reference, kind)
        return rows[0] if rows else None

    def select_objects(self, where: str, *values: Any) -> list[SandboxObject]:
        """Return the objects that match *where*, a constant of this package, oldest first."""
        rows = self.fetch_all(f"{_SELECT} WHERE {where} ORDER BY position", *values)
        return [SandboxObject(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def page_after(self, *, after: int, limit: int) -> list[tuple[int, SandboxObject]]:
        """Return objects at positions above *after*, in order."""
        rows = self.fetch_all(
            f"SELECT position, {_NAMES} FROM object WHERE position > ? ORDER BY position LIMIT ?",  # noqa: S608
            after,
            limit,
        )
        return [
            (row[0], SandboxObject(**dict(zip(_COLUMNS, row[1:], strict=True)))) for row in rows
        ]

    def close(self) -> None:
        """Close the database; the store is not used afterwards."""
        with self._lock:
            self.connection.close()


def row_values(item: SandboxObject) -> tuple[Any, ...]:
    """Return the column values of *item*; `dataclasses.astuple` would copy deeply."""
    return tuple([getattr(item, name) for name in _COLUMNS])
