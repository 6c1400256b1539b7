"""The sandbox's book: outcomes by name, money that adds up, and what time brings."""

import asyncio
import threading
from datetime import UTC, datetime

import orjson
import pytest

from bursar import errors
from bursar.money import Money
from bursar.providers.base import (
    CaptureRequest,
    ChargeRequest,
    Kind,
    Operation,
    Outcome,
    RefundRequest,
    StatusRequest,
    VoidRequest,
)
from bursar.providers.sandbox import SandboxConfig, SandboxProvider, outcomes
from bursar.providers.sandbox.book import Book
from bursar.providers.sandbox.delivering import Disorder
from bursar.providers.sandbox.faults import Faults
from bursar.providers.sandbox.outcomes import Trouble
from bursar.providers.sandbox.terms import Terms

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = 86_400
KEY = b"a signing key"


@pytest.fixture
def book():
    book = made()
    yield book
    book.close()


def made(path=":memory:", **terms):
    return Book(path, terms=Terms(**terms), durable=False, now=lambda: NOW)


def charged(book, method="tok_visa", minor=1_000, currency="EUR", key="k1", **more):
    request = ChargeRequest(key=key, amount=Money(minor, currency), method=method, **more)
    return book.charge(request)


def refunded(book, reference, minor, currency="EUR", key="r1", **more):
    amount = Money(minor, currency)
    return book.refund(RefundRequest(key=key, reference=reference, amount=amount, **more))


def captured(book, reference, minor, key, *, final=False):
    amount = Money(minor, "EUR")
    return book.capture(CaptureRequest(key=key, reference=reference, amount=amount, final=final))


def objects(book, kind):
    found = [one for _, told in book.snapshots() for one in told if one.kind is kind]
    return [(one.status, one.amount.amount_minor, one.version) for one in found]


def dispute_states(book):
    found = [one for _, told in book.snapshots() for one in told if one.kind is Kind.DISPUTE]
    return [(d.status, d.round, d.withdrawn_minor, d.reinstated_minor) for d in found]


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
def test_the_method_names_the_outcome(book, method, outcome, code, soft):
    result = charged(book, method)
    assert (result.outcome, result.code, result.soft) == (outcome, code, soft)
    assert book.balances() == ({"EUR": 1_000} if outcome is Outcome.SUCCEEDED else {})


def test_no_amount_changes_the_outcome(book):
    told = {charged(book, minor=minor, key=str(minor)).outcome for minor in range(1, 300)}
    assert told == {Outcome.SUCCEEDED}


def test_metadata_goes_before_the_method(book):
    result = charged(book, metadata={outcomes.METADATA_KEY: "tok_chargeDeclined"})
    assert result.code == "card_declined"


def test_no_outcome_looks_like_a_card_number():
    assert [name for name in outcomes.OUTCOMES if not name.startswith("tok_")] == []
    assert [name for name in outcomes.OUTCOMES if any(c.isdigit() for c in name)] == []


def test_a_used_key_gets_the_first_answer_again(book):
    first = charged(book)
    refunded(book, first.reference, 400)
    assert charged(book) == first
    assert objects(book, Kind.CHARGE) == [("captured", 1_000, 2)]


@pytest.mark.parametrize("change", [{"minor": 999}, {"currency": "USD"}, {"method": "tok_amex"}])
def test_a_used_key_is_refused_for_anything_else(book, change):
    charged(book)
    with pytest.raises(errors.IdempotencyKeyReused):
        charged(book, **change)
    assert book.balances() == {"EUR": 1_000}


def test_a_book_that_honours_no_keys_charges_twice():
    book = made(honours_keys=False)
    assert charged(book).reference != charged(book).reference
    assert book.balances() == {"EUR": 2_000}
    book.close()


def test_references_follow_from_the_seed():
    told = [charged(made(seed=seed)).reference for seed in (1, 1, 2)]
    assert told[0] == told[1] != told[2]


def test_threads_make_one_charge_of_one_key(book):
    told = []
    threads = [threading.Thread(target=lambda: told.append(charged(book))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.reference for one in told}) == 1
    assert book.balances() == {"EUR": 1_000}


def test_the_book_is_there_after_closing_it(tmp_path):
    path = str(tmp_path / "books" / "sandbox.sqlite3")
    book = made(path)
    reference = charged(book).reference
    book.advance(DAY)
    book.close()

    again = made(path)
    assert charged(again).reference == reference
    assert (again.now() - NOW).total_seconds() == DAY
    again.close()


def test_fees_are_taken_and_told_twice_under_one_reference():
    book = made(fee_basis_points=290, fee_fixed_minor=30)
    result = charged(book, minor=1_050)
    charge, fee = result.snapshots
    assert charge.fee == fee.amount == Money(60, "EUR")  # 30.45 goes down, and 30
    assert (fee.kind, fee.reference, fee.parent_reference) == (
        Kind.FEE,
        charge.reference,
        charge.reference,
    )
    refunded(book, charge.reference, 50)
    assert objects(book, Kind.FEE) == [("posted", 60, 1_050)]
    assert book.balances() == {"EUR": 1_050 - 60 - 50}
    book.close()


