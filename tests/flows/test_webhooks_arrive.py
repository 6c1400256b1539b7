"""Webhooks come late, twice, out of order, not at all, forged, too early, and years later."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from bursar import clock, errors, ids
from bursar.money import Money
from bursar.payments import charges, facts, models
from bursar.providers.capabilities import VerifiedWebhook
from bursar.providers.interface import ChargeRequest, InvalidSignature, RefundRequest, Snapshot
from bursar.webhooks import inbox
from bursar.webhooks.models import WebhookEvent
from tests.shop import ACCOUNT, Shop, commit, depth

SOLD = {"receivable/sandbox-eu:EUR": 1000, "sales:EUR": -840, "tax_payable:EUR": -160}


def test_news_that_the_answer_told_already_changes_nothing(shop: Shop) -> None:
    payment = shop.paid()
    facts = models.Fact.objects.count()
    assert shop.deliver(shop.deliveries()) == {"stored": 1}
    assert models.Fact.objects.count() == facts
    assert WebhookEvent.objects.get().processed_at is not None
    assert shop.fresh(payment).status == "captured"
    assert shop.balances() == SOLD


def test_a_delivery_that_comes_twice_is_stored_once(shop: Shop) -> None:
    shop.paid()
    assert shop.deliver(shop.deliveries(duplicate=1.0)) == {"stored": 1, "known": 1}
    assert shop.deliver(shop.deliveries()) == {"known": 1}
    assert (WebhookEvent.objects.count(), models.RawBody.objects.count()) == (1, 1)


def test_a_forged_delivery_is_refused_and_leaves_nothing(shop: Shop) -> None:
    payment = shop.paid("tok_requires_action")
    assert shop.deliver(shop.deliveries(forged=1.0)) == {"refused": 1, "stored": 1}
    assert WebhookEvent.objects.count() == 1
    assert shop.fresh(payment).status == "requires_action"


def test_a_replayed_delivery_is_refused_after_five_minutes(shop: Shop) -> None:
    shop.paid()
    old = shop.deliveries()
    shop.provider.simulator.advance(301)
    assert shop.deliver(old) == {"refused": 1}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_is_no_delivery_is_refused(shop: Shop) -> None:
    (delivery,) = (shop.paid(), shop.deliveries())[1]
    take: dict[str, Any] = {"provider_account": ACCOUNT, "now": clock.now()}
    with pytest.raises(InvalidSignature):
        inbox.verify(headers={}, body=delivery.body, **take)
    with pytest.raises(InvalidSignature):
        inbox.verify(headers=delivery.headers, body=delivery.body + b" ", **take)
    with pytest.raises(errors.ContentTooLarge):
        inbox.verify(headers=delivery.headers, body=b"x" * 1_000_001, **take)
    with pytest.raises(errors.NotFound):
        inbox.verify(provider_account="nobody", headers={}, body=b"", now=clock.now())


def test_a_webhook_before_the_answer_settles_the_attempt(shop: Shop) -> None:
    """The intent is committed, the provider has charged, its webhook outruns the answer."""
    order_id = shop.place()
    payment = shop.payment(order_id)
    intent = commit(
        lambda: charges.prepare_charge(payment_id=payment.id, attempt_id="att_1", now=clock.now())
    )
    assert intent is not None
    asyncio.run(shop.provider.charge(intent.request))  # type: ignore[arg-type]

    shop.deliver(shop.deliveries())

    assert shop.fresh(payment).status == "captured"
    assert shop.attempts(payment) == [("charge", "succeeded")]
    shop.run_jobs()
    assert (shop.charges(), shop.balances(), depth()) == (1, SOLD, {})


def test_news_in_any_disorder_end_in_the_same_books(shop: Shop) -> None:
    lost, won = shop.paid("tok_dispute_lost"), shop.paid("tok_dispute_won")
    back = shop.paid("tok_refund_fails_later")
    shop.refund(back, 600)
    shop.run_jobs()
    for _ in range(4):
        shop.provider.simulator.advance(86_400)

    shop.deliver(reversed(shop.deliveries(late=0.3, reordered=0.5, duplicate=0.5, forged=0.3)))

    assert shop.agrees()
    assert [shop.fresh(one).disputed_minor for one in (lost, won)] == [1000, 0]
    assert shop.fresh(back).status == "captured"
    balances = shop.balances()
    assert {name: balances.get(name, 0) for name in ("dispute_losses:EUR", "sales:EUR")} == {
        "dispute_losses:EUR": 1000,
        "sales:EUR": -2520,
    }
    assert shop.reviews() == []


def test_a_dropped_webhook_is_made_good_by_looking(shop: Shop) -> None:
    payment = shop.paid("tok_pending")
    assert payment.status == "processing"
    shop.provider.simulator.advance(86_400)
    assert shop.deliver(shop.deliveries(dropped=1.0)) == {}
    shop.run_jobs()
    assert shop.fresh(payment).status == "captured"
    assert shop.balances() == SOLD


def test_news_of_years_ago_are_news(shop: Shop) -> None:
    payment = shop.paid()
    simulator = shop.provider.simulator
    simulator.advance(3 * 365 * 86_400)
    charge = payment.attempts.get().reference
    simulator.refund(RefundRequest(key="late", reference=charge, amount=Money(1000, "EUR")))
    assert shop.deliver(shop.deliveries()) == {"stored": 4}
    assert shop.fresh(payment).status == "refunded"
    assert shop.agrees()


def strangers_charge(shop: Shop) -> Snapshot:
    return shop.provider.simulator.charge(
        ChargeRequest(key="somebody else", amount=Money(500, "EUR"), method="tok_visa")
    ).snapshots[0]


def test_a_charge_of_nobodys_waits_in_suspense_for_a_person(shop: Shop) -> None:
    strangers_charge(shop)
    shop.deliver(shop.deliveries())
    assert shop.balances() == {"receivable/sandbox-eu:EUR": 500, "suspense:EUR": -500}
    assert shop.reviews() == ["unmatched_provider_object"]
    assert shop.agrees()


def test_refunds_of_a_charge_of_nobodys_count_once(shop: Shop) -> None:
    charge = strangers_charge(shop)
    shop.provider.simulator.refund(
        RefundRequest(key="r", reference=charge.reference, amount=Money(200, "EUR"))
    )
    coming = shop.deliveries()
    shop.deliver(d for d in coming if b'"type":"refund.' not in d.body)
    assert shop.agrees()
    shop.deliver(coming)
    assert shop.agrees()
    assert shop.balances() == {"receivable/sandbox-eu:EUR": 300, "suspense:EUR": -300}


def test_what_came_before_its_charge_was_known_finds_its_payment(shop: Shop) -> None:
    """The provider gives no key back, so only the answer tells whose the charge is."""
    payment = shop.paid()
    stored_facts = models.Fact.objects
    (told,) = shop.provider.parse_webhook(shop.deliveries()[0].body)
    early = replace(told, reference="ch_early", key="", captured_minor=0, status="authorized")
    now = clock.now()

    def tell(snapshot: Snapshot) -> None:
        commit(
            lambda: facts.append_facts(
                provider_account=ACCOUNT, snapshots=[snapshot], source="webhook", now=now
            )
        )

    tell(early)
    assert shop.reviews() == ["unmatched_provider_object"]
    tell(replace(early, key=payment.attempts.get().id))
    assert shop.reviews() == []
    assert stored_facts.filter(reference="ch_early").count() == 2


def test_a_body_that_was_pruned_or_makes_no_sense_is_a_dead_letter(shop: Shop) -> None:
    shop.paid()
    delivery = shop.deliveries()[0]
    now = clock.now()
    event = inbox.verify(
        provider_account=ACCOUNT, headers=delivery.headers, body=delivery.body, now=now
    )
    for number, body in enumerate((b"{}", b"pruned")):
        named = VerifiedWebhook(event_id=f"evt_{number}", type=event.type)
        receive = partial(
            inbox.receive,
            provider_account=ACCOUNT,
            event=named,
            body=body,
            raw_id=ids.new(ids.BODY),
            now=now,
        )
        commit(receive)
    commit(lambda: models.RawBody.objects.filter(body=b"pruned").delete())
    assert shop.run_jobs(rounds=1) == {("process_webhook", "dead"): 2}
    assert shop.balances() == SOLD
