"""Merging and folding: no order, repetition or clock changes what a payment is."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.money import Money
from bursar.payments import payment_state, statuses
from bursar.payments.payment_state import AttemptSummary, Commands, RefundCommand
from bursar.payments.statuses import PaymentStatus
from bursar.providers.interface import ObjectKind, RefundStatus, Snapshot
from tests import thoroughness
from tests.unit.payments import histories

EUR_1000 = Commands(amount_minor=1000, tax_minor=160, currency="EUR")

monies = st.builds(Money, st.integers(0, 3), st.sampled_from(["EUR", "USD"]))
small = st.integers(0, 2)
times = st.none() | st.sampled_from([datetime(2026, day, 1, tzinfo=UTC) for day in (1, 2)])


@st.composite
def snapshots(draw: st.DrawFn, kind: ObjectKind) -> Snapshot:
    """Any snapshot of the one object of its kind, sensible or not."""
    return Snapshot(
        kind=kind,
        reference="one",
        status=draw(st.sampled_from(sorted(statuses.RANKS[kind]))),
        amount=draw(monies),
        captured_minor=draw(small),
        refunded_minor=draw(small),
        withdrawn_minor=draw(small),
        reinstated_minor=draw(small),
        fee=draw(st.none() | monies),
        settled=draw(st.none() | monies),
        rate=draw(st.sampled_from(["", "1.1"])),
        key=draw(st.sampled_from(["", "k"])),
        parent_reference=draw(st.sampled_from(["", "p"])),
        code=draw(st.sampled_from(["", "a", "b"])),
        soft_decline=draw(st.booleans()),
        version=draw(small),
        dispute_stage=draw(st.integers(1, 2)),
        occurred_at=draw(times),
    )


def of_one_object(count: int) -> st.SearchStrategy[tuple[Snapshot, ...]]:
    return st.sampled_from(ObjectKind).flatmap(lambda kind: st.tuples(*[snapshots(kind)] * count))


@given(of_one_object(2))
def test_merge_is_commutative(pair: tuple[Snapshot, ...]) -> None:
    a, b = pair
    assert payment_state.merge(a, b) == payment_state.merge(b, a)


@given(of_one_object(3))
def test_merge_is_associative(three: tuple[Snapshot, ...]) -> None:
    a, b, c = three
    left = payment_state.merge(payment_state.merge(a, b), c)
    assert left == payment_state.merge(a, payment_state.merge(b, c))


@given(of_one_object(2))
def test_merge_is_idempotent(pair: tuple[Snapshot, ...]) -> None:
    a, b = pair
    merged = payment_state.merge(a, b)
    assert payment_state.merge(a, a) == a
    assert payment_state.merge(merged, a) == merged
    assert payment_state.merge(merged, b) == merged


def test_merge_refuses_two_objects() -> None:
    charge = Snapshot(
        kind=ObjectKind.CHARGE, reference="a", status="captured", amount=Money(1, "EUR")
    )
    with pytest.raises(ValueError, match="charge a and charge b are different objects"):
        payment_state.merge(charge, replace(charge, reference="b"))


def test_a_status_of_no_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        payment_state.status_rank(
            Snapshot(kind=ObjectKind.FEE, reference="a", status="captured", amount=Money(1, "EUR"))
        )


def test_every_status_has_a_rank() -> None:
    from bursar.providers import interface

    statuses_by_kind = {
        ObjectKind.CHARGE: interface.ChargeStatus,
        ObjectKind.REFUND: interface.RefundStatus,
        ObjectKind.DISPUTE: interface.DisputeStatus,
        ObjectKind.FEE: interface.MovementStatus,
        ObjectKind.PAYOUT: interface.MovementStatus,
    }
    assert {kind: set(ranks) for kind, ranks in statuses.RANKS.items()} == {
        kind: set(known) for kind, known in statuses_by_kind.items()
    }


@pytest.mark.parametrize("course", histories.COURSES)
def test_every_order_of_every_subset_folds_the_same(course: str) -> None:
    provider = histories.COURSES[course]()
    commands = provider.commands()
    sequences = 0
    for size in range(len(provider.news) + 1):
        for subset in itertools.combinations(provider.news, size):
            expected = payment_state.fold(commands, (), subset)
            for order in itertools.permutations(subset):
                assert payment_state.fold(commands, (), order) == expected
                sequences += 1
    assert sequences == 1957  # of 6 events: 1 + 6 + 30 + 120 + 360 + 720 + 720


@settings(max_examples=thoroughness.examples(150))
@given(histories.providers(), st.randoms(use_true_random=False))
def test_repetition_and_order_change_nothing(
    provider: histories.Provider, dice: random.Random
) -> None:
    commands = provider.commands()
    told = [*provider.news, *dice.choices(provider.news, k=5)]
    dice.shuffle(told)
    assert payment_state.fold(commands, (), told) == payment_state.fold(commands, (), provider.news)


@settings(max_examples=thoroughness.examples(150))
@given(histories.providers(), st.randoms(use_true_random=False))
def test_the_latest_news_of_each_object_is_what_it_is(
    provider: histories.Provider, dice: random.Random
) -> None:
    """Whatever was dropped, the merged object is the last one told, its clock apart."""
    heard = [snapshot for snapshot in provider.news if dice.random() < 0.6]
    latest = {(s.kind, s.reference): s for s in heard}
    dice.shuffle(heard)
    merged = {(s.kind, s.reference): s for s in payment_state.merge_all(heard)}
    assert {name: _timeless(s) for name, s in merged.items()} == {
        name: _timeless(s) for name, s in latest.items()
    }


def _timeless(snapshot: Snapshot) -> Snapshot:
    # The totals only grow; what was settled is kept once it was told.
    return replace(snapshot, occurred_at=None, settled=None)


# --- Traps --------------------------------------------------------------------------------------


def charge(status: str = "captured", **told: object) -> Snapshot:
    made: dict[str, object] = {"reference": "ch_1", "amount": Money(1000, "EUR"), **told}
    return Snapshot(kind=ObjectKind.CHARGE, status=status, **made)  # type: ignore[arg-type]


def refund(amount_minor: int, status: str = "succeeded", **told: object) -> Snapshot:
    made: dict[str, object] = {"reference": "re_1", "parent_reference": "ch_1", **told}
    amount = Money(amount_minor, "EUR")
    return Snapshot(kind=ObjectKind.REFUND, status=status, amount=amount, **made)  # type: ignore[arg-type]


def test_amounts_are_totals_and_never_added() -> None:
    told = [
        charge("partially_captured", captured_minor=400),
        charge("captured", captured_minor=1000),
        charge("captured", captured_minor=1000, refunded_minor=200),
        charge("captured", captured_minor=1000, refunded_minor=500),
    ]
    state = payment_state.fold(EUR_1000, (), told)
    assert (state.captured_minor, state.refunded_minor) == (1000, 500)
    assert state.status is PaymentStatus.PARTIALLY_REFUNDED


def test_clocks_of_different_sources_are_not_compared() -> None:
    late, early = datetime(2030, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    told = [
        charge("authorized", occurred_at=late),
        charge("captured", captured_minor=1000, occurred_at=early),
    ]
    assert payment_state.fold(EUR_1000, (), told).status is PaymentStatus.CAPTURED


def test_of_two_statuses_of_one_rank_the_providers_version_decides() -> None:
    won = Snapshot(
        kind=ObjectKind.DISPUTE,
        reference="dp_1",
        status="won",
        amount=Money(1000, "EUR"),
        version=7,
    )
    lost = replace(won, status="lost", version=8)
    assert payment_state.merge(lost, won).status == "lost"
    assert payment_state.merge(replace(lost, version=6), won).status == "won"


def test_a_refund_that_failed_after_success_stays_failed() -> None:
    command = RefundCommand(refund_id="a", amount_minor=1000, tax_minor=160, references=("re_1",))
    commands = replace(EUR_1000, refunds=(command,))
    told = [charge(), refund(1000, "failed"), refund(1000, version=9)]

    state = payment_state.fold(commands, (), told)

    assert state.refund_statuses == {"a": RefundStatus.FAILED}
    assert (state.status, state.refunded_minor) == (PaymentStatus.CAPTURED, 0)


def test_a_failed_refund_that_was_made_again_counts_once() -> None:
    commands = replace(
        EUR_1000,
        refunds=(
            RefundCommand(refund_id="a", amount_minor=1000, tax_minor=160, references=("re_1",)),
            RefundCommand(refund_id="b", amount_minor=1000, tax_minor=160, references=("re_2",)),
        ),
    )
    told = [
        charge(refunded_minor=1000),
        refund(1000, "succeeded"),
        refund(1000, "failed"),
        refund(1000, reference="re_2"),
        charge(refunded_minor=2000),
    ]

    state = payment_state.fold(commands, (), told)

    assert state.refund_statuses == {"a": RefundStatus.FAILED, "b": RefundStatus.SUCCEEDED}
    assert (state.status, state.refunded_minor) == (PaymentStatus.REFUNDED, 1000)
    assert state.issues == ()


def test_a_refund_of_several_tries_is_done_when_one_succeeds() -> None:
    command = RefundCommand(
        refund_id="a", amount_minor=300, tax_minor=0, references=("re_1", "re_2")
    )
    commands = replace(EUR_1000, refunds=(command,))
    told = [charge(), refund(300, "failed"), refund(300, reference="re_2")]
    assert payment_state.fold(commands, (), told).refund_statuses == {"a": RefundStatus.SUCCEEDED}


@pytest.mark.parametrize(
    ("asked", "told", "status"),
    [
        ([], [], "pending"),
        (["created"], [], "pending"),
        (["unknown"], [], "pending"),
        (["declined"], [], "failed"),
        (["not_sent"], [], "pending"),
        (["not_sent", "unknown"], [], "pending"),
        (["declined", "created"], ["failed"], "pending"),
        (["succeeded"], ["canceled"], "canceled"),
        (["unknown"], ["succeeded"], "succeeded"),
    ],
)
def test_a_refund_is_what_its_tries_came_to(asked: list[str], told: list[str], status: str) -> None:
    command = RefundCommand(refund_id="a", amount_minor=300, tax_minor=0, references=("re_1",))
    commands = replace(EUR_1000, refunds=(command,))
    attempts = [AttemptSummary(operation="refund", status=one, refund_id="a") for one in asked]
    state = payment_state.fold(commands, attempts, [charge(), *(refund(300, one) for one in told)])
    assert state.refund_statuses == {"a": status}


def test_a_refund_told_only_as_the_charges_total_counts() -> None:
    state = payment_state.fold(EUR_1000, (), [charge(captured_minor=1000, refunded_minor=250)])
    assert state.refunded_minor == 250
    assert state.allocations[0].externally_refunded_minor == 250


def test_a_refund_told_as_an_object_and_in_the_total_counts_once() -> None:
    told = [charge(captured_minor=1000, refunded_minor=250), refund(250)]
    state = payment_state.fold(EUR_1000, (), told)
    assert (state.refunded_minor, state.allocations[0].externally_refunded_minor) == (250, 0)


def test_a_pending_refund_in_the_total_is_not_given_back_yet() -> None:
    told = [charge(captured_minor=1000, refunded_minor=250), refund(250, "pending")]
    assert payment_state.fold(EUR_1000, (), told).refunded_minor == 0


def test_a_refund_turned_down_at_once_hides_none_made_elsewhere() -> None:
    """It has no object at the provider, so it is not in the charge's total."""
    refused = refund(250, "failed", reference="att_9", key="att_9")
    told = [charge(captured_minor=1000, refunded_minor=250), refused]
    assert payment_state.fold(EUR_1000, (), told).refunded_minor == 250


