"""The sandbox simulated: outcomes by name, money that adds up, and what time brings."""

import asyncio
import threading
from datetime import UTC, datetime

import orjson
import pytest

from bursar import errors
from bursar.money import Money
from bursar.providers.interface import (
    CaptureRequest,
    ChargeRequest,
    ObjectKind,
    Operation,
    Outcome,
    RefundRequest,
    StatusRequest,
    VoidRequest,
)
from bursar.providers.sandbox import SandboxConfig, SandboxProvider, scenarios
from bursar.providers.sandbox.fault_injection import Faults
from bursar.providers.sandbox.fees import FeeSchedule
from bursar.providers.sandbox.scenarios import Fault
from bursar.providers.sandbox.simulator import SandboxSimulator
from bursar.providers.sandbox.webhook_delivery import DeliveryFaults

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = 86_400
KEY = b"a signing key"


@pytest.fixture
def simulator():
    simulator = made()
    yield simulator
    simulator.close()


def made(path=":memory:", **terms):
    return SandboxSimulator(path, terms=FeeSchedule(**terms), durable=False, now=lambda: NOW)


def charged(simulator, method="tok_visa", minor=1_000, currency="EUR", key="k1", **more):
    request = ChargeRequest(key=key, amount=Money(minor, currency), method=method, **more)
    return simulator.charge(request)


def refunded(simulator, reference, minor, currency="EUR", key="r1", **more):
    amount = Money(minor, currency)
    return simulator.refund(RefundRequest(key=key, reference=reference, amount=amount, **more))


def captured(simulator, reference, minor, key, *, final=False):
    amount = Money(minor, "EUR")
    return simulator.capture(
        CaptureRequest(key=key, reference=reference, amount=amount, final=final)
    )


def objects(simulator, kind):
    found = [one for _, told in simulator.snapshots() for one in told if one.kind is kind]
    return [(one.status, one.amount.amount_minor, one.version) for one in found]


def dispute_states(simulator):
    found = [
        one for _, told in simulator.snapshots() for one in told if one.kind is ObjectKind.DISPUTE
    ]
    return [(d.status, d.dispute_stage, d.withdrawn_minor, d.reinstated_minor) for d in found]


@pytest.mark.parametrize(
    ("method", "outcome", "code", "soft"),
    [
        ("tok_approved", Outcome.SUCCEEDED, "", False),
        ("tok_visa", Outcome.SUCCEEDED, "", False),
        ("tok_declined_hard", Outcome.DECLINED, "do_not_honor", False),
        ("tok_declined_soft", Outcome.DECLINED, "try_again_later", True),
        ("tok_chargeDeclined", Outcome.DECLINED, "card_declined", False),
        ("tok_chargeDeclinedInsufficientFunds", Outcome.DECLINED, "insufficient_funds", True),
        ("tok_chargeDeclinedLostCard", Outcome.DECLINED, "lost_card", False),
        ("tok_requires_action", Outcome.REQUIRES_ACTION, "", False),
        ("tok_pending", Outcome.PENDING, "", False),
        ("4242", Outcome.DECLINED, "unknown_method", False),
    ],
)
def test_the_method_names_the_outcome(simulator, method, outcome, code, soft):
    result = charged(simulator, method)
    assert (result.outcome, result.code, result.soft_decline) == (outcome, code, soft)
    assert simulator.balances() == ({"EUR": 1_000} if outcome is Outcome.SUCCEEDED else {})


def test_no_amount_changes_the_outcome(simulator):
    told = {charged(simulator, minor=minor, key=str(minor)).outcome for minor in range(1, 300)}
    assert told == {Outcome.SUCCEEDED}


def test_metadata_goes_before_the_method(simulator):
    result = charged(simulator, metadata={scenarios.METADATA_KEY: "tok_chargeDeclined"})
    assert result.code == "card_declined"


def test_no_outcome_looks_like_a_card_number():
    assert [name for name in scenarios.SCENARIOS if not name.startswith("tok_")] == []
    assert [name for name in scenarios.SCENARIOS if any(c.isdigit() for c in name)] == []


def test_a_used_key_gets_the_first_answer_again(simulator):
    first = charged(simulator)
    refunded(simulator, first.reference, 400)
    assert charged(simulator) == first
    assert objects(simulator, ObjectKind.CHARGE) == [("captured", 1_000, 2)]


