"""
The state of a payment, computed from our commands, its attempts and the provider's facts.

`merge` joins two snapshots of one provider object. It is commutative, associative and idempotent
(the join of a semilattice: a maximum under a total order, plus plain maxima), so that any order
and any repetition of facts gives the same object. Times of different sources are never compared.
`fold` is a function of the set of merged objects, hence independent of order too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bursar.money import Money
from bursar.payments.statuses import COLLECTING, LIVE, RANKS, AttemptStatus, PaymentStatus
from bursar.providers.interface import ChargeStatus, ObjectKind, RefundStatus, Snapshot

#: Charge statuses in which the remaining amount may still be captured.
OPEN_AUTHORIZATION = {ChargeStatus.AUTHORIZED, ChargeStatus.PARTIALLY_CAPTURED}


def status_rank(snapshot: Snapshot) -> int:
    """
    Return the rank of a snapshot's status among the statuses of its kind.

    :raises KeyError: if the kind has no such status: a provider plug-in is wrong.
    """
    return RANKS[snapshot.kind][snapshot.status]


def _precedence(snapshot: Snapshot) -> tuple[Any, ...]:
    # A total order over all fields taken from the leading snapshot, so that the maximum does not
    # depend on the order of arguments.
    return (
        snapshot.dispute_stage,
        status_rank(snapshot),
        snapshot.version,
        snapshot.status,
        snapshot.amount.amount_minor,
        snapshot.amount.currency,
        snapshot.code,
        snapshot.soft_decline,
    )


def _larger_amount(a: Money | None, b: Money | None) -> Money | None:
    if a is None or b is None:
        return a or b
    return max(a, b, key=lambda money: (money.amount_minor, money.currency))


def merge(a: Snapshot, b: Snapshot) -> Snapshot:
    """
    Join two snapshots of one provider object.

    Status, amount and code come from the snapshot with the later dispute stage, rank and provider
    version; running totals only grow; fields missing in one come from the other.

    :raises ValueError: if they are of different objects.
    """
    if (a.kind, a.reference) != (b.kind, b.reference):
        raise ValueError(f"{a.kind} {a.reference} and {b.kind} {b.reference} are different objects")
    leading = max(a, b, key=_precedence)
    return replace(
        leading,
        captured_minor=max(a.captured_minor, b.captured_minor),
        refunded_minor=max(a.refunded_minor, b.refunded_minor),
        withdrawn_minor=max(a.withdrawn_minor, b.withdrawn_minor),
        reinstated_minor=max(a.reinstated_minor, b.reinstated_minor),
        fee=_larger_amount(a.fee, b.fee),
        settled=_larger_amount(a.settled, b.settled),
        rate=max(a.rate, b.rate),
        key=max(a.key, b.key),
        parent_reference=max(a.parent_reference, b.parent_reference),
        occurred_at=max(filter(None, (a.occurred_at, b.occurred_at)), default=None),
        evidence_due_by=max(filter(None, (a.evidence_due_by, b.evidence_due_by)), default=None),
    )


def merge_all(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """Merge snapshots per object; return the objects sorted by kind and reference."""
    objects: dict[tuple[str, str], Snapshot] = {}
    for snapshot in snapshots:
        name = (snapshot.kind, snapshot.reference)
        previous = objects.get(name)
        objects[name] = snapshot if previous is None else merge(previous, snapshot)
    return [objects[name] for name in sorted(objects)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundCommand:
    """A refund created by us; *references* are its provider objects."""

    refund_id: str
    amount_minor: int
    tax_minor: int
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSummary:
    """The operation, status and refund of one attempt."""

    operation: str
    status: str
    refund_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Our decisions about a payment. *closed_status* is "", "canceled" or "expired"."""

    amount_minor: int
    tax_minor: int
    currency: str
    closed_status: str = ""
    refunds: tuple[RefundCommand, ...] = ()


@dataclass(frozen=True, slots=True)
class Issue:
    """A condition that requires review; *detail* has the amounts and objects concerned."""

    code: str
    detail: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeAllocation:
    """One charge, its refunds, and the part of it allocated to the order, in minor units."""

    charge: Snapshot
    captured_minor: int
    allocated_minor: int  # the rest is in suspense: overcaptured, or in another currency
    refunds: tuple[Snapshot, ...]
    externally_refunded_minor: int  # only in the charge's running total


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState:
    """The computed state of a payment. Amounts are minor units of the payment's currency."""

    status: PaymentStatus
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    disputed_minor: int
    allocations: tuple[ChargeAllocation, ...]
    disputes: tuple[Snapshot, ...]
    fees: tuple[Snapshot, ...]
    orphan_refunds: tuple[Snapshot, ...]  # their charge is not recorded (yet)
    refund_statuses: Mapping[str, RefundStatus]
    issues: tuple[Issue, ...]