def test_a_dispute_holds_what_was_withdrawn_and_not_reinstated() -> None:
    provider = histories.COURSES["disputed twice"]()
    commands = provider.commands()
    held = [payment_state.fold(commands, (), provider.news[:n]).disputed_minor for n in range(1, 7)]
    assert held == [0, 0, 1000, 0, 1000, 1000]


def test_a_dispute_in_the_balances_currency_is_held_at_the_charges_own_rate() -> None:
    provider = histories.COURSES["abroad"]()
    state = payment_state.fold(provider.commands(), (), provider.news[:5])
    assert state.disputed_minor == 400
    assert state.disputes[0].withdrawn_minor == 266


def test_a_second_round_outranks_the_end_of_the_first() -> None:
    first = Snapshot(
        kind=ObjectKind.DISPUTE, reference="dp_1", status="lost", amount=Money(1, "EUR"), version=99
    )
    assert payment_state.merge(
        first, replace(first, status="needs_response", dispute_stage=2, version=1)
    ) == (replace(first, status="needs_response", dispute_stage=2, version=1))


def test_a_partial_capture_leaves_the_rest_authorized_until_it_is_released() -> None:
    open_ = charge("partially_captured", captured_minor=400)
    state = payment_state.fold(EUR_1000, (), [charge("authorized"), open_])
    assert (state.status, state.authorized_minor) == (PaymentStatus.PARTIALLY_CAPTURED, 600)

    closed = payment_state.fold(EUR_1000, (), [charge("captured", captured_minor=400), open_])
    assert (closed.status, closed.authorized_minor) == (PaymentStatus.PARTIALLY_CAPTURED, 0)
    assert closed.captured_minor == 400


