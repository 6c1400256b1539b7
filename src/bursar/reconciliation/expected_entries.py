"""The movements of a provider's balance that our books expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Max, Min, Sum

from bursar.money import Money
from bursar.payments import payment_state, queries
from bursar.payments.models import Fact
from bursar.providers.interface import Category, MovementStatus, ObjectKind, RefundStatus, Snapshot
from bursar.reconciliation.models import MatchedEntry
from bursar.reconciliation.settlement_matching import ExpectedEntry


@dataclass(frozen=True, slots=True)
class ProviderObject:
    """A provider object merged from all its facts, and when it occurred."""

    snapshot: Snapshot
    occurred_at: datetime


ProviderObjects = dict[tuple[str, str], ProviderObject]


def load_objects(provider_account: str) -> ProviderObjects:
    """Load every object of the account into memory, by (kind, reference)."""
    facts = Fact.objects.filter(provider_account_id=provider_account)
    # By the provider's clock if reported, else by when we first received a fact.
    when = facts.values_list("kind", "reference").annotate(Max("occurred_at"), Min("received_at"))
    objects = {}
    for kind, reference, occurred, received in when.order_by("kind", "reference"):
        snapshots = queries.facts_of_object(provider_account, (kind, reference))
        objects[kind, reference] = ProviderObject(
            payment_state.merge_all(snapshots)[0], occurred or received
        )
    return objects


#: (category, source) -> gross and fee settled by earlier runs, in minor units.
SettledAmounts = Mapping[tuple[str, str], tuple[int, int]]


def load_settled_amounts(provider_account: str) -> SettledAmounts:
    """Return what earlier runs settled of each movement."""
    rows = MatchedEntry.objects.filter(provider_account_id=provider_account)
    sums = rows.values_list("category", "source").annotate(Sum("gross_minor"), Sum("fee_minor"))
    return {(category, source): (int(gross), int(fee)) for category, source, gross, fee in sums}


def open_entries(objects: ProviderObjects, settled: SettledAmounts) -> list[ExpectedEntry]:
    """Return the movements, or parts of them, that no run has settled yet."""
    entries = []
    for entry in _movements(objects):
        gross, fee = settled.get((entry.category.value, entry.source), (0, 0))
        fee_minor = None if entry.fee_minor is None else entry.fee_minor - fee
        remaining = replace(entry, gross_minor=entry.gross_minor - gross, fee_minor=fee_minor)
        if remaining.gross_minor or (
            remaining.fee_minor and (entry.category.value, entry.source) in settled
        ):
            entries.append(remaining)
    return entries


def _movements(objects: ProviderObjects) -> Iterator[ExpectedEntry]:
    for (kind, reference), provider_object in objects.items():
        if kind == ObjectKind.FEE:
            owners = (
                (other.value, reference) for other in ObjectKind if other is not ObjectKind.FEE
            )
            # A fee of a movement is part of that movement's line.
            if provider_object.snapshot.status != MovementStatus.FAILED and not any(
                o in objects for o in owners
            ):
                yield _entry(provider_object, Category.FEE, -provider_object.snapshot.amount)
        else:
            fee = objects.get((ObjectKind.FEE.value, reference))
            yield from _entries(provider_object, fee.snapshot if fee else None)


def _entries(
    provider_object: ProviderObject, fee_snapshot: Snapshot | None
) -> Iterator[ExpectedEntry]:
    snapshot = provider_object.snapshot
    fee = fee_snapshot.amount if fee_snapshot else None
    total_fee = (
        fee if fee is not None or snapshot.settled is None else Money(0, snapshot.settled.currency)
    )
    if snapshot.kind is ObjectKind.CHARGE and (captured := payment_state.captured_minor(snapshot)):
        if fee_snapshot is not None and fee_snapshot.version < captured:
            total_fee = None  # reported for an earlier partial capture only
        amount = Money(captured, snapshot.amount.currency)
        if snapshot.settled is not None and snapshot.settled.currency != amount.currency:
            amount = snapshot.settled
        yield _entry(
            provider_object,
            Category.CHARGE,
            amount,
            total_fee,
            is_fee_reported=total_fee is not None,
        )
    elif snapshot.kind is ObjectKind.REFUND and snapshot.status == RefundStatus.SUCCEEDED:
        amount = -(snapshot.settled or snapshot.amount)
        yield _entry(
            provider_object,
            Category.REFUND,
            amount,
            total_fee,
            is_fee_reported=total_fee is not None,
        )
    elif snapshot.kind is ObjectKind.DISPUTE:
        currency = snapshot.amount.currency
        if snapshot.withdrawn_minor:
            withdrawn = Money(-snapshot.withdrawn_minor, currency)
            yield _entry(
                provider_object, Category.DISPUTE, withdrawn, fee, is_fee_reported=fee is not None
            )
        if snapshot.reinstated_minor:
            yield _entry(
                provider_object,
                Category.DISPUTE_REVERSAL,
                Money(snapshot.reinstated_minor, currency),
            )
    elif snapshot.kind is ObjectKind.PAYOUT and snapshot.status != MovementStatus.FAILED:
        yield _entry(provider_object, Category.PAYOUT, -(snapshot.settled or snapshot.amount))


def _entry(
    provider_object: ProviderObject,
    category: Category,
    amount: Money,
    fee: Money | None = None,
    *,
    is_fee_reported: bool = True,
) -> ExpectedEntry:
    snapshot = provider_object.snapshot
    fee_minor = fee.amount_minor if fee is not None else 0
    return ExpectedEntry(
        category=category,
        source=snapshot.reference,
        parent_reference=snapshot.parent_reference,
        currency=amount.currency,
        gross_minor=amount.amount_minor,
        fee_minor=fee_minor if is_fee_reported else None,
        occurred_at=provider_object.occurred_at,
        settled=snapshot.kind not in {ObjectKind.CHARGE, ObjectKind.REFUND}
        or snapshot.settled is not None,
        converted=snapshot.settled is not None
        and snapshot.settled.currency != snapshot.amount.currency,
    )
