"""
The sandbox's own book: what it charged, gave back, took as a fee and owes the merchant.

It commits by itself, before it answers, so what it says is true whatever becomes of us. Each
change of an object writes the webhooks that tell of it in the same commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import orjson

from bursar import clock, errors
from bursar.providers.base import (
    CaptureRequest,
    ChargeRequest,
    Kind,
    Operation,
    RefundRequest,
    Result,
    Snapshot,
    StatusRequest,
    VoidRequest,
)
from bursar.providers.sandbox import delivering, faults, happenings, operations, outcomes, wire
from bursar.providers.sandbox.delivering import Delivery, Disorder
from bursar.providers.sandbox.outcomes import Script, Trouble
from bursar.providers.sandbox.shelf import Item, Shelf
from bursar.providers.sandbox.terms import Terms

_PREFIX = {Kind.CHARGE: "ch", Kind.REFUND: "re", Kind.DISPUTE: "dp", Kind.PAYOUT: "po"}


class Book:
    """
    One merchant's book at the sandbox; any thread may call it.

    *path* is a file or ":memory:"; see `Shelf` for *durable*. *now* is the sandbox's clock, which
    `advance` moves forward.
    """

    __slots__ = ("_ahead", "_now", "shelf", "terms")

    def __init__(
        self,
        path: str = ":memory:",
        *,
        terms: Terms | None = None,
        durable: bool = True,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self.shelf = Shelf(path, durable=durable)
        self.terms = terms or Terms()
        self._now = now
        self._ahead = timedelta(seconds=self._ahead_seconds())

    def now(self) -> datetime:
        """The time at the sandbox."""
        return self._now() + self._ahead

    def close(self) -> None:
        """Close the file."""
        self.shelf.close()

    # --- what a merchant asks ---------------------------------------------------------------------

    def charge(self, request: ChargeRequest) -> Result:
        """Charge or authorize once per key. :raises IdempotencyKeyReused: if it was used otherwise."""
        amount = request.amount
        asked = f"charge|{amount.amount_minor}|{amount.currency}|{request.capture}|{request.method}"
        return self._once(request.key, asked, lambda: operations.charge(self, request))

    def capture(self, request: CaptureRequest) -> Result:
        """Capture once per key. :raises IdempotencyKeyReused: if it was used otherwise."""
        amount, final = request.amount, request.final
        asked = f"capture|{amount.amount_minor}|{amount.currency}|{final}|{request.reference}"
        return self._once(request.key, asked, lambda: operations.capture(self, request))

    def void(self, request: VoidRequest) -> Result:
        """Void once per key. :raises IdempotencyKeyReused: if it was used otherwise."""
        asked = f"void|{request.reference}"
        return self._once(request.key, asked, lambda: operations.void(self, request))

    def refund(self, request: RefundRequest) -> Result:
        """Refund once per key. :raises IdempotencyKeyReused: if it was used otherwise."""
        amount = request.amount
        asked = f"refund|{amount.amount_minor}|{amount.currency}|{request.reference}"
        return self._once(request.key, asked, lambda: operations.refund(self, request))

    def status(self, request: StatusRequest, *, by_key: bool = True) -> Result:
        """What became of an operation, by its object's reference or (*by_key*) by our key."""
        return operations.status(self, request, by_key=by_key)

    def snapshots(self, *, after: int = 0, limit: int = 500) -> list[tuple[int, list[Snapshot]]]:
        """Objects (a charge with its fee) with positions above *after*, oldest first."""
        page = self.shelf.page(after=after, limit=limit)
        return [(position, item.snapshots()) for position, item in page]

    def balances(self) -> dict[str, int]:
        """What the sandbox owes the merchant, in minor units by currency; no zeros."""
        rows = self.shelf.all(
            "SELECT balance_currency, SUM(net_minor) FROM object"
            " GROUP BY balance_currency HAVING SUM(net_minor) <> 0"
        )
        return dict(rows)

    def trouble(self, operation: Operation, key: str, script: Script) -> Trouble:
        """
        The trouble this call meets; calls of a key are counted where it matters.

        Random trouble depends on the seed, the key and the number of the call only.
        """
        if script.every_call:
            return script.trouble
        if script.trouble is Trouble.NONE and not self.terms.faults:
            return Trouble.NONE
        # A merchant who tries anew has a new key; what was to fail once must not fail again.
        call = self._count_call(f"{operation}:{script.about or key}")
        if script.trouble is not Trouble.NONE:
            return script.trouble if call == 1 else Trouble.NONE
        return faults.trouble(
            self.terms.faults, seed=self.terms.seed, operation=operation, key=key, call=call
        )

    # --- what happens by itself, or by the hand of a tester ---------------------------------------

    def advance(self, seconds: float) -> int:
        """Move the clock and let everything happen that falls due; the number of happenings."""
        return happenings.advance(self, seconds)

    def complete_action(self, reference: str, *, approve: bool) -> Snapshot:
        """Let the buyer approve or refuse. :raises NotFound: if no such charge waits for them."""
        return happenings.complete_action(self, reference, approve=approve)

    def pay_out(self) -> list[Snapshot]:
        """Pay the merchant every positive balance; one payout a currency."""
        return happenings.pay_out(self)

    def deliveries(
        self,
        key: bytes,
        *,
        after: int = 0,
        limit: int = 500,
        disorder: Disorder | None = None,
        at: datetime | None = None,
    ) -> list[Delivery]:
        """
        Webhooks with positions above *after*, signed with *key*, in order of arrival.

        They are signed *at* a time, without one by the book's clock, which `advance` moves.
        """
        rows = self.shelf.all(
            "SELECT position, event_id, body FROM delivery WHERE position > ?"
            " ORDER BY position LIMIT ?",
            after,
            limit,
        )
        return delivering.deliver(
            rows,
            key=key,
            at=at or self.now(),
            seed=self.terms.seed,
            disorder=disorder or Disorder(),
        )

    # --- inside one commit ------------------------------------------------------------------------

    def _once(self, key: str, asked: str, carry_out: Callable[[], Result]) -> Result:
        with self.shelf.transaction():
            if self.terms.honours_keys:
                known = self.shelf.all("SELECT asked, body FROM answer WHERE key = ?", key)
                if known and known[0][0] != asked:
                    raise errors.IdempotencyKeyReused(
                        "this idempotency key was used for another request", key=key
                    )
                if known:
                    return wire.result_in(orjson.loads(known[0][1]))
            result = carry_out()
            self.shelf.run(
                "INSERT OR REPLACE INTO answer VALUES (?, ?, ?)",
                key,
                asked,
                wire.result_out(result),
            )
            return result

    def answer(self, key: str) -> Result | None:
        """The first answer to the operation with *key*."""
        body = self.shelf.one("SELECT body FROM answer WHERE key = ?", key)
        return None if body is None else wire.result_in(orjson.loads(body))

    def item(
        self, kind: Kind, status: str, currency: str, amount_minor: int, key: str = ""
    ) -> Item:
        """A new object, not yet on the shelf; its reference follows from seed, key and place."""
        place = (self.shelf.one("SELECT MAX(position) FROM object") or 0) + 1
        name = hashlib.blake2b(f"{self.terms.seed}|{key}|{place}".encode(), digest_size=10)
        return Item(
            reference=f"{_PREFIX[kind]}_{name.hexdigest()}",
            kind=kind.value,
            status=status,
            currency=currency,
            amount_minor=amount_minor,
            balance_currency=currency,
            key=key,
        )

    def change(self, item: Item, *, new: bool = False) -> None:
        """Write a changed object, and the webhook that tells of it."""
        item.version += 1
        item.occurred_at = self.now().isoformat()
        (self.shelf.insert if new else self.shelf.update)(item)
        self.tell(item.snapshot(), outcome=item.outcome)

    def tell(self, snapshot: Snapshot, *, outcome: str = "") -> None:
        """Write the webhook that tells of *snapshot*, twice where the script says so."""
        name = f"{self.terms.seed}|{snapshot.kind}|{snapshot.reference}|{snapshot.version}"
        event_id = "evt_" + hashlib.blake2b(name.encode(), digest_size=10).hexdigest()
        body = wire.event_out(event_id, snapshot)
        for _ in range(outcomes.script_of(outcome, {}).copies):
            self.shelf.run("INSERT INTO delivery (event_id, body) VALUES (?, ?)", event_id, body)

    def given_back(self, paid: Item) -> int:
        """Minor units of the charge *paid* in refunds that are pending or succeeded."""
        return int(
            self.shelf.one(
                "SELECT COALESCE(SUM(amount_minor), 0) FROM object WHERE parent_reference = ?"
                " AND kind = 'refund' AND status IN ('pending', 'succeeded')",
                paid.reference,
            )
        )

    def move_clock(self, seconds: float) -> datetime:
        """Set the sandbox's clock forward for good, and return its time."""
        ahead_seconds = self._ahead_seconds() + seconds
        self.shelf.run("INSERT OR REPLACE INTO setting VALUES ('ahead_seconds', ?)", ahead_seconds)
        self._ahead = timedelta(seconds=ahead_seconds)
        return self.now()

    def _ahead_seconds(self) -> float:
        found = self.shelf.one("SELECT value FROM setting WHERE name = 'ahead_seconds'")
        return float(found or 0)

    def _count_call(self, name: str) -> int:
        with self.shelf.transaction():
            self.shelf.run(
                "INSERT INTO call VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1",
                name,
            )
            return int(self.shelf.one("SELECT times FROM call WHERE key = ?", name))