@pytest.mark.parametrize("change", [{"minor": 999}, {"currency": "USD"}, {"method": "tok_amex"}])
def test_a_used_key_is_refused_for_anything_else(simulator, change):
    charged(simulator)
    with pytest.raises(errors.IdempotencyKeyReused):
        charged(simulator, **change)
    assert simulator.balances() == {"EUR": 1_000}


def test_a_simulator_that_honours_no_keys_charges_twice():
    simulator = made(idempotency_keys=False)
    assert charged(simulator).reference != charged(simulator).reference
    assert simulator.balances() == {"EUR": 2_000}
    simulator.close()


def test_references_follow_from_the_seed():
    told = [charged(made(seed=seed)).reference for seed in (1, 1, 2)]
    assert told[0] == told[1] != told[2]


def test_threads_make_one_charge_of_one_key(simulator):
    told = []
    threads = [threading.Thread(target=lambda: told.append(charged(simulator))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.reference for one in told}) == 1
    assert simulator.balances() == {"EUR": 1_000}


def test_what_was_charged_is_there_after_closing_the_simulator(tmp_path):
    path = str(tmp_path / "books" / "sandbox.sqlite3")
    simulator = made(path)
    reference = charged(simulator).reference
    simulator.advance(DAY)
    simulator.close()

    again = made(path)
    assert charged(again).reference == reference
    assert (again.now() - NOW).total_seconds() == DAY
    again.close()


def test_fees_are_taken_and_told_twice_under_one_reference():
    simulator = made(fee_basis_points=290, fee_fixed_minor=30)
    result = charged(simulator, minor=1_050)
    charge, fee = result.snapshots
    assert charge.fee == fee.amount == Money(60, "EUR")  # 30.45 goes down, and 30
    assert (fee.kind, fee.reference, fee.parent_reference) == (
        ObjectKind.FEE,
        charge.reference,
        charge.reference,
    )
    refunded(simulator, charge.reference, 50)
    assert objects(simulator, ObjectKind.FEE) == [("posted", 60, 1_050)]
    assert simulator.balances() == {"EUR": 1_050 - 60 - 50}
    simulator.close()


def test_another_currency_is_settled_at_the_rate_and_refunds_add_up():
    simulator = made(settlement_currency="EUR", rates={"USD": "0.8765", "JPY": "0.0061"})
    dollars = charged(simulator, minor=999, currency="USD", key="usd")
    assert (dollars.snapshots[0].settled, dollars.snapshots[0].rate) == (
        Money(876, "EUR"),
        "0.8765",
    )
    yen = charged(simulator, minor=1_000, currency="JPY", key="jpy")
    assert yen.snapshots[0].settled == Money(610, "EUR")
    for part in range(3):
        refunded(simulator, dollars.reference, 333, "USD", key=f"r{part}")
    assert simulator.balances() == {"EUR": 610}
    assert charged(simulator, currency="GBP", key="gbp").snapshots[0].settled is None
    assert simulator.balances() == {"EUR": 610, "GBP": 1_000}
    simulator.close()


@pytest.mark.parametrize(
    ("method", "amount"),
    [("tok_wrong_amount", Money(1_001, "EUR")), ("tok_wrong_currency", Money(1_000, "USD"))],
)
def test_the_wrong_thing_is_really_charged(simulator, method, amount):
    assert charged(simulator, method).snapshots[0].amount == amount
    assert simulator.balances() == {amount.currency: amount.amount_minor}


def test_a_refund_beyond_what_is_left_is_refused(simulator):
    reference = charged(simulator).reference
    assert refunded(simulator, reference, 700).outcome is Outcome.SUCCEEDED
    refused = refunded(simulator, reference, 301, key="r2")
    assert (refused.outcome, refused.code) == (Outcome.DECLINED, "refund_exceeds_charge")
    assert refunded(simulator, reference, 301, key="r2") == refused
    asked = StatusRequest(operation=Operation.REFUND, key="r2")
    assert simulator.status(asked) == refused
    assert simulator.balances() == {"EUR": 300}


def test_a_refund_can_succeed_late(simulator):
    reference = charged(simulator, "tok_refund_pending").reference
    assert refunded(simulator, reference, 600).outcome is Outcome.PENDING
    assert simulator.balances() == {"EUR": 1_000}
    assert refunded(simulator, reference, 500, key="r2").code == "refund_exceeds_charge"
    assert simulator.advance(DAY) == 1
    assert objects(simulator, ObjectKind.REFUND) == [("succeeded", 600, 2)]
    assert simulator.balances() == {"EUR": 400}


