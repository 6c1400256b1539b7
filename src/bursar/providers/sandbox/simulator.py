"""
The sandbox simulator: charges, refunds, fees, disputes, payouts and a merchant balance.

Each operation commits in the sandbox's own database before it returns, independently of the
caller's transaction, with the webhooks that report its changes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import orjson

from bursar import clock, errors, ids
from bursar.providers import results
from bursar.providers.interface import (
    CaptureRequest,
    ChargeRequest,
    ChargeStatus,
    MovementStatus,
    ObjectKind,
    Operation,
    Outcome,
    RefundRequest,
    RefundStatus,
    Result,
    Snapshot,
    StatusRequest,
    VoidRequest,
)
from bursar.providers.sandbox import (
    fault_injection,
    lifecycle,
    scenarios,
    serializers,
    webhook_delivery,
)
from bursar.providers.sandbox.fees import FeeSchedule, convert
from bursar.providers.sandbox.scenarios import Fault, RefundScenario, ResponseCorruption, Scenario
from bursar.providers.sandbox.state import SandboxState
from bursar.providers.sandbox.store import SandboxObject, SandboxStore
from bursar.providers.sandbox.webhook_delivery import Delivery, DeliveryFaults

#: Fields of a request that do not make it another request under its key, and why.
NOT_IN_FINGERPRINT: Final = {"key": "the fingerprint is stored under it"}
_DAY = timedelta(days=1)
_OPEN = {ChargeStatus.AUTHORIZED, ChargeStatus.PARTIALLY_CAPTURED}
_CAPTURED = {ChargeStatus.CAPTURED, ChargeStatus.PARTIALLY_CAPTURED}


class SandboxSimulator:
    """
    One merchant account of the sandbox; thread-safe.

    *path* is a file or ":memory:"; *durable* as in `SandboxStore`. *now* is the real clock; the
    sandbox clock is ahead of it by the sum of `advance`.
    """

    __slots__ = ("_state",)

    def __init__(
        self,
        path: str = ":memory:",
        *,
        terms: FeeSchedule | None = None,
        durable: bool = True,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        store = SandboxStore(path, durable=durable)
        self._state = SandboxState(store, terms or FeeSchedule(), now=now)

    @property
    def store(self) -> SandboxStore:
        """The stored objects."""
        return self._state.store

    def now(self) -> datetime:
        """Return the time of the sandbox clock."""
        return self._state.now()

    def close(self) -> None:
        """Close the database."""
        self.store.close()

    # --- merchant operations ----------------------------------------------------------------------

    def charge(self, request: ChargeRequest) -> Result:
        """Charge or authorize. :raises IdempotencyKeyReused: if the key has another request."""
        return self._run_idempotent(request, lambda: self._charge(request))

    def capture(self, request: CaptureRequest) -> Result:
        """Capture. :raises IdempotencyKeyReused: if the key has another request."""
        return self._run_idempotent(request, lambda: self._capture(request))

    def void(self, request: VoidRequest) -> Result:
        """Void. :raises IdempotencyKeyReused: if the key has another request."""
        return self._run_idempotent(request, lambda: self._void(request))

    def refund(self, request: RefundRequest) -> Result:
        """Refund. :raises IdempotencyKeyReused: if the key has another request."""
        return self._run_idempotent(request, lambda: self._refund(request))

    def status(self, request: StatusRequest, *, by_key: bool = True) -> Result:
        """Return the outcome of an operation by reference or, with *by_key*, by key."""
        changing = request.operation in {Operation.CAPTURE, Operation.VOID}
        kind = ObjectKind.REFUND if request.operation is Operation.REFUND else ObjectKind.CHARGE
        item = self.store.find(kind, request.reference) if request.reference else None
        if item is None and by_key and not changing:
            with_key = self.store.select_objects("key = ? AND kind = ?", request.key, kind)
            item = with_key[0] if with_key else None
        if item is not None and not changing:
            return _result(item)
        if by_key and (response := self._stored_response(request.key)) is not None:
            return response
        if item is None or not _is_done(request.operation, item):
            return Result(outcome=Outcome.NOT_FOUND)
        return _result(item)

    def snapshots(self, *, after: int = 0, limit: int = 500) -> list[tuple[int, list[Snapshot]]]:
        """Return objects (a charge with its fee) at positions above *after*, oldest first."""
        page = self.store.page_after(after=after, limit=limit)
        return [(position, item.snapshots()) for position, item in page]

    def balances(self) -> dict[str, int]:
        """Return the merchant balance in minor units by currency, without zeros."""
        rows = self.store.fetch_all(
            "SELECT balance_currency, SUM(net_minor) FROM object"
            " GROUP BY balance_currency HAVING SUM(net_minor) <> 0"
        )
        return dict(rows)

    # --- test controls ----------------------------------------------------------------------------

    def fault_for(self, operation: Operation, key: str, scenario: Scenario) -> Fault:
        """
        Return the fault of this call; counts the calls of an operation.

        Random faults depend on the seed, the key and the call number only.
        """
        terms = self._state.terms
        if scenario.is_fault_permanent:
            return scenario.fault
        if scenario.fault is Fault.NONE and not terms.faults:
            return Fault.NONE
        # A new attempt has a new key, but a fault of the first call must not occur twice.
        call = self._count_call(f"{operation}:{scenario.fault_scope or key}")
        if scenario.fault is not Fault.NONE:
            return scenario.fault if call == 1 else Fault.NONE
        return fault_injection.choose_fault(
            terms.faults, seed=terms.seed, operation=operation, key=key, call=call
        )

    def advance(self, seconds: float) -> int:
        """Advance the clock, run the actions due, and return their number."""
        with self.store.transaction():
            return lifecycle.run_due(self._state, until=self._state.advance_clock(seconds))

    def complete_action(self, reference: str, *, approve: bool) -> Snapshot:
        """Complete the buyer's action. :raises NotFound: if no such charge requires one."""
        with self.store.transaction():
            item = self.store.find(ObjectKind.CHARGE, reference)
            if item is None or item.status != ChargeStatus.REQUIRES_ACTION:
                raise errors.NotFound(f"no charge {reference!r} requires action")
            if approve:
                lifecycle.authorize(self._state, item)
            else:
                item.status, item.code = ChargeStatus.DECLINED, "authentication_failed"
                self._state.save_object(item)
            return item.snapshot()

    def create_payouts(self) -> list[Snapshot]:
        """Pay out every positive balance, one payout for each currency."""
        paid = []
        with self.store.transaction():
            for currency, amount_minor in sorted(self.balances().items()):
                if amount_minor > 0:
                    item = self._state.new_object(
                        ObjectKind.PAYOUT, MovementStatus.POSTED, currency, amount_minor
                    )
                    item.net_minor = -amount_minor
                    self._state.save_object(item, new=True)
                    paid.append(item.snapshot())
        return paid

    def deliveries(
        self,
        key: bytes,
        *,
        after: int = 0,
        limit: int = 500,
        faults: DeliveryFaults | None = None,
        at: datetime | None = None,
    ) -> list[Delivery]:
        """
        Return webhooks at positions above *after*, signed with *key*, in order of arrival.

        They are signed *at* this time, by default the time of the sandbox clock.
        """
        rows = self.store.fetch_all(
            "SELECT position, event_id, body FROM delivery WHERE position > ?"
            " ORDER BY position LIMIT ?",
            after,
            limit,
        )
        return webhook_delivery.sign_deliveries(
            rows,
            key=key,
            at=at or self.now(),
            seed=self._state.terms.seed,
            faults=faults or DeliveryFaults(),
        )

    # --- inside a transaction ---------------------------------------------------------------------

    def _run_idempotent(
        self,
        request: ChargeRequest | CaptureRequest | VoidRequest | RefundRequest,
        execute: Callable[[], Result],
    ) -> Result:
        key = request.key
        content = ids.fingerprint(request, excluded=NOT_IN_FINGERPRINT)
        fingerprint = f"{type(request).__name__}|{content}"
        with self.store.transaction():
            if self._state.terms.idempotency_keys:
                stored = self.store.fetch_all(
                    "SELECT fingerprint, body FROM response WHERE key = ?", key
                )
                if stored and stored[0][0] != fingerprint:
                    raise errors.IdempotencyKeyReused(
                        "the idempotency key was used for another request", key=key
                    )
                if stored:
                    return serializers.result_in(orjson.loads(stored[0][1]))
            result = execute()
            self.store.execute(
                "INSERT OR REPLACE INTO response VALUES (?, ?, ?)",
                key,
                fingerprint,
                serializers.result_out(result),
            )
            return result

    def _stored_response(self, key: str) -> Result | None:
        """Return the stored response to the operation with *key*."""
        body = self.store.fetch_value("SELECT body FROM response WHERE key = ?", key)
        return None if body is None else serializers.result_in(orjson.loads(body))

    def _count_call(self, name: str) -> int:
        with self.store.transaction():
            self.store.execute(
                "INSERT INTO call VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1",
                name,
            )
            return int(self.store.fetch_value("SELECT times FROM call WHERE key = ?", name))

    def _charge(self, request: ChargeRequest) -> Result:
        scenario = scenarios.find_scenario(request.method, request.metadata)
        item = self._new_charge(request, scenario)
        if scenario.decline:
            item.status, item.code = ChargeStatus.DECLINED, scenario.decline
            item.soft_decline = int(scenario.soft_decline)
            self._state.save_object(item, new=True)
        elif scenario.requires_action:
            item.status = ChargeStatus.REQUIRES_ACTION
            self._state.save_object(item, new=True)
        elif scenario.pending:
            self._state.save_object(item, new=True)
            lifecycle.schedule(self._state, item, "charge_ends", _DAY)
        else:
            lifecycle.authorize(self._state, item, new=True)
        return _result(item, copies=scenario.copies)

    def _new_charge(self, request: ChargeRequest, scenario: Scenario) -> SandboxObject:
        amount_minor, currency = request.amount.amount_minor, request.amount.currency
        if scenario.corruption is ResponseCorruption.AMOUNT:
            amount_minor += 1
        if scenario.corruption is ResponseCorruption.CURRENCY:
            currency = "EUR" if currency == "USD" else "USD"
        item = self._state.new_object(
            ObjectKind.CHARGE, ChargeStatus.PENDING, currency, amount_minor, request.key
        )
        terms = self._state.terms
        item.rate = terms.rate_of(currency)
        item.balance_currency = terms.settlement_currency if item.rate else currency
        item.scenario = request.metadata.get(scenarios.METADATA_KEY) or request.method
        item.capture = int(request.capture)
        return item

    def _capture(self, request: CaptureRequest) -> Result:
        item = self.store.find(ObjectKind.CHARGE, request.reference)
        decline = _capture_decline(item, request)
        if item is None or decline:
            return _declined(decline, item)
        captured_minor = item.captured_minor + request.amount.amount_minor
        # A final capture releases the remainder of the authorization.
        final = request.final or captured_minor == item.amount_minor
        item.status = ChargeStatus.CAPTURED if final else ChargeStatus.PARTIALLY_CAPTURED
        lifecycle.capture(self._state, item, captured_minor)
        return _result(item)

    def _void(self, request: VoidRequest) -> Result:
        item = self.store.find(ObjectKind.CHARGE, request.reference)
        if item is None or item.status not in _OPEN:
            return _declined("not_voidable" if item else "no_such_charge", item)
        captured = item.captured_minor > 0
        item.status = ChargeStatus.CAPTURED if captured else ChargeStatus.VOIDED
        self._state.save_object(item)
        return _result(item)

    def _refund(self, request: RefundRequest) -> Result:
        charge = self.store.find(ObjectKind.CHARGE, request.reference)
        decline = self._refund_decline(charge, request)
        if charge is None or decline:
            return _declined(decline)
        item = self._new_refund(charge, request)
        scenario = _refund_scenario(charge, request)
        self._state.save_object(item, new=True)
        if scenario.refunds is RefundScenario.PENDING:
            lifecycle.schedule(self._state, item, "refund_succeeds", _DAY)
        else:
            lifecycle.succeed_refund(self._state, item, charge)
        if scenario.refunds is RefundScenario.FAILS_LATER:
            lifecycle.schedule(self._state, item, "refund_fails", _DAY)
        return _result(item, charge, copies=scenario.copies)

    def _refund_decline(self, charge: SandboxObject | None, request: RefundRequest) -> str:
        if charge is None:
            return "no_such_charge"
        if charge.status not in _CAPTURED:
            return "not_refundable"
        if charge.currency != request.amount.currency:
            return "currency_differs"
        refundable_minor = charge.captured_minor - self._state.refunded_minor(charge)
        if not 0 < request.amount.amount_minor <= refundable_minor:
            return "refund_exceeds_charge"
        # "" for an approved charge; a refund is declined only by its own metadata.
        return _refund_scenario(charge, request).decline

    def _new_refund(self, charge: SandboxObject, request: RefundRequest) -> SandboxObject:
        amount_minor, currency = request.amount.amount_minor, request.amount.currency
        item = self._state.new_object(
            ObjectKind.REFUND, RefundStatus.PENDING, currency, amount_minor, request.key
        )
        item.parent_reference = charge.reference
        item.rate, item.balance_currency = charge.rate, charge.balance_currency
        # The difference of two converted totals, so that partial refunds add up to the full amount.
        before_minor = self._state.refunded_minor(charge)
        item.settled_minor = _in_balance_currency(charge, before_minor + amount_minor)
        item.settled_minor -= _in_balance_currency(charge, before_minor)
        return item


