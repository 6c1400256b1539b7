"""Snapshots for what settlement lines report and our books miss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from bursar.money import Money
from bursar.providers.interface import (
    Category,
    ChargeStatus,
    DisputeStatus,
    MovementStatus,
    ObjectKind,
    RefundStatus,
    SettlementLine,
    Snapshot,
)
from bursar.reconciliation.expected_entries import ProviderObjects, SettledAmounts
from bursar.reconciliation.settlement_matching import MatchResult, MatchStatus

_OWN = {Category.CHARGE: ObjectKind.CHARGE, Category.REFUND: ObjectKind.REFUND}


def missing_snapshot(line: SettlementLine) -> Snapshot | None:
    """Return the object behind a line missing in our books; None for categories we do not post."""
    gross = Money(line.gross_minor, line.currency)
    paid = line.paid or gross
    size = abs(paid.amount_minor)
    snapshot = Snapshot(
        kind=ObjectKind.CHARGE,
        reference=line.source,
        status=ChargeStatus.CAPTURED,
        amount=Money(size, paid.currency),
        parent_reference=line.parent_reference,
        occurred_at=line.occurred_at,
        rate=line.rate,
        fee=Money(line.fee_minor, line.currency) if line.fee_minor else None,
    )
    withdrawn = Money(abs(gross.amount_minor), gross.currency)
    is_debit = line.gross_minor < 0
    changes: dict[str, Any]
    match line.category:
        case Category.CHARGE if not is_debit:
            changes = {"captured_minor": size, "settled": gross}
        case Category.REFUND if is_debit:
            changes = {
                "kind": ObjectKind.REFUND,
                "status": RefundStatus.SUCCEEDED,
                "settled": -gross,
            }
        case Category.REFUND_FAILURE:
            changes = {"kind": ObjectKind.REFUND, "status": RefundStatus.FAILED}
        case Category.DISPUTE if is_debit:
            changes = {
                "kind": ObjectKind.DISPUTE,
                "status": DisputeStatus.NEEDS_RESPONSE,
                "amount": withdrawn,
                "withdrawn_minor": withdrawn.amount_minor,
            }
        case Category.DISPUTE_REVERSAL if not is_debit:
            changes = {
                "kind": ObjectKind.DISPUTE,
                "status": DisputeStatus.WON,
                "amount": withdrawn,
                "reinstated_minor": withdrawn.amount_minor,
            }
        case Category.FEE:
            cost = Money(-line.net_minor, line.currency)
            changes = {
                "kind": ObjectKind.FEE,
                "status": MovementStatus.POSTED,
                "amount": cost,
                "fee": None,
            }
        case Category.PAYOUT if is_debit:
            changes = {
                "kind": ObjectKind.PAYOUT,
                "status": MovementStatus.POSTED,
                "amount": withdrawn,
            }
        case Category.PAYOUT_REVERSAL:
            changes = {
                "kind": ObjectKind.PAYOUT,
                "status": MovementStatus.FAILED,
                "amount": withdrawn,
            }
        case _:
            return None
    return replace(snapshot, **changes)


def new_snapshots(
    result: MatchResult, objects: ProviderObjects, settled: SettledAmounts
) -> Iterator[Snapshot]:
    """
    Yield the fee and exchange rate that a match reveals, where our books lack them.

    Facts are totals, so what earlier runs have settled of the movement (*done*) is added.
    """
    if result.match_status is not MatchStatus.MATCHED or len(result.entries) != 1:
        return
    (entry,) = result.entries
    kind = _OWN.get(entry.category)
    if kind is None or (entry.settled and entry.fee_minor is not None) or not result.lines:
        return
    snapshot = objects[kind.value, entry.source].snapshot
    currency = result.lines[0].currency
    gross, fee = settled.get((entry.category.value, entry.source), (0, 0))
    gross += sum(line.gross_minor for line in result.lines)
    fee += sum(line.fee_minor for line in result.lines)
    sign = 1 if kind is ObjectKind.CHARGE else -1
    rates = {line.rate for line in result.lines}
    yield replace(
        snapshot,
        settled=Money(sign * gross, currency),
        rate=snapshot.rate or (rates.pop() if len(rates) == 1 else ""),
        fee=Money(fee, currency) if fee else None,
    )


def missing_payouts(
    lines: Iterable[SettlementLine], objects: ProviderObjects
) -> Iterator[Snapshot]:
    """Yield payouts that lines name but no fact or line reports; each is the sum of its lines."""
    sums: dict[tuple[str, str], int] = {}
    occurred_at: dict[str, datetime] = {}
    reported = {line.source for line in lines if line.category is Category.PAYOUT}
    for line in lines:
        is_missing = (
            ObjectKind.PAYOUT.value,
            line.payout,
        ) not in objects and line.payout not in reported
        if line.payout and line.category is not Category.PAYOUT and is_missing:
            name = line.payout, line.currency
            sums[name] = sums.get(name, 0) + line.net_minor
            occurred_at[line.payout] = max(
                line.occurred_at, occurred_at.get(line.payout, line.occurred_at)
            )
    for (payout, currency), net in sums.items():
        if net > 0:
            yield Snapshot(
                kind=ObjectKind.PAYOUT,
                reference=payout,
                status=MovementStatus.POSTED,
                amount=Money(net, currency),
                occurred_at=occurred_at[payout],
            )