def test_a_capture_after_expiry_is_a_capture() -> None:
    told = [charge("captured", captured_minor=1000), charge("expired"), charge("authorized")]
    assert payment_state.fold(EUR_1000, (), told).status is PaymentStatus.CAPTURED


def test_money_that_comes_after_we_gave_up_is_a_review() -> None:
    state = payment_state.fold(
        replace(EUR_1000, closed_status="expired"), (), [charge(captured_minor=1000)]
    )
    assert state.status is PaymentStatus.CAPTURED
    assert [issue.code for issue in state.issues] == ["captured_after_close"]


def test_a_payment_given_up_is_closed_whatever_its_charge_still_waits_for() -> None:
    asked = [AttemptSummary(operation="charge", status="declined")]
    commands = replace(EUR_1000, closed_status="expired")
    assert payment_state.fold(commands, asked, [charge("requires_action")]).status == "expired"


def test_a_decline_without_a_reference_is_a_decline() -> None:
    declined = charge("declined", reference="att_1", key="att_1", code="do_not_honor")
    state = payment_state.fold(
        EUR_1000, [AttemptSummary(operation="charge", status="declined")], [declined]
    )
    assert state.status is PaymentStatus.DECLINED
    assert payment_state.fold(EUR_1000, (), [declined, charge()]).status is PaymentStatus.CAPTURED


