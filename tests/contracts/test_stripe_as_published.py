"""What we send Stripe, and what our stand-in answers, is what Stripe's own documents say."""

from __future__ import annotations

import asyncio
import json
import typing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe as official
from pydantic import TypeAdapter

from bursar.money import Money
from bursar.payments import accounting, payment_state
from bursar.providers import interface
from bursar.providers.interface import ObjectKind, Operation, Secret
from bursar.providers.stripe import (
    StripeConfig,
    StripeProvider,
    client,
    snapshots,
    webhook_signature,
)
from tests.contracts.test_providers import listening
from tests.stripe import published, server
from tests.stripe.simulator import StripeSimulator

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CONFIG: dict[str, Any] = {"api_key": Secret(server.KEY), "webhook_secret": Secret(server.SECRET)}


def told_by_every_call(**config: Any) -> tuple[StripeSimulator, list[Any]]:
    """Make every kind of call there is; the book, and what the stand-in saw."""
    book = StripeSimulator(settlement="eur", rates={"usd": "0.9173"})

    async def run() -> list[Any]:
        app = server.application(book)
        async with listening(app) as url:
            provider = StripeProvider(StripeConfig(url=url, **CONFIG, **config))
            try:
                await _every_call(provider, book)
            finally:
                await provider.close()
        seen: list[Any] = app[server.SEEN]
        return seen

    return book, asyncio.run(run())


async def _every_call(provider: StripeProvider, book: StripeSimulator) -> None:
    def key(name: str) -> str:
        return f"att_{name}"

    async def charge(name: str, method: str = "pm_card_visa", **told: Any) -> interface.Result:
        amount = told.pop("amount", Money(1_000, "USD"))
        told.setdefault("metadata", {"payment": "pay_1", "order": "ord_1"})
        request = interface.ChargeRequest(key=key(name), amount=amount, method=method, **told)
        return await provider.charge(request)

    paid = await charge("paid")
    await charge("saved", "cus_1/pm_card_visa")
    await charge("declined", "pm_card_chargeDeclined")
    await charge("action", "pm_card_authenticationRequired")
    await charge("slow", "pm_usBankAccount", amount=Money(500, "JPY"))
    hosted = bool(provider.config.return_url)
    page = await charge("page", "checkout") if hosted else paid
    held = await charge("held", capture=False)
    gone = await charge("gone", capture=False)
    disputed = await charge("disputed", "pm_card_createDispute")
    part = interface.CaptureRequest(
        key=key("part"), reference=held.reference, amount=Money(300, "USD"), final=False
    )
    await provider.capture(part)
    await provider.void(interface.VoidRequest(key=key("void"), reference=gone.reference))
    back = interface.RefundRequest(
        key=key("back"),
        reference=paid.reference,
        amount=Money(400, "USD"),
        metadata={"refund": "re_1"},
    )
    refund = await provider.refund(back)
    for operation, reference in (
        (Operation.CHARGE, paid.reference),
        (Operation.CHARGE, ""),
        (Operation.REFUND, ""),
        (Operation.REFUND, refund.reference),
        (Operation.CHARGE, page.reference),
    ):
        request = interface.StatusRequest(
            operation=operation,
            key=key("back"),
            reference=reference,
            parent_reference=paid.reference,
        )
        await provider.get_status(request)
    [dispute] = book.listed("dispute")
    assert disputed.reference == dispute["payment_intent"]
    texts = {"uncategorized_text": "delivered"}
    evidence = interface.EvidenceRequest(
        key=key("e"), reference=dispute["id"], texts=texts, submit=True
    )
    await provider.submit_evidence(evidence)
    book.close_dispute(dispute["id"], won=True)
    book.fail_refund(refund.reference)
    [payout] = book.pay_out()
    for kind, one in ((ObjectKind.PAYOUT, payout), (ObjectKind.DISPUTE, dispute)):
        await provider.fetch_object(kind, one["id"])
    await provider.balances()
    async for _ in provider.list_settlement_lines(NOW - timedelta(days=3_000)):
        pass


def test_every_request_is_one_that_stripe_documents():
    for config in (
        {},
        {"return_url": "https://shop.example/back"},
        {"payment_method_types": "card"},
    ):
        _, seen = told_by_every_call(**config)
        assert len({(method, path.split("/")[2]) for method, path, _, _ in seen}) >= 9
        for method, path, told, _ in seen:
            assert published.faults_of_request(method, path, told) == [], (method, path, told)


def test_a_request_that_is_wrong_is_noticed():
    good = {"amount": "100", "currency": "eur", "confirm": "true"}
    faults = [
        published.faults_of_request("POST", "/v1/payment_intents", {**good, **bad})
        for bad in ({}, {"nonsense": "1"}, {"capture_method": "nope"}, {"metadata": "text"})
    ]
    assert [bool(found) for found in faults] == [False, True, True, True]


def test_every_answer_of_the_stand_in_is_one_that_stripe_documents():
    book, _ = told_by_every_call(return_url="https://shop.example/back")
    kinds = set()
    for made in book.objects.values():
        kinds.add(made["object"])
        assert published.faults_of_object(book.shown(made, [])) == [], made["object"]
    for event in book.events:
        assert published.faults_of_object(event) == []
        inner = event["data"]["object"]
        assert published.faults_of_object(inner) == [], event["type"]
    assert published.faults_of_object(book.balance()) == []
    assert kinds == {
        "payment_intent",
        "charge",
        "refund",
        "dispute",
        "payout",
        "balance_transaction",
        "checkout.session",
    }


