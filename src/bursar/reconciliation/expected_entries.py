"""What our books expect of a provider's balance, movement by movement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Max, Min, Sum

from bursar.money import Money
from bursar.payments import payment_state, queries
from bursar.payments.models import Fact
from bursar.providers.interface import Category, MovementStatus, ObjectKind, RefundStatus, Snapshot
from bursar.reconciliation.matching import ExpectedEntry
from bursar.reconciliation.models import MatchedEntry


@dataclass(frozen=True, slots=True)
class KnownObject:
    """A provider's object as all its facts together tell it, and when it came about."""

    object: Snapshot
    at: datetime


Objects = dict[tuple[str, str], KnownObject]


def objects_of(provider_account: str) -> Objects:
    """Every object of the account; memory grows with them."""
    facts = Fact.objects.filter(provider_account_id=provider_account)
    # By the provider's own clock, where it tells; what we heard later happened before.
    when = facts.values_list("kind", "reference").annotate(Max("occurred_at"), Min("received_at"))
    found = {}
    for kind, reference, occurred, received in when.order_by("kind", "reference"):
        snapshots = queries.facts_of_object(provider_account, (kind, reference))
        found[kind, reference] = KnownObject(
            payment_state.merge_all(snapshots)[0], occurred or received
        )
    return found


#: What earlier runs have settled, by (category, source): gross and fee in minor units.
Done = Mapping[tuple[str, str], tuple[int, int]]


def matched_entries(provider_account: str) -> Done:
    """What earlier runs have settled of each movement."""
    rows = MatchedEntry.objects.filter(provider_account_id=provider_account)
    sums = rows.values_list("category", "source").annotate(Sum("gross_minor"), Sum("fee_minor"))
    return {(category, source): (int(gross), int(fee)) for category, source, gross, fee in sums}


def expected(objects: Objects, done: Done) -> list[ExpectedEntry]:
    """The movements that no run has settled yet, or what of them it has not."""
    left = []
    for entry in _movements(objects):
        gross, fee = done.get((entry.category.value, entry.source), (0, 0))
        known = None if entry.fee_minor is None else entry.fee_minor - fee
        rest = replace(entry, gross_minor=entry.gross_minor - gross, fee_minor=known)
        if rest.gross_minor or (rest.fee_minor and (entry.category.value, entry.source) in done):
            left.append(rest)
    return left


def _movements(objects: Objects) -> Iterator[ExpectedEntry]:
    for (kind, reference), known in objects.items():
        if kind == ObjectKind.FEE:
            owners = (
                (other.value, reference) for other in ObjectKind if other is not ObjectKind.FEE
            )
            # A fee that hangs on a movement is in that movement's line.
            if known.object.status != MovementStatus.FAILED and not any(
                o in objects for o in owners
            ):
                yield _entry(known, Category.FEE, -known.object.amount)
        else:
            fee = objects.get((ObjectKind.FEE.value, reference))
            yield from _entries(known, fee.object if fee else None)


def _entries(known: KnownObject, told_fee: Snapshot | None) -> Iterator[ExpectedEntry]:
    one = known.object
    fee = told_fee.amount if told_fee else None
    told = fee if fee is not None or one.settled is None else Money(0, one.settled.currency)
    if one.kind is ObjectKind.CHARGE and (captured := payment_state.captured_minor(one)):
        if told_fee is not None and told_fee.version < captured:
            told = None  # it was told of an earlier part only
        amount = Money(captured, one.amount.currency)
        if one.settled is not None and one.settled.currency != amount.currency:
            amount = one.settled
        yield _entry(known, Category.CHARGE, amount, told, fee_known=told is not None)
    elif one.kind is ObjectKind.REFUND and one.status == RefundStatus.SUCCEEDED:
        amount = -(one.settled or one.amount)
        yield _entry(known, Category.REFUND, amount, told, fee_known=told is not None)
    elif one.kind is ObjectKind.DISPUTE:
        currency = one.amount.currency
        if one.withdrawn_minor:
            taken = Money(-one.withdrawn_minor, currency)
            yield _entry(known, Category.DISPUTE, taken, fee, fee_known=fee is not None)
        if one.reinstated_minor:
            yield _entry(known, Category.DISPUTE_REVERSAL, Money(one.reinstated_minor, currency))
    elif one.kind is ObjectKind.PAYOUT and one.status != MovementStatus.FAILED:
        yield _entry(known, Category.PAYOUT, -(one.settled or one.amount))


def _entry(
    known: KnownObject,
    category: Category,
    amount: Money,
    fee: Money | None = None,
    *,
    fee_known: bool = True,
) -> ExpectedEntry:
    one = known.object
    fee_minor = fee.amount_minor if fee is not None else 0
    return ExpectedEntry(
        category=category,
        source=one.reference,
        parent_reference=one.parent_reference,
        currency=amount.currency,
        gross_minor=amount.amount_minor,
        fee_minor=fee_minor if fee_known else None,
        occurred_at=known.at,
        settled=one.kind not in {ObjectKind.CHARGE, ObjectKind.REFUND} or one.settled is not None,
        converted=one.settled is not None and one.settled.currency != one.amount.currency,
    )