def test_another_currency_is_settled_at_the_rate_and_refunds_add_up():
    book = made(settlement_currency="EUR", rates={"USD": "0.8765", "JPY": "0.0061"})
    dollars = charged(book, minor=999, currency="USD", key="usd")
    assert (dollars.snapshots[0].settled, dollars.snapshots[0].rate) == (
        Money(876, "EUR"),
        "0.8765",
    )
    yen = charged(book, minor=1_000, currency="JPY", key="jpy")
    assert yen.snapshots[0].settled == Money(610, "EUR")
    for part in range(3):
        refunded(book, dollars.reference, 333, "USD", key=f"r{part}")
    assert book.balances() == {"EUR": 610}
    assert charged(book, currency="GBP", key="gbp").snapshots[0].settled is None
    assert book.balances() == {"EUR": 610, "GBP": 1_000}
    book.close()


@pytest.mark.parametrize(
    ("method", "amount"),
    [("tok_wrong_amount", Money(1_001, "EUR")), ("tok_wrong_currency", Money(1_000, "USD"))],
)
def test_the_wrong_thing_is_really_charged(book, method, amount):
    assert charged(book, method).snapshots[0].amount == amount
    assert book.balances() == {amount.currency: amount.amount_minor}


def test_a_refund_beyond_what_is_left_is_refused(book):
    reference = charged(book).reference
    assert refunded(book, reference, 700).outcome is Outcome.SUCCEEDED
    refused = refunded(book, reference, 301, key="r2")
    assert (refused.outcome, refused.code) == (Outcome.DECLINED, "refund_exceeds_charge")
    assert refunded(book, reference, 301, key="r2") == refused
    asked = StatusRequest(operation=Operation.REFUND, key="r2")
    assert book.status(asked) == refused
    assert book.balances() == {"EUR": 300}


def test_a_refund_can_succeed_late(book):
    reference = charged(book, "tok_refund_pending").reference
    assert refunded(book, reference, 600).outcome is Outcome.PENDING
    assert book.balances() == {"EUR": 1_000}
    assert refunded(book, reference, 500, key="r2").code == "refund_exceeds_charge"
    assert book.advance(DAY) == 1
    assert objects(book, Kind.REFUND) == [("succeeded", 600, 2)]
    assert book.balances() == {"EUR": 400}


def test_a_refund_can_fail_after_it_succeeded_and_be_made_again(book):
    reference = charged(book, "tok_refund_fails_later").reference
    assert refunded(book, reference, 1_000).outcome is Outcome.SUCCEEDED
    assert book.balances() == {}
    book.advance(DAY)
    assert objects(book, Kind.REFUND) == [("failed", 1_000, 3)]
    assert book.balances() == {"EUR": 1_000}
    assert refunded(book, reference, 1_000, key="r2").outcome is Outcome.SUCCEEDED
    asked = StatusRequest(operation=Operation.CHARGE, key="k1")
    assert book.status(asked).snapshots[0].refunded_minor == 2_000  # a total never shrinks


def test_an_authorization_is_captured_in_parts(book):
    held = charged(book, capture=False)
    assert held.snapshots[0].status == "authorized"
    assert book.balances() == {}
    assert captured(book, held.reference, 300, "c1").snapshots[0].status == "partially_captured"
    assert captured(book, held.reference, 800, "c2").code == "capture_exceeds_authorization"
    last = captured(book, held.reference, 500, "c3", final=True).snapshots[0]
    assert (last.status, last.captured_minor) == ("captured", 800)
    assert captured(book, held.reference, 1, "c4").code == "not_capturable"
    assert book.balances() == {"EUR": 800}


def test_a_void_releases_what_was_not_captured(book):
    whole, part = charged(book, capture=False), charged(book, capture=False, key="k2")
    captured(book, part.reference, 300, "c1")
    told = [
        book.void(VoidRequest(key=f"v{n}", reference=one.reference)).snapshots[0]
        for n, one in enumerate((whole, part))
    ]
    assert [(t.status, t.captured_minor) for t in told] == [("voided", 0), ("captured", 300)]
    again = book.void(VoidRequest(key="v9", reference=whole.reference))
    assert (again.outcome, again.code) == (Outcome.DECLINED, "not_voidable")


def test_an_authorization_expires_after_a_week(book):
    held = charged(book, capture=False)
    assert book.advance(7 * DAY - 1) == 0
    assert book.advance(1) == 1
    assert objects(book, Kind.CHARGE) == [("expired", 1_000, 2)]
    assert captured(book, held.reference, 1_000, "c1").code == "authorization_expired"


