"""Booking: whatever was heard, in whatever order, the books end alike and agree with the provider."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.money import Money
from bursar.payments import accounting, payment_state
from bursar.payments.payment_state import Commands, RefundCommand
from bursar.providers.interface import ObjectKind, Snapshot
from tests import thoroughness
from tests.unit.payments import histories
from tests.unit.payments.histories import balances_of

EUR_1000 = Commands(amount_minor=1000, tax_minor=160, currency="EUR")
RECEIVABLE = "receivable/bank-eu:EUR"


def owed(news: Sequence[Snapshot]) -> dict[str, int]:
    """What the provider owes by what is known: the last thing it told of each of its objects."""
    balance: dict[str, int] = {}
    latest = {(s.kind, s.reference): s for s in news}

    def add(amount: Money, sign: int) -> None:
        balance[amount.currency] = balance.get(amount.currency, 0) + sign * amount.amount_minor

    for snapshot in latest.values():
        currency = snapshot.amount.currency
        if snapshot.kind is ObjectKind.CHARGE and snapshot.captured_minor:
            add(snapshot.settled or Money(snapshot.captured_minor, currency), 1)
            refunds = [s for s in latest.values() if s.kind is ObjectKind.REFUND]
            told = sum(s.amount.amount_minor for s in refunds if s.parent_reference == "ch_1")
            if snapshot.reference == "ch_1" and snapshot.refunded_minor > told:
                gone = snapshot.refunded_minor - told
                settled = snapshot.settled
                if settled:  # told without what it cost: at the charge's own rate
                    gone = accounting.round_half_even(
                        settled.amount_minor * gone, snapshot.captured_minor
                    )
                add(Money(gone, settled.currency if settled else currency), -1)
        elif snapshot.kind is ObjectKind.REFUND and snapshot.status == "succeeded":
            add(snapshot.settled or snapshot.amount, -1)
        elif snapshot.kind is ObjectKind.FEE:
            add(snapshot.amount, -1)
        elif snapshot.kind is ObjectKind.DISPUTE:
            add(Money(snapshot.withdrawn_minor - snapshot.reinstated_minor, currency), -1)
    return {currency: amount for currency, amount in balance.items() if amount}


@pytest.mark.parametrize("course", histories.COURSES)
def test_every_way_to_hear_of_a_payment_ends_in_the_same_books(course: str) -> None:
    """All subsets in all orders, posted step by step as the news come."""
    provider = histories.COURSES[course]()
    commands = provider.commands()
    for size in range(len(provider.news) + 1):
        for subset in itertools.combinations(provider.news, size):
            at_once = balances_of(commands, subset)
            assert histories.receivables(at_once) == owed(subset)
            for order in itertools.permutations(subset):
                state = payment_state.fold(commands, (), order)
                target = accounting.target_balances(
                    commands=commands, state=state, provider_account="bank-eu"
                )
                books = histories.Books()
                books.post(target)
                assert books.balances() == at_once
    assert histories.receivables(balances_of(commands, provider.news)) == provider.balance_now()


@pytest.mark.parametrize("course", histories.COURSES)
def test_every_order_posted_step_by_step_ends_in_the_same_books(course: str) -> None:
    provider = histories.COURSES[course]()
    commands = provider.commands()
    targets: dict[frozenset[int], accounting.Target] = {}
    at_once = balances_of(commands, provider.news)
    for order in itertools.permutations(range(len(provider.news))):
        books = histories.Books()
        for heard in range(1, len(order) + 1):
            known = frozenset(order[:heard])
            if known not in targets:
                state = payment_state.fold(commands, (), [provider.news[i] for i in order[:heard]])
                targets[known] = accounting.target_balances(
                    commands=commands, state=state, provider_account="bank-eu"
                )
            books.post(targets[known])
        assert books.balances() == at_once


@settings(max_examples=thoroughness.examples(200))
@given(histories.providers(), st.randoms(use_true_random=False))
def test_random_histories_with_drops_and_repeats_agree_with_the_provider(
    provider: histories.Provider, dice: random.Random
) -> None:
    commands = provider.commands()
    assert histories.receivables(balances_of(commands, provider.news)) == (provider.balance_now())

    kept = [snapshot for snapshot in provider.news if dice.random() < 0.7]
    order = [*kept, *dice.choices(kept, k=3)] if kept else []
    dice.shuffle(order)
    books = histories.Books()
    for heard in range(1, len(order) + 1):
        state = payment_state.fold(commands, (), order[:heard])
        books.post(
            accounting.target_balances(commands=commands, state=state, provider_account="bank-eu")
        )
    assert books.balances() == balances_of(commands, kept)
    assert histories.receivables(books.balances()) == owed(kept)


@settings(max_examples=thoroughness.examples(200))
@given(histories.providers())
def test_tax_never_exceeds_what_was_sold_or_given_back(provider: histories.Provider) -> None:
    commands = provider.commands(tax_minor=provider.amount_minor * 16 // 100)
    for heard in range(len(provider.news) + 1):
        balances = balances_of(commands, provider.news[:heard])
        currency = provider.currency
        tax = -balances.get(f"tax_payable:{currency}", 0)
        net = -balances.get(f"sales:{currency}", 0)
        assert 0 <= tax <= commands.tax_minor
        assert net >= 0
        assert balances.get(f"sales_returns:{currency}", 0) >= 0


# --- Traps --------------------------------------------------------------------------------------


def charge(status: str = "captured", **told: object) -> Snapshot:
    made: dict[str, object] = {
        "reference": "ch_1",
        "amount": Money(1000, "EUR"),
        "captured_minor": 1000,
        **told,
    }
    return Snapshot(kind=ObjectKind.CHARGE, status=status, **made)  # type: ignore[arg-type]


def refund(amount_minor: int, status: str = "succeeded", **told: object) -> Snapshot:
    made: dict[str, object] = {
        "reference": "re_1",
        "parent_reference": "ch_1",
        "amount": Money(amount_minor, "EUR"),
        **told,
    }
    return Snapshot(kind=ObjectKind.REFUND, status=status, **made)  # type: ignore[arg-type]


def fee(amount_minor: int, **told: object) -> Snapshot:
    made: dict[str, object] = {"reference": "ch_1", "parent_reference": "ch_1", **told}
    amount = Money(amount_minor, "EUR")
    return Snapshot(kind=ObjectKind.FEE, status="posted", amount=amount, **made)  # type: ignore[arg-type]


def test_a_captured_payment_is_sales_and_tax() -> None:
    assert balances_of(EUR_1000, [charge()]) == {
        RECEIVABLE: 1000,
        "sales:EUR": -840,
        "tax_payable:EUR": -160,
    }


def test_an_authorization_books_nothing() -> None:
    assert balances_of(EUR_1000, [charge("authorized", captured_minor=0)]) == {}


def test_a_partial_capture_has_its_part_of_the_tax() -> None:
    parts = [charge("partially_captured", captured_minor=333), charge(captured_minor=400)]
    assert balances_of(EUR_1000, parts) == {
        RECEIVABLE: 400,
        "sales:EUR": -336,
        "tax_payable:EUR": -64,
    }


def test_a_refund_that_failed_is_taken_back_and_the_second_one_booked() -> None:
    commands = replace(
        EUR_1000,
        refunds=(
            RefundCommand(refund_id="a", amount_minor=1000, tax_minor=160, references=("re_1",)),
            RefundCommand(refund_id="b", amount_minor=1000, tax_minor=160, references=("re_2",)),
        ),
    )
    books = histories.Books()
    told: list[Snapshot] = []
    seen = []
    for news in [charge(), refund(1000), refund(1000, "failed"), refund(1000, reference="re_2")]:
        told.append(news)
        state = payment_state.fold(commands, (), told)
        books.post(
            accounting.target_balances(commands=commands, state=state, provider_account="bank-eu")
        )
        seen.append(books.balances().get(RECEIVABLE, 0))
    assert seen == [1000, 0, 1000, 0]
    assert books.balances() == {"sales:EUR": -840, "sales_returns:EUR": 840}


def test_a_refund_told_only_in_the_charges_total_is_a_return() -> None:
    assert balances_of(EUR_1000, [charge(refunded_minor=250)]) == {
        RECEIVABLE: 750,
        "sales:EUR": -840,
        "sales_returns:EUR": 210,
        "tax_payable:EUR": -120,
    }


def test_a_refund_made_elsewhere_as_an_object_is_a_return_too() -> None:
    assert balances_of(EUR_1000, [charge(), refund(250)]) == balances_of(
        EUR_1000, [charge(refunded_minor=250), refund(250)]
    )


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (2, {RECEIVABLE: 1000}),
        (3, {"disputes_held:EUR": 1000}),
        (4, {RECEIVABLE: 1000}),
        (5, {"disputes_held:EUR": 1000}),
        (6, {"dispute_losses:EUR": 1000}),
    ],
)
def test_a_dispute_of_two_rounds(steps: int, expected: dict[str, int]) -> None:
    provider = histories.COURSES["disputed twice"]()
    balances = balances_of(provider.commands(), provider.news[:steps])
    assert balances == {"sales:EUR": -840, "tax_payable:EUR": -160, **expected}


def test_a_dispute_after_a_refund_may_leave_us_owing() -> None:
    dispute = Snapshot(
        kind=ObjectKind.DISPUTE,
        reference="dp_1",
        status="lost",
        amount=Money(1000, "EUR"),
        withdrawn_minor=1000,
        parent_reference="ch_1",
    )
    assert balances_of(EUR_1000, [charge(), refund(1000), dispute]) == {
        RECEIVABLE: -1000,
        "dispute_losses:EUR": 1000,
        "sales:EUR": -840,
        "sales_returns:EUR": 840,
    }


def test_a_dispute_in_another_currency_is_held_in_that_currency() -> None:
    dispute = Snapshot(
        kind=ObjectKind.DISPUTE,
        reference="dp_1",
        status="needs_response",
        amount=Money(1100, "USD"),
        withdrawn_minor=1100,
        parent_reference="ch_1",
    )
    assert balances_of(EUR_1000, [charge(), dispute]) == {
        "disputes_held:USD": 1100,
        RECEIVABLE: 1000,
        "receivable/bank-eu:USD": -1100,
        "sales:EUR": -840,
        "tax_payable:EUR": -160,
    }


def test_a_fee_told_twice_is_paid_once() -> None:
    once = balances_of(EUR_1000, [charge(), fee(30)])
    assert once["fees/bank-eu:EUR"] == 30
    assert once[RECEIVABLE] == 970
    assert balances_of(EUR_1000, [fee(30), charge(), fee(30)]) == once


def test_a_fee_that_grew_with_a_later_capture_is_its_last_amount() -> None:
    told = [fee(12, version=400), fee(30, version=1000)]
    assert balances_of(EUR_1000, [charge(), *told])["fees/bank-eu:EUR"] == 30


def test_a_fee_that_failed_is_not_owed() -> None:
    assert "fees/bank-eu:EUR" not in balances_of(
        EUR_1000, [charge(), fee(30), replace(fee(30), status="failed")]
    )


def test_a_fee_without_a_payment_is_booked_all_the_same() -> None:
    assert accounting.target_balances_unmatched(
        objects=[fee(30), fee(30)], provider_account="bank-eu"
    ) == {("fees/bank-eu:EUR", RECEIVABLE): 30}


def test_a_charge_of_nobodys_is_in_suspense_less_what_it_gave_back() -> None:
    told = charge(refunded_minor=400)
    refunds = [refund(300)]
    assert accounting.target_balances_unmatched(
        objects=[told], refunds=refunds, provider_account="bank-eu"
    ) == {
        (RECEIVABLE, "suspense:EUR"): 1000,
        ("suspense:EUR", RECEIVABLE): 100,
    }
    assert accounting.target_balances_unmatched(objects=refunds, provider_account="bank-eu") == {
        ("suspense:EUR", RECEIVABLE): 300
    }


def test_a_payout_is_on_its_way_until_it_fails() -> None:
    payout = Snapshot(
        kind=ObjectKind.PAYOUT, reference="po_1", status="posted", amount=Money(970, "EUR")
    )
    assert accounting.target_balances_unmatched(objects=[payout], provider_account="bank-eu") == {
        ("cash_in_transit/bank-eu:EUR", RECEIVABLE): 970
    }
    returned = [payout, replace(payout, status="failed")]
    assert accounting.target_balances_unmatched(objects=returned, provider_account="bank-eu") == {}


def test_what_is_settled_in_another_currency_passes_through_clearing() -> None:
    commands = replace(EUR_1000, currency="USD")
    told = [
        charge(amount=Money(1000, "USD"), settled=Money(900, "EUR"), rate="0.9"),
        refund(300, amount=Money(300, "USD"), settled=Money(270, "EUR")),
    ]
    assert balances_of(commands, told) == {
        "fx_clearing:EUR": -630,
        "fx_clearing:USD": 700,
        RECEIVABLE: 630,
        "sales:USD": -840,
        "sales_returns:USD": 252,
        "tax_payable:USD": -112,
    }


def test_a_refund_elsewhere_of_what_was_converted_goes_back_at_the_charges_rate() -> None:
    commands = replace(EUR_1000, currency="USD")
    told = charge(amount=Money(1000, "USD"), settled=Money(900, "EUR"), refunded_minor=300)
    assert balances_of(commands, [told])[RECEIVABLE] == 630


def test_the_second_charge_is_in_suspense_and_so_is_its_refund() -> None:
    second = charge(reference="ch_2")
    both = balances_of(EUR_1000, [charge(), second])
    assert both == {
        RECEIVABLE: 2000,
        "sales:EUR": -840,
        "suspense:EUR": -1000,
        "tax_payable:EUR": -160,
    }
    once = balances_of(EUR_1000, [charge()])
    given_back = refund(1000, parent_reference="ch_2")
    assert balances_of(EUR_1000, [charge(), second, given_back]) == once


def test_the_refund_of_a_double_charge_is_no_return_whichever_charge_it_is_of() -> None:
    told = [charge(), charge(reference="ch_2"), refund(1000, parent_reference="ch_1")]
    assert balances_of(EUR_1000, told) == balances_of(EUR_1000, [charge()])


def test_what_was_charged_beyond_the_order_is_in_suspense() -> None:
    assert balances_of(EUR_1000, [charge(amount=Money(1001, "EUR"), captured_minor=1001)]) == {
        RECEIVABLE: 1001,
        "sales:EUR": -840,
        "suspense:EUR": -1,
        "tax_payable:EUR": -160,
    }


def test_a_charge_in_the_wrong_currency_is_all_in_suspense() -> None:
    wrong = charge(amount=Money(1000, "USD"))
    assert balances_of(EUR_1000, [wrong]) == {
        "receivable/bank-eu:USD": 1000,
        "suspense:USD": -1000,
    }
    given_back = refund(1000, amount=Money(1000, "USD"))
    assert balances_of(EUR_1000, [wrong, given_back]) == {}


def test_a_refund_whose_charge_is_not_known_yet_is_in_suspense() -> None:
    assert balances_of(EUR_1000, [refund(300)]) == {RECEIVABLE: -300, "suspense:EUR": 300}


@settings(max_examples=thoroughness.examples(200))
@given(
    amount=st.integers(1, 10_000),
    percent=st.integers(0, 100),
    cuts=st.lists(st.integers(1, 9_999), max_size=6),
    as_objects=st.booleans(),
)
def test_the_tax_of_partial_refunds_adds_up_to_the_whole(
    amount: int, percent: int, cuts: list[int], as_objects: bool
) -> None:
    commands = Commands(amount_minor=amount, tax_minor=amount * percent // 100, currency="EUR")
    bounds = [0, *sorted({cut for cut in cuts if cut < amount}), amount]
    parts = [b - a for a, b in itertools.pairwise(bounds)]
    told = [charge(amount=Money(amount, "EUR"), captured_minor=amount)]
    if as_objects:
        told += [refund(part, reference=f"re_{n}") for n, part in enumerate(parts)]
    else:
        told += [replace(told[0], refunded_minor=bound) for bound in bounds]
    net = amount - commands.tax_minor
    assert balances_of(commands, told) == (
        {"sales:EUR": -net, "sales_returns:EUR": net} if net else {}
    )
