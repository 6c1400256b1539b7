"""
Planted bugs: the ways in which payment code is usually wrong.

Each is patched into the process under test only. A campaign that does not catch them proves
nothing about the real code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from bursar import clock, errors, groupcommit, ids
from bursar.payments import attempting, charging, folding, statements
from bursar.payments.states import COLLECTING, AttemptStatus, PaymentStatus
from bursar.providers.base import Operation, Result, Snapshot
from bursar.queue import leasing, worker

NEW_KEY = "new key per retry"
NO_INTENT = "no intent row"
ACKNOWLEDGES_EARLY = "acknowledge before commit"
LAST_WRITE_WINS = "last write wins"
ALL = (NEW_KEY, NO_INTENT, ACKNOWLEDGES_EARLY, LAST_WRITE_WINS)

Handlers = Mapping[str, worker.Handler]


def apply(mutant: str, handlers: Handlers) -> Handlers:
    """Plant *mutant* (nothing for "") in this process; returns the handlers to work with."""
    if mutant == NEW_KEY:
        _plant_new_key()
    elif mutant == LAST_WRITE_WINS:
        folding.merge = _last_heard
    elif mutant == NO_INTENT:
        return {**handlers, "charge": _charge_without_intent}
    elif mutant == ACKNOWLEDGES_EARLY:
        return {name: _acknowledged_early(handler) for name, handler in handlers.items()}
    return handlers


def _plant_new_key() -> None:
    """Every repeat of an attempt is sent under a key of its own."""
    call = attempting.call

    async def call_anew(intent: attempting.Intent) -> Result:
        if not intent.fresh:
            request = replace(intent.request, key=ids.new(ids.ATTEMPT))
            intent = replace(intent, request=request)
        return await call(intent)

    attempting.call = call_anew


def _last_heard(a: Snapshot, b: Snapshot) -> Snapshot:
    """The state is overwritten by whatever was heard last."""
    if (a.kind, a.reference) != (b.kind, b.reference):
        raise ValueError("two objects")
    return b


def _acknowledged_early(handler: worker.Handler) -> worker.Handler:
    """The job is acknowledged first, and its outcome is written afterwards."""

    async def early(lease: leasing.Lease) -> Callable[[], None] | None:
        finish = await handler(lease)
        await groupcommit.commits.run(lambda: leasing.ack(lease))
        await asyncio.sleep(0)
        return finish

    return early


async def _charge_without_intent(lease: leasing.Lease) -> Callable[[], None] | None:
    """Call the provider first; attempt and outcome are written together afterwards."""
    payment_id, attempt_id, now = lease.payload["payment_id"], ids.new(ids.ATTEMPT), clock.now()
    intent = await groupcommit.commits.run(lambda: _unwritten(payment_id, attempt_id))
    if intent is None:
        return None
    try:
        result = await attempting.call(intent)
    except errors.OutcomeUnknown as error:
        reason = str(error)
        return lambda: _write_late(intent, lambda: attempting.doubt(intent, reason=reason, now=now))
    return lambda: _write_late(
        intent, lambda: attempting.answered(intent, result, source="answer", now=now)
    )


def _write_late(intent: attempting.Intent, outcome: Callable[[], None]) -> None:
    _insert(intent)
    outcome()


def _unwritten(payment_id: str, attempt_id: str) -> attempting.Intent | None:
    payment = statements.lock_payment(payment_id)
    tried = [a for a in statements.attempts_of(payment_id) if a.operation in COLLECTING]
    if payment.status != PaymentStatus.PENDING or tried:
        return charging.intend(payment_id=payment_id, attempt_id=attempt_id, now=clock.now())
    attempt = statements.AttemptRow(
        attempt_id,
        Operation.CHARGE,
        None,
        payment.amount_minor,
        AttemptStatus.CREATED,
        "",
        "",
        0,
        clock.now(),
    )
    return attempting.intent_of(attempt=attempt, payment=payment, fresh=True)


def _insert(intent: attempting.Intent) -> None:
    payment = statements.lock_payment(intent.payment_id)
    if intent.attempt_id not in {a.id for a in statements.attempts_of(payment.id)}:
        attempting.insert(
            attempt_id=intent.attempt_id,
            payment_id=payment.id,
            operation=Operation.CHARGE,
            amount_minor=payment.amount_minor,
            now=clock.now(),
        )