def test_a_capture_is_looked_up_by_its_key_or_by_the_charge(book):
    held = charged(book, capture=False)
    asked = StatusRequest(operation=Operation.CAPTURE, key="c1", reference=held.reference)
    assert book.status(asked).outcome is Outcome.NOT_FOUND
    captured(book, held.reference, 300, "c1")
    assert book.status(asked).outcome is Outcome.SUCCEEDED
    assert book.status(asked, by_key=False).snapshots[0].captured_minor == 300


@pytest.mark.parametrize(
    ("approve", "status", "balances"),
    [(True, "captured", {"EUR": 1_000}), (False, "declined", {})],
)
def test_the_buyer_decides(book, approve, status, balances):
    reference = charged(book, "tok_requires_action").reference
    assert book.complete_action(reference, approve=approve).status == status
    assert book.balances() == balances
    with pytest.raises(errors.NotFound):
        book.complete_action(reference, approve=True)


@pytest.mark.parametrize(
    ("method", "ended"),
    [("tok_pending", ("captured", 1_000, 2)), ("tok_pending_declined", ("declined", 1_000, 2))],
)
def test_a_pending_charge_ends_a_day_later(book, method, ended):
    charged(book, method)
    book.advance(DAY)
    assert objects(book, Kind.CHARGE) == [ended]


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
def test_a_dispute_takes_its_course(book, method, days, balance):
    charged(book, method)
    seen = [dispute_states(book)]
    for _ in days[1:]:
        book.advance(DAY)
        seen.append(dispute_states(book))
    assert seen == days
    assert book.balances() == ({"EUR": balance} if balance else {})


def test_a_payout_empties_the_balance(book):
    charged(book)
    charged(book, currency="JPY", key="k2")
    paid = [(one.kind, one.status, one.amount) for one in book.pay_out()]
    assert paid == [
        (Kind.PAYOUT, "posted", Money(1_000, "EUR")),
        (Kind.PAYOUT, "posted", Money(1_000, "JPY")),
    ]
    assert book.balances() == {}
    assert book.pay_out() == []


def test_every_change_is_told_by_a_webhook(book):
    reference = charged(book).reference
    refunded(book, reference, 400)
    told = [orjson.loads(one.body) for one in book.deliveries(KEY)]
    assert [(one["type"], one["object"]["version"]) for one in told] == [
        ("charge.captured", 1),
        ("refund.pending", 1),
        ("refund.succeeded", 2),
        ("charge.captured", 2),
    ]
    assert len({one["id"] for one in told}) == 4


def test_what_is_answered_twice_is_told_twice(book):
    result = charged(book, "tok_answered_twice")
    assert result.snapshots == result.snapshots[:1] * 2
    events = [one.event_id for one in book.deliveries(KEY)]
    assert len(events) == 2
    assert len(set(events)) == 1


def test_disorder_is_the_same_for_the_same_seed(book):
    for number in range(200):
        charged(book, key=f"k{number}")
    disorder = Disorder(dropped=0.1, late=0.1, reordered=0.2, duplicate=0.1, forged=0.1)
    first = book.deliveries(KEY, disorder=disorder)
    assert first == book.deliveries(KEY, disorder=disorder)
    positions = [one.position for one in first if not one.forged]
    assert set(positions) < set(range(1, 201))
    assert len(positions) > len(set(positions))
    assert positions != sorted(positions)
    assert any(one.forged for one in first)


def test_deliveries_verify_and_forged_ones_do_not():
    provider = SandboxProvider(SandboxConfig(durable=False))
    charged(provider.book)
    key = b"sandbox-is-not-a-secret"
    told = provider.book.deliveries(key, disorder=Disorder(forged=1.0))
    at = provider.book.now()
    forged, real = told
    event = provider.verify(real.headers, real.body, now=at)
    assert (event.event_id, event.type) == (real.event_id, "charge.captured")
    assert [one.status for one in provider.facts(real.body)] == ["captured"]
    with pytest.raises(errors.Denied):
        provider.verify(forged.headers, forged.body, now=at)
    asyncio.run(provider.close())


def test_trouble_follows_from_seed_key_and_call_number():
    faults = Faults(timeouts=0.3, lost=0.3, garbage=0.3)
    script = outcomes.APPROVED

    def seen(seed, keys):
        book = made(seed=seed, faults=faults)
        told = {k: [book.trouble(Operation.CHARGE, k, script) for _ in range(5)] for k in keys}
        book.close()
        return told

    keys = [f"k{number}" for number in range(50)]
    first = seen(7, keys)
    assert first == seen(7, keys[::-1])
    assert first != seen(8, keys)
    assert {one for told in first.values() for one in told} == {
        Trouble.NONE,
        Trouble.TIMEOUT_AFTER,
        Trouble.LOST,
        Trouble.GARBAGE,
    }


def test_an_unknown_charge_is_a_clear_no(book):
    assert refunded(book, "ch_none", 1).code == "no_such_charge"
    assert captured(book, "ch_none", 1, "c1").code == "no_such_charge"
    assert book.void(VoidRequest(key="v1", reference="ch_none")).code == "no_such_charge"
