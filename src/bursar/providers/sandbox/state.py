"""
The sandbox's state: stored objects, terms and the clock.

Saving an object writes the webhook that reports the change in the same transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

from bursar.providers.interface import ObjectKind, Snapshot
from bursar.providers.sandbox import scenarios, serializers
from bursar.providers.sandbox.fees import FeeSchedule
from bursar.providers.sandbox.store import SandboxObject, SandboxStore

_PREFIX = {
    ObjectKind.CHARGE: "ch",
    ObjectKind.REFUND: "re",
    ObjectKind.DISPUTE: "dp",
    ObjectKind.PAYOUT: "po",
}


class SandboxState:
    """
    The state that operations and lifecycle functions read and change.

    *now* is the real clock; the sandbox clock is ahead of it by the sum of `advance_clock`. Methods
    that write need an open transaction of *store*.
    """

    __slots__ = ("_ahead", "_now", "store", "terms")

    def __init__(
        self, store: SandboxStore, terms: FeeSchedule, *, now: Callable[[], datetime]
    ) -> None:
        self.store = store
        self.terms = terms
        self._now = now
        self._ahead = timedelta(seconds=self._ahead_seconds())

    def now(self) -> datetime:
        """Return the time of the sandbox clock."""
        return self._now() + self._ahead

    def advance_clock(self, seconds: float) -> datetime:
        """Advance the sandbox clock permanently and return its time."""
        ahead_seconds = self._ahead_seconds() + seconds
        self.store.execute(
            "INSERT OR REPLACE INTO setting VALUES ('ahead_seconds', ?)", ahead_seconds
        )
        self._ahead = timedelta(seconds=ahead_seconds)
        return self.now()

    def _ahead_seconds(self) -> float:
        stored = self.store.fetch_value("SELECT value FROM setting WHERE name = 'ahead_seconds'")
        return float(stored or 0)

    def new_object(
        self, kind: ObjectKind, status: str, currency: str, amount_minor: int, key: str = ""
    ) -> SandboxObject:
        """
        Return a new object that is not stored yet.

        Its reference is derived from the seed, the idempotency key and the next position.
        """
        position = (self.store.fetch_value("SELECT MAX(position) FROM object") or 0) + 1
        name = hashlib.blake2b(f"{self.terms.seed}|{key}|{position}".encode(), digest_size=10)
        return SandboxObject(
            reference=f"{_PREFIX[kind]}_{name.hexdigest()}",
            kind=kind.value,
            status=status,
            currency=currency,
            amount_minor=amount_minor,
            balance_currency=currency,
            key=key,
        )

    def save_object(self, item: SandboxObject, *, new: bool = False) -> None:
        """Store a changed object and the webhook that reports the change."""
        item.version += 1
        item.occurred_at = self.now().isoformat()
        (self.store.insert if new else self.store.update)(item)
        self.emit_webhook(item.snapshot(), scenario=item.scenario)

    def emit_webhook(self, snapshot: Snapshot, *, scenario: str = "") -> None:
        """Store the webhook that reports *snapshot*, as often as the scenario says."""
        name = f"{self.terms.seed}|{snapshot.kind}|{snapshot.reference}|{snapshot.version}"
        event_id = "evt_" + hashlib.blake2b(name.encode(), digest_size=10).hexdigest()
        body = serializers.event_out(event_id, snapshot)
        for _ in range(scenarios.find_scenario(scenario, {}).copies):
            self.store.execute(
                "INSERT INTO delivery (event_id, body) VALUES (?, ?)", event_id, body
            )

    def refunded_minor(self, charge: SandboxObject) -> int:
        """Return the amount of pending and succeeded refunds of *charge*, in minor units."""
        return int(
            self.store.fetch_value(
                "SELECT COALESCE(SUM(amount_minor), 0) FROM object WHERE parent_reference = ?"
                " AND kind = 'refund' AND status IN ('pending', 'succeeded')",
                charge.reference,
            )
        )