def _capture_decline(item: SandboxObject | None, request: CaptureRequest) -> str:
    if item is None:
        return "no_such_charge"
    if item.status == ChargeStatus.EXPIRED:
        return "authorization_expired"
    if item.status not in _OPEN:
        return "not_capturable"
    if item.currency != request.amount.currency:
        return "currency_differs"
    capturable_minor = item.amount_minor - item.captured_minor
    fits = 0 < request.amount.amount_minor <= capturable_minor
    return "" if fits else "capture_exceeds_authorization"


def _refund_scenario(charge: SandboxObject, request: RefundRequest) -> Scenario:
    named = request.metadata.get(scenarios.METADATA_KEY)
    return scenarios.find_scenario(named or charge.scenario, {})


def _in_balance_currency(charge: SandboxObject, amount_minor: int) -> int:
    return convert(amount_minor, charge.currency, charge.rate, charge.balance_currency)


def _is_done(operation: Operation, item: SandboxObject) -> bool:
    # Without the key the charge's state shows whether it was captured or voided.
    if operation is Operation.CAPTURE:
        return item.status in _CAPTURED
    released = item.status == ChargeStatus.CAPTURED and item.captured_minor < item.amount_minor
    return item.status == ChargeStatus.VOIDED or released


def _result(item: SandboxObject, charge: SandboxObject | None = None, *, copies: int = 1) -> Result:
    snapshots = item.snapshots() if charge is None else [item.snapshot(), charge.snapshot()]
    waits = item.status == ChargeStatus.REQUIRES_ACTION
    url = f"https://sandbox.invalid/actions/{item.reference}" if waits else ""
    return results.result_from_snapshots(*(snapshots * copies), redirect_url=url)


def _declined(code: str, item: SandboxObject | None = None) -> Result:
    snapshots = (item.snapshot(),) if item else ()
    reference = item.reference if item else ""
    return Result(outcome=Outcome.DECLINED, code=code, reference=reference, snapshots=snapshots)