def fold(
    commands: Commands, attempts: Iterable[AttemptSummary], facts: Iterable[Snapshot]
) -> PaymentState:
    """
    Compute a payment's state from its commands, attempts and facts.

    Neither the order nor the repetition of *facts* matters.
    """
    attempts = tuple(attempts)
    objects = merge_all(facts)
    by_kind = {
        kind: tuple(group) for kind, group in itertools.groupby(objects, key=lambda o: o.kind)
    }
    charges = by_kind.get(ObjectKind.CHARGE, ())
    refunds = by_kind.get(ObjectKind.REFUND, ())
    disputes = by_kind.get(ObjectKind.DISPUTE, ())
    allocations = _allocate(commands, charges, refunds)
    charge_references = {charge.reference for charge in charges}
    orphans = tuple(
        refund for refund in refunds if refund.parent_reference not in charge_references
    )
    captured = sum(
        s.captured_minor for s in allocations if _has_payment_currency(commands, s.charge.amount)
    )
    refunded = sum(r.amount.amount_minor for r in orphans if _counts_as_refunded(commands, r))
    for share in allocations:
        refunded += (
            share.externally_refunded_minor
            if _has_payment_currency(commands, share.charge.amount)
            else 0
        )
        refunded += sum(
            r.amount.amount_minor for r in share.refunds if _counts_as_refunded(commands, r)
        )
    authorized = sum(
        charge.amount.amount_minor - charge.captured_minor
        for charge in charges
        if charge.status in OPEN_AUTHORIZATION and _has_payment_currency(commands, charge.amount)
    )
    return PaymentState(
        status=_status(commands, attempts, charges, authorized, captured, refunded),
        authorized_minor=max(0, authorized),
        captured_minor=captured,
        refunded_minor=refunded,
        disputed_minor=sum(_disputed_minor(commands, d, allocations) for d in disputes),
        allocations=allocations,
        disputes=disputes,
        fees=by_kind.get(ObjectKind.FEE, ()),
        orphan_refunds=orphans,
        refund_statuses=_refund_statuses(commands, attempts, refunds),
        issues=_issues(commands, allocations, captured, refunded),
    )


def captured_minor(charge: Snapshot) -> int:
    """Return the captured amount; a captured charge without a running total is captured in full."""
    if charge.status == ChargeStatus.CAPTURED and charge.captured_minor == 0:
        return charge.amount.amount_minor
    return charge.captured_minor


def _has_payment_currency(commands: Commands, amount: Money) -> bool:
    return amount.currency == commands.currency