def test_a_refund_can_fail_after_it_succeeded_and_be_made_again(simulator):
    reference = charged(simulator, "tok_refund_fails_later").reference
    assert refunded(simulator, reference, 1_000).outcome is Outcome.SUCCEEDED
    assert simulator.balances() == {}
    simulator.advance(DAY)
    assert objects(simulator, ObjectKind.REFUND) == [("failed", 1_000, 3)]
    assert simulator.balances() == {"EUR": 1_000}
    assert refunded(simulator, reference, 1_000, key="r2").outcome is Outcome.SUCCEEDED
    asked = StatusRequest(operation=Operation.CHARGE, key="k1")
    assert simulator.status(asked).snapshots[0].refunded_minor == 2_000  # a total never shrinks


def test_an_authorization_is_captured_in_parts(simulator):
    held = charged(simulator, capture=False)
    assert held.snapshots[0].status == "authorized"
    assert simulator.balances() == {}
    assert (
        captured(simulator, held.reference, 300, "c1").snapshots[0].status == "partially_captured"
    )
    assert captured(simulator, held.reference, 800, "c2").code == "capture_exceeds_authorization"
    last = captured(simulator, held.reference, 500, "c3", final=True).snapshots[0]
    assert (last.status, last.captured_minor) == ("captured", 800)
    assert captured(simulator, held.reference, 1, "c4").code == "not_capturable"
    assert simulator.balances() == {"EUR": 800}


def test_a_void_releases_what_was_not_captured(simulator):
    whole, part = charged(simulator, capture=False), charged(simulator, capture=False, key="k2")
    captured(simulator, part.reference, 300, "c1")
    told = [
        simulator.void(VoidRequest(key=f"v{n}", reference=one.reference)).snapshots[0]
        for n, one in enumerate((whole, part))
    ]
    assert [(t.status, t.captured_minor) for t in told] == [("voided", 0), ("captured", 300)]
    again = simulator.void(VoidRequest(key="v9", reference=whole.reference))
    assert (again.outcome, again.code) == (Outcome.DECLINED, "not_voidable")


def test_an_authorization_expires_after_a_week(simulator):
    held = charged(simulator, capture=False)
    assert simulator.advance(7 * DAY - 1) == 0
    assert simulator.advance(1) == 1
    assert objects(simulator, ObjectKind.CHARGE) == [("expired", 1_000, 2)]
    assert captured(simulator, held.reference, 1_000, "c1").code == "authorization_expired"


def test_a_capture_is_looked_up_by_its_key_or_by_the_charge(simulator):
    held = charged(simulator, capture=False)
    asked = StatusRequest(operation=Operation.CAPTURE, key="c1", reference=held.reference)
    assert simulator.status(asked).outcome is Outcome.NOT_FOUND
    captured(simulator, held.reference, 300, "c1")
    assert simulator.status(asked).outcome is Outcome.SUCCEEDED
    assert simulator.status(asked, by_key=False).snapshots[0].captured_minor == 300


@pytest.mark.parametrize(
    ("approve", "status", "balances"),
    [(True, "captured", {"EUR": 1_000}), (False, "declined", {})],
)
def test_the_buyer_decides(simulator, approve, status, balances):
    reference = charged(simulator, "tok_requires_action").reference
    assert simulator.complete_action(reference, approve=approve).status == status
    assert simulator.balances() == balances
    with pytest.raises(errors.NotFound):
        simulator.complete_action(reference, approve=True)


@pytest.mark.parametrize(
    ("method", "ended"),
    [("tok_pending", ("captured", 1_000, 2)), ("tok_pending_declined", ("declined", 1_000, 2))],
)
def test_a_pending_charge_ends_a_day_later(simulator, method, ended):
    charged(simulator, method)
    simulator.advance(DAY)
    assert objects(simulator, ObjectKind.CHARGE) == [ended]


