"""Compare our books with the objects and balances that providers report, in both directions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from bursar import errors
from bursar.payments import facts, payment_state, provider_accounts, queries
from bursar.payments.models import Fact, ProviderAccount
from bursar.providers.capabilities import SupportsListObjects
from bursar.providers.interface import ObjectKind, PaymentProvider, RefundStatus, Snapshot

Row = Mapping[str, object]


def compare_objects() -> Iterator[Row]:
    """Yield objects that exist on one side only, or with different amounts."""
    for account in ProviderAccount.objects.order_by("name"):
        provider = provider_accounts.get(account.name)
        if isinstance(provider, SupportsListObjects):
            theirs = {
                (s.kind.value, s.reference): moved_amounts(s)
                for s in provider_accounts.run_sync(_fetch_objects(provider))
            }
            yield from _differences(account.name, theirs)


async def _fetch_objects(provider: PaymentProvider) -> list[Snapshot]:
    assert isinstance(provider, SupportsListObjects)
    snapshots = [s async for s in provider.list_objects()]
    return payment_state.merge_all(
        part for snapshot in snapshots for part in facts.split_snapshot(snapshot)
    )


def _differences(account: str, theirs: Mapping[tuple[str, str], Counter[str]]) -> Iterator[Row]:
    keys = Fact.objects.filter(provider_account_id=account)
    ours = {
        (kind, reference): moved_amounts(
            payment_state.merge_all(queries.facts_of_object(account, (kind, reference)))[0]
        )
        for kind, reference in keys.values_list("kind", "reference").distinct().iterator()
    }
    for key in sorted(ours.keys() | theirs.keys()):
        our, their = ours.get(key, Counter()), theirs.get(key, Counter())
        if our != their:
            yield {
                "account": account,
                "kind": key[0],
                "reference": key[1],
                "ours": dict(our),
                "theirs": dict(their),
            }


def moved_amounts(snapshot: Snapshot) -> Counter[str]:
    """Return the amounts an object has moved, by kind and currency; empty if it moved none."""
    currency = snapshot.amount.currency
    moved: Counter[str] = Counter()
    if snapshot.kind is ObjectKind.CHARGE:
        moved[f"captured {currency}"] = payment_state.captured_minor(snapshot)
    elif snapshot.kind is ObjectKind.DISPUTE:
        moved[f"withdrawn {currency}"] = snapshot.withdrawn_minor
        moved[f"reinstated {currency}"] = snapshot.reinstated_minor
    elif snapshot.kind is not ObjectKind.REFUND or snapshot.status == RefundStatus.SUCCEEDED:
        moved[f"{snapshot.status} {currency}"] = snapshot.amount.amount_minor
    return Counter({what: amount for what, amount in moved.items() if amount})


def compare_balances() -> Iterator[Row]:
    """Yield currencies in which our receivable differs from the provider's balance."""
    for account in ProviderAccount.objects.order_by("name").values_list("name", flat=True):
        try:
            theirs = provider_accounts.fetch_balance(account)
        except (errors.Unavailable, errors.OutcomeUnknown) as error:
            yield {"account": account, "balance not available": str(error)}
            continue
        ours = provider_accounts.receivable_balances(account)
        if theirs is not None:
            for currency in sorted(ours.keys() | theirs.keys()):
                our, their = ours.get(currency, 0), theirs.get(currency, 0)
                if our != their:
                    yield {
                        "account": account,
                        "currency": currency,
                        "ours_minor": our,
                        "theirs_minor": their,
                    }