def _disputed_minor(
    commands: Commands, dispute: Snapshot, allocations: tuple[ChargeAllocation, ...]
) -> int:
    """Return the disputed amount in the payment's currency, converted at the charge's own rate."""
    held_minor = dispute.withdrawn_minor - dispute.reinstated_minor
    if _has_payment_currency(commands, dispute.amount):
        return held_minor
    for share in allocations:
        settled = share.charge.settled
        if (
            settled is not None
            and share.charge.reference == dispute.parent_reference
            and settled.currency == dispute.amount.currency
            and settled.amount_minor > 0
            and _has_payment_currency(commands, share.charge.amount)
        ):
            # Rounded up: a cent less could be refunded in addition to the dispute.
            return -(-held_minor * share.captured_minor // settled.amount_minor)
    return 0


def _counts_as_refunded(commands: Commands, refund: Snapshot) -> bool:
    return refund.status == RefundStatus.SUCCEEDED and _has_payment_currency(
        commands, refund.amount
    )


def _allocate(
    commands: Commands, charges: tuple[Snapshot, ...], refunds: tuple[Snapshot, ...]
) -> tuple[ChargeAllocation, ...]:
    allocations = []
    unallocated = commands.amount_minor
    for charge in charges:
        captured = captured_minor(charge)
        allocated = (
            min(captured, unallocated) if _has_payment_currency(commands, charge.amount) else 0
        )
        unallocated -= allocated
        own = tuple(r for r in refunds if r.parent_reference == charge.reference)
        allocations.append(
            ChargeAllocation(
                charge=charge,
                captured_minor=captured,
                allocated_minor=allocated,
                refunds=own,
                externally_refunded_minor=externally_refunded_minor(charge, own),
            )
        )
    return tuple(allocations)


def externally_refunded_minor(charge: Snapshot, refunds: Iterable[Snapshot]) -> int:
    """
    Return the refunded amount of *charge* that is in none of *refunds*, its own refund objects.

    The running total includes refund objects, also those that failed later: it never shrinks.
    """
    counted = sum(r.amount.amount_minor for r in refunds if _is_in_running_total(charge, r))
    return max(0, charge.refunded_minor - counted)


def _is_in_running_total(charge: Snapshot, refund: Snapshot) -> bool:
    # A refund declined at once is no provider object: its reference is our own key.
    is_declined = refund.status == RefundStatus.FAILED and refund.reference == refund.key
    return not is_declined and refund.amount.currency == charge.amount.currency


def _status(  # noqa: C901, PLR0911  (one status per line, highest precedence first)
    commands: Commands,
    attempts: tuple[AttemptSummary, ...],
    charges: tuple[Snapshot, ...],
    authorized: int,
    captured: int,
    refunded: int,
) -> PaymentStatus:
    if captured > 0:
        return _status_of_captured(commands, captured, refunded)
    if authorized > 0:
        return PaymentStatus.AUTHORIZED
    collecting = {a.status for a in attempts if a.operation in COLLECTING}
    statuses = {charge.status for charge in charges}
    if any(captured_minor(charge) for charge in charges):
        return PaymentStatus.PROCESSING  # paid in another currency: needs review
    if AttemptStatus.UNKNOWN in collecting:
        return PaymentStatus.UNKNOWN
    if commands.closed_status:
        return PaymentStatus(
            commands.closed_status
        )  # regardless of what an abandoned charge still waits for
    if ChargeStatus.REQUIRES_ACTION in statuses:
        return PaymentStatus.REQUIRES_ACTION
    if ChargeStatus.PENDING in statuses or AttemptStatus.CREATED in collecting:
        return PaymentStatus.PROCESSING
    if ChargeStatus.EXPIRED in statuses:
        return PaymentStatus.EXPIRED
    if ChargeStatus.VOIDED in statuses:
        return PaymentStatus.CANCELED
    if ChargeStatus.DECLINED in statuses or AttemptStatus.DECLINED in collecting:
        return PaymentStatus.DECLINED
    return PaymentStatus.PENDING


def _status_of_captured(commands: Commands, captured: int, refunded: int) -> PaymentStatus:
    if refunded >= captured:
        return PaymentStatus.REFUNDED
    if refunded > 0:
        return PaymentStatus.PARTIALLY_REFUNDED
    if captured < commands.amount_minor:
        return PaymentStatus.PARTIALLY_CAPTURED
    return PaymentStatus.CAPTURED


def _refund_statuses(
    commands: Commands, attempts: tuple[AttemptSummary, ...], refunds: tuple[Snapshot, ...]
) -> dict[str, RefundStatus]:
    status_by_reference = {refund.reference: RefundStatus(refund.status) for refund in refunds}
    attempt_statuses: dict[str, set[str]] = {}
    for attempt in attempts:
        if attempt.refund_id:
            attempt_statuses.setdefault(attempt.refund_id, set()).add(attempt.status)
    return {
        command.refund_id: _refund_status(
            {status_by_reference[r] for r in command.references if r in status_by_reference},
            attempt_statuses.get(command.refund_id, set()),
        )
        for command in commands.refunds
    }


def _refund_status(object_statuses: set[RefundStatus], attempt_statuses: set[str]) -> RefundStatus:
    # A refund may have several provider objects: one success is enough, and it has failed only
    # when none is open.
    if RefundStatus.SUCCEEDED in object_statuses:
        return RefundStatus.SUCCEEDED
    if RefundStatus.PENDING in object_statuses or attempt_statuses & set(LIVE):
        return RefundStatus.PENDING
    for final in (RefundStatus.FAILED, RefundStatus.CANCELED):
        if final in object_statuses:
            return final
    return (
        RefundStatus.FAILED if AttemptStatus.DECLINED in attempt_statuses else RefundStatus.PENDING
    )


def _issues(
    commands: Commands, allocations: tuple[ChargeAllocation, ...], captured: int, refunded: int
) -> tuple[Issue, ...]:
    issues = []
    paid = [share for share in allocations if share.captured_minor > 0]
    foreign = [share for share in paid if not _has_payment_currency(commands, share.charge.amount)]
    expected = str(Money(commands.amount_minor, commands.currency))
    for share in foreign:
        received = Money(share.captured_minor, share.charge.amount.currency)
        issues.append(
            _issue("currency_mismatch", charge=share.charge.reference, received=str(received))
        )
    if captured > commands.amount_minor:
        received = Money(captured, commands.currency)
        issues.append(_issue("over_captured", expected=expected, received=str(received)))
    if len(paid) > 1:
        references = " ".join(share.charge.reference for share in paid)
        issues.append(_issue("duplicate_charge", charges=references))
    if commands.closed_status and captured > 0:
        issues.append(_issue("captured_after_close", closed=commands.closed_status))
    if refunded > captured:
        received = Money(refunded, commands.currency)
        issues.append(_issue("over_refunded", refunded=str(received)))
    return tuple(issues)


def _issue(code: str, **detail: object) -> Issue:
    return Issue(code, tuple(sorted(detail.items())))
