"""
Mutants: typical bugs of payment code.

Each is patched into the process under test only. A campaign that does not catch them proves
nothing about the real code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from bursar import clock, errors, group_commit, ids
from bursar.payments import attempts, charges, payment_state, queries
from bursar.payments.statuses import COLLECTING, AttemptStatus, PaymentStatus
from bursar.providers.interface import Operation, Result, Snapshot
from bursar.queue import jobs, worker

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
        payment_state.merge = _last_write_wins
    elif mutant == NO_INTENT:
        return {**handlers, "charge": _charge_without_intent}
    elif mutant == ACKNOWLEDGES_EARLY:
        return {name: _acknowledged_early(handler) for name, handler in handlers.items()}
    return handlers


def _plant_new_key() -> None:
    """Every repeat of an attempt is sent under a key of its own."""
    call = attempts.send

    async def call_anew(intent: attempts.PreparedAttempt) -> Result:
        if not intent.is_new:
            request = replace(intent.request, key=ids.new(ids.ATTEMPT))
            intent = replace(intent, request=request)
        return await call(intent)

    attempts.send = call_anew


def _last_write_wins(a: Snapshot, b: Snapshot) -> Snapshot:
    """The state is overwritten by the last snapshot received."""
    if (a.kind, a.reference) != (b.kind, b.reference):
        raise ValueError("two objects")
    return b


def _acknowledged_early(handler: worker.Handler) -> worker.Handler:
    """The job is acknowledged first, and its outcome is written afterwards."""

    async def early(lease: jobs.Lease) -> Callable[[], None] | None:
        finish = await handler(lease)
        await group_commit.commits.run(lambda: jobs.ack(lease))
        await asyncio.sleep(0)
        return finish

    return early


async def _charge_without_intent(lease: jobs.Lease) -> Callable[[], None] | None:
    """Call the provider first; attempt and outcome are written together afterwards."""
    payment_id, attempt_id, now = lease.payload["payment_id"], ids.new(ids.ATTEMPT), clock.now()
    intent = await group_commit.commits.run(lambda: _prepare_without_row(payment_id, attempt_id))
    if intent is None:
        return None
    try:
        result = await attempts.send(intent)
    except errors.OutcomeUnknown as error:
        reason = str(error)
        return lambda: _write_late(
            intent, lambda: attempts.mark_unknown(intent, reason=reason, now=now)
        )
    return lambda: _write_late(
        intent, lambda: attempts.record_response(intent, result, source="answer", now=now)
    )


def _write_late(intent: attempts.PreparedAttempt, outcome: Callable[[], None]) -> None:
    _insert(intent)
    outcome()


def _prepare_without_row(payment_id: str, attempt_id: str) -> attempts.PreparedAttempt | None:
    payment = queries.lock_payment(payment_id)
    collecting_attempts = [a for a in queries.attempts_of(payment_id) if a.operation in COLLECTING]
    if payment.status != PaymentStatus.PENDING or collecting_attempts:
        return charges.prepare_charge(payment_id=payment_id, attempt_id=attempt_id, now=clock.now())
    attempt = queries.AttemptRow(
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
    return attempts.prepare(attempt=attempt, payment=payment, is_new=True)


def _insert(intent: attempts.PreparedAttempt) -> None:
    payment = queries.lock_payment(intent.payment_id)
    if intent.attempt_id not in {a.id for a in queries.attempts_of(payment.id)}:
        attempts.create_attempt(
            attempt_id=intent.attempt_id,
            payment_id=payment.id,
            operation=Operation.CHARGE,
            amount_minor=payment.amount_minor,
            now=clock.now(),
        )