def test_charged_twice_is_one_order_and_a_review() -> None:
    provider = histories.COURSES["charged twice"]()
    state = payment_state.fold(provider.commands(), (), provider.news[:2])
    assert [share.allocated_minor for share in state.allocations] == [1000, 0]
    assert state.captured_minor == 2000
    assert {issue.code: dict(issue.detail) for issue in state.issues} == {
        "over_captured": {"expected": "10.00 EUR", "received": "20.00 EUR"},
        "duplicate_charge": {"charges": "ch_1 ch_2"},
    }


def test_a_wrong_amount_is_a_review() -> None:
    told = [charge(amount=Money(1001, "EUR"), captured_minor=1001)]
    state = payment_state.fold(EUR_1000, (), told)
    assert (state.status, state.allocations[0].allocated_minor) == (PaymentStatus.CAPTURED, 1000)
    assert [issue.code for issue in state.issues] == ["over_captured"]


def test_a_wrong_currency_pays_nothing_and_is_a_review() -> None:
    told = [charge(amount=Money(1000, "USD"), captured_minor=1000)]
    state = payment_state.fold(
        EUR_1000, [AttemptSummary(operation="charge", status="succeeded")], told
    )
    assert (state.status, state.captured_minor) == (PaymentStatus.PROCESSING, 0)
    assert [(issue.code, dict(issue.detail)) for issue in state.issues] == [
        ("currency_mismatch", {"charge": "ch_1", "received": "10.00 USD"})
    ]


def test_more_refunded_than_captured_is_a_review() -> None:
    state = payment_state.fold(EUR_1000, (), [charge(captured_minor=1000), refund(1100)])
    assert state.status is PaymentStatus.REFUNDED
    assert [(i.code, dict(i.detail)) for i in state.issues] == [
        ("over_refunded", {"refunded": "11.00 EUR"})
    ]


@pytest.mark.parametrize(
    ("asked", "told", "status"),
    [
        ([], [], "pending"),
        (["created"], [], "processing"),
        (["not_sent"], [], "pending"),
        (["unknown"], [], "unknown"),
        (["not_sent", "unknown"], [], "unknown"),
        (["unknown"], ["pending"], "unknown"),
        (["pending"], ["pending"], "processing"),
        (["requires_action"], ["requires_action"], "requires_action"),
        (["declined"], ["declined"], "declined"),
        (["succeeded"], ["authorized"], "authorized"),
        (["succeeded"], ["authorized", "voided"], "canceled"),
        (["succeeded"], ["authorized", "expired"], "expired"),
        (["unknown"], ["captured"], "captured"),
    ],
)
def test_the_status_before_money_came(asked: list[str], told: list[str], status: str) -> None:
    attempts = [AttemptSummary(operation="charge", status=one) for one in asked]
    state = payment_state.fold(EUR_1000, attempts, [charge(one) for one in told])
    assert state.status == status