@pytest.mark.parametrize(
    ("method", "days", "balance"),
    [
        ("tok_createDispute", [[("needs_response", 1, 1_000, 0)]], 0),
        (
            "tok_dispute_inquiry",
            [[], [("inquiry", 1, 0, 0)], [("inquiry_closed", 1, 0, 0)]],
            1_000,
        ),
        (
            "tok_dispute_lost",
            [
                [],
                [("needs_response", 1, 1_000, 0)],
                [("under_review", 1, 1_000, 0)],
                [("lost", 1, 1_000, 0)],
            ],
            0,
        ),
        (
            "tok_dispute_won",
            [
                [],
                [("needs_response", 1, 1_000, 0)],
                [("under_review", 1, 1_000, 0)],
                [("won", 1, 1_000, 1_000)],
            ],
            1_000,
        ),
        (
            "tok_dispute_second_round",
            [
                [],
                [("needs_response", 1, 1_000, 0)],
                [("won", 1, 1_000, 1_000)],
                [("needs_response", 2, 2_000, 1_000)],
                [("lost", 2, 2_000, 1_000)],
            ],
            0,
        ),
    ],
)
def test_a_dispute_takes_its_course(simulator, method, days, balance):
    charged(simulator, method)
    seen = [dispute_states(simulator)]
    for _ in days[1:]:
        simulator.advance(DAY)
        seen.append(dispute_states(simulator))
    assert seen == days
    assert simulator.balances() == ({"EUR": balance} if balance else {})


def test_a_payout_empties_the_balance(simulator):
    charged(simulator)
    charged(simulator, currency="JPY", key="k2")
    paid = [(one.kind, one.status, one.amount) for one in simulator.create_payouts()]
    assert paid == [
        (ObjectKind.PAYOUT, "posted", Money(1_000, "EUR")),
        (ObjectKind.PAYOUT, "posted", Money(1_000, "JPY")),
    ]
    assert simulator.balances() == {}
    assert simulator.create_payouts() == []


def test_every_change_is_told_by_a_webhook(simulator):
    reference = charged(simulator).reference
    refunded(simulator, reference, 400)
    told = [orjson.loads(one.body) for one in simulator.deliveries(KEY)]
    assert [(one["type"], one["object"]["version"]) for one in told] == [
        ("charge.captured", 1),
        ("refund.pending", 1),
        ("refund.succeeded", 2),
        ("charge.captured", 2),
    ]
    assert len({one["id"] for one in told}) == 4


def test_what_is_answered_twice_is_told_twice(simulator):
    result = charged(simulator, "tok_duplicate_response")
    assert result.snapshots == result.snapshots[:1] * 2
    events = [one.event_id for one in simulator.deliveries(KEY)]
    assert len(events) == 2
    assert len(set(events)) == 1


def test_disorder_is_the_same_for_the_same_seed(simulator):
    for number in range(200):
        charged(simulator, key=f"k{number}")
    disorder = DeliveryFaults(dropped=0.1, late=0.1, reordered=0.2, duplicate=0.1, forged=0.1)
    first = simulator.deliveries(KEY, faults=disorder)
    assert first == simulator.deliveries(KEY, faults=disorder)
    positions = [one.position for one in first if not one.forged]
    assert set(positions) < set(range(1, 201))
    assert len(positions) > len(set(positions))
    assert positions != sorted(positions)
    assert any(one.forged for one in first)


def test_deliveries_verify_and_forged_ones_do_not():
    provider = SandboxProvider(SandboxConfig(durable=False))
    charged(provider.simulator)
    key = b"sandbox-is-not-a-secret"
    told = provider.simulator.deliveries(key, faults=DeliveryFaults(forged=1.0))
    at = provider.simulator.now()
    forged, real = told
    event = provider.verify_webhook(real.headers, real.body, now=at)
    assert (event.event_id, event.type) == (real.event_id, "charge.captured")
    assert [one.status for one in provider.parse_webhook(real.body)] == ["captured"]
    with pytest.raises(errors.Denied):
        provider.verify_webhook(forged.headers, forged.body, now=at)
    asyncio.run(provider.close())


def test_trouble_follows_from_seed_key_and_call_number():
    faults = Faults(timeouts=0.3, lost=0.3, garbage=0.3)
    script = scenarios.APPROVED

    def seen(seed, keys):
        simulator = made(seed=seed, faults=faults)
        told = {
            k: [simulator.fault_for(Operation.CHARGE, k, script) for _ in range(5)] for k in keys
        }
        simulator.close()
        return told

    keys = [f"k{number}" for number in range(50)]
    first = seen(7, keys)
    assert first == seen(7, keys[::-1])
    assert first != seen(8, keys)
    assert {one for told in first.values() for one in told} == {
        Fault.NONE,
        Fault.TIMEOUT_AFTER,
        Fault.LOST,
        Fault.GARBAGE,
    }


def test_an_unknown_charge_is_a_clear_no(simulator):
    assert refunded(simulator, "ch_none", 1).code == "no_such_charge"
    assert captured(simulator, "ch_none", 1, "c1").code == "no_such_charge"
    assert simulator.void(VoidRequest(key="v1", reference="ch_none")).code == "no_such_charge"