def test_an_answer_that_is_wrong_is_noticed():
    book, _ = told_by_every_call()
    made = book.shown(book.listed("payment_intent")[0], [])
    assert published.faults_of_object({**made, "amount": "10"})
    assert published.faults_of_object({**made, "status": "paid"})
    del made["currency"]
    assert published.faults_of_object(made)


SAMPLES = {
    "payment_intent": ("charge", "declined"),
    "charge": ("charge", "authorized"),
    "refund": ("refund", "succeeded"),
    "dispute": ("dispute", "inquiry"),
    "payout": ("payout", "pending"),
    "checkout.session": ("charge", "requires_action"),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_stripes_own_samples_fold_and_book(kind):
    sample = published.samples()[kind]
    if kind == "checkout.session":
        sample = {**sample, "amount_total": 1000, "currency": "usd", "status": "open"}
    if kind == "payout":
        sample = {**sample, "status": "in_transit"}
    [made] = snapshots.read_object(sample)
    assert (made.kind, made.status) == SAMPLES[kind]
    assert payment_state.status_rank(made) >= 0
    commands = payment_state.Commands(
        amount_minor=max(made.amount.amount_minor, 1), tax_minor=0, currency=made.amount.currency
    )
    state = payment_state.fold(commands, [], [made])
    booked = accounting.target_balances(commands=commands, state=state, provider_account="stripe")
    unmatched = accounting.target_balances_unmatched(objects=[made], provider_account="stripe")
    moved = {"refund", "payout"} & {kind}
    assert bool(booked or unmatched) == bool(moved)


# --- the official library -------------------------------------------------------------------------


def test_the_version_we_name_is_the_official_librarys():
    assert official.api_version == client.API_VERSION


def test_the_official_library_believes_our_signature_and_reads_our_events():
    book, _ = told_by_every_call()
    now = datetime.now(UTC)
    for one in server.deliveries(book, at=now):
        header = one["headers"]["Stripe-Signature"]
        event = official.Webhook.construct_event(one["body"], header, server.SECRET)
        assert event.id == one["event_id"]
    with pytest.raises(official.SignatureVerificationError):
        official.Webhook.construct_event(one["body"] + " ", header, server.SECRET)


def test_we_believe_the_official_librarys_signature():
    body, seconds = b'{"id": "evt_1"}', int(NOW.timestamp())
    signature = official.WebhookSignature._compute_signature(
        f"{seconds}.{body.decode()}", server.SECRET
    )
    header = {"stripe-signature": f"t={seconds},v0=old,v1={'0' * 64},v1={signature}"}
    webhook_signature.verify(["another", server.SECRET], header, body, now=NOW)
    for wrong in (NOW + timedelta(hours=24), NOW - timedelta(hours=24)):
        with pytest.raises(interface.InvalidSignature, match="more than 300 s from now"):
            webhook_signature.verify([server.SECRET], header, body, now=wrong)
    with pytest.raises(interface.InvalidSignature, match="too many"):
        many = {"Stripe-Signature": header["stripe-signature"] + ",v1=x" * 10}
        webhook_signature.verify([server.SECRET], many, body, now=NOW)


class _Untyped:
    """The library's own name for an object whose fields it does not tell."""

    def __class_getitem__(cls, _item: object) -> Any:
        return dict[str, Any]


def _typed_by(params: Any) -> TypeAdapter[Any]:
    """A checker made of the official library's own parameter types: nothing else is let in."""
    names = {
        **vars(typing),
        **vars(official.params),
        "StripeContext": object,
        "UntypedStripeObject": _Untyped,
    }
    params.__pydantic_config__ = {"extra": "forbid"}
    adapter: TypeAdapter[Any] = TypeAdapter(params)
    adapter.rebuild(_types_namespace=names)
    return adapter


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/payment_intents", official.params.PaymentIntentCreateParams),
        ("/capture", official.params.PaymentIntentCaptureParams),
        ("/v1/refunds", official.params.RefundCreateParams),
    ],
)
def test_the_official_parameter_types_know_what_we_send(path, params):
    adapter = _typed_by(params)
    sent = []
    for config in ({"multicapture": True}, {"return_url": "https://shop.example"}):
        _, seen = told_by_every_call(**config)
        sent += [form for method, at, form, _ in seen if method == "POST" and at.endswith(path)]
    assert len(sent) >= 2
    for form in sent:
        adapter.validate_python(form)
    with pytest.raises(ValueError, match="nonsense"):
        adapter.validate_python({**sent[0], "nonsense": "1"})


def test_the_official_library_reads_the_stand_ins_answers():
    book = StripeSimulator()

    async def run() -> tuple[Any, Any, Any]:
        async with listening(server.application(book)) as url:
            client = official.StripeClient(server.KEY, base_addresses={"api": url})

            def ask() -> tuple[Any, Any, Any]:
                made = client.v1.payment_intents.create(
                    {
                        "amount": 1234,
                        "currency": "eur",
                        "confirm": True,
                        "payment_method": "pm_card_visa",
                        "expand": ["latest_charge"],
                    }
                )
                refund = client.v1.refunds.create({"payment_intent": made.id, "amount": 200})
                return made, refund, client.v1.balance.retrieve()

            return await asyncio.to_thread(ask)

    made, refund, balance = asyncio.run(run())
    assert (made.status, made.latest_charge.amount_captured) == ("succeeded", 1234)
    assert (refund.status, refund.amount) == ("succeeded", 200)
    assert balance.available[0].amount == 1234 - 44 - 200


def test_no_secret_and_no_buyer_is_in_what_we_log(capsys):
    told_by_every_call()
    logged = capsys.readouterr()
    assert server.KEY not in logged.err + logged.out
    assert json.dumps("pm_card_visa") not in logged.err
