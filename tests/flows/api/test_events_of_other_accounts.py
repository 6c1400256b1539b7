"""Events of other accounts (Connect, organizations) are stored, ignored by name, and shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import orjson
import pytest
from starlette.testclient import TestClient

from bursar import clock
from bursar.access.roles import Role
from bursar.payments import provider_accounts
from bursar.payments.models import Fact, RawBody, Review
from bursar.providers.sandbox.webhook_delivery import FOREIGN_ACCOUNT
from bursar.providers.stripe import webhook_signature
from bursar.queue.models import Job
from bursar.verify import checks
from bursar.webhooks.models import WebhookEvent
from tests.flows.admin.office import office
from tests.shop import ACCOUNT, Shop, commit

STRIPE, SECRET = "stripe-eu", "whsec_of_ours"
OWN, OTHER = "acct_own", "acct_other"
CHARGE = {
    "id": "pi_other",
    "object": "payment_intent",
    "amount": 777_700,
    "amount_received": 777_700,
    "currency": "eur",
    "status": "succeeded",
    "created": 1_700_000_000,
}
PAYOUT = {
    "id": "po_other",
    "object": "payout",
    "amount": 50_000,
    "currency": "eur",
    "status": "paid",
    "created": 1_700_000_000,
    "arrival_date": 1_700_000_000,
}
Deliver = Callable[..., httpx2.Response]


@pytest.fixture
def configure(
    shop: Shop, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Set up our account at Stripe; nothing listens at its address."""
    monkeypatch.setenv("BURSAR_STRIPE_EU_API_KEY", "sk_test_x")
    monkeypatch.setenv("BURSAR_STRIPE_EU_WEBHOOK_SECRET", SECRET)

    def make(**config: Any) -> None:
        told = {"url": "http://127.0.0.1:9", **config}
        commit(
            lambda: provider_accounts.create_account(
                name=STRIPE, provider="stripe", config=told, now=clock.now()
            )
        )

    make()
    yield make
    asyncio.run(provider_accounts.close_all())


@pytest.fixture
def deliver(configure: Callable[..., None], api: TestClient) -> Deliver:
    """Deliver an event of Stripe's, signed with our secret."""

    def post(about: dict[str, Any], event_id: str = "evt_1", **named: Any) -> httpx2.Response:
        event = {
            "id": event_id,
            "object": "event",
            "type": f"{about['object']}.succeeded",
            "livemode": False,
            "data": {"object": about},
            **named,
        }
        body = orjson.dumps(event)
        signature = webhook_signature.sign([SECRET], body, at=clock.now())
        return api.post(f"/hooks/{STRIPE}", content=body, headers={"Stripe-Signature": signature})

    return post


def received(answer: httpx2.Response, *, new: bool = True) -> bool:
    return (answer.status_code, answer.json()) == (200, {"received": True, "duplicate": not new})


def is_ignored(event_id: str, account: str) -> bool:
    """Whether an event is stored with its body, and named as ignored."""
    event = WebhookEvent.objects.get(event_id=event_id)
    assert RawBody.objects.filter(id=event.raw).exists()
    return event.ignored == f"of another account: {account}" and event.processed_at is not None


@pytest.mark.parametrize("about", [CHARGE, PAYOUT], ids=["charge", "payout"])
def test_an_event_of_a_connected_account_books_nothing(
    shop: Shop, deliver: Deliver, about: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    assert received(deliver(about, account=OTHER))
    logged = next(line for line in capfd.readouterr().err.splitlines() if "webhook_ignored" in line)
    assert orjson.loads(logged)["reason"] == f"of another account: {OTHER}"
    assert received(deliver(about, account=OTHER), new=False)
    assert is_ignored("evt_1", OTHER)
    assert Job.objects.count() == 0
    shop.run_jobs()
    assert [Fact.objects.count(), Review.objects.count(), shop.balances()] == [0, 0, {}]
    found = [finding for finding in checks.run_checks() if finding.folder == "webhooks"]
    assert [finding.rows for finding in found] == [()]


def test_the_back_office_shows_what_is_ignored_and_why(shop: Shop, deliver: Deliver) -> None:
    deliver(CHARGE, account=OTHER)
    viewer = office(Role.VIEWER)
    event = WebhookEvent.objects.get()
    assert f"Ignored: of another account: {OTHER}" in viewer.get("/bursar/webhookevent/").text
    page = viewer.get(f"/bursar/webhookevent/{event.pk}/change/").text
    assert f"Not processed: of another account: {OTHER}." in page


def test_an_event_without_an_account_is_ours(shop: Shop, deliver: Deliver) -> None:
    unnamed: list[dict[str, Any]] = [{}, {"account": None}, {"context": None}, {"context": ""}]
    for number, named in enumerate(unnamed):
        assert received(deliver(CHARGE, f"evt_{number}", **named))
    shop.run_jobs(rounds=1)
    assert [*WebhookEvent.objects.values_list("ignored", flat=True)] == [""] * 4
    assert shop.balances() == {f"receivable/{STRIPE}:EUR": 777_700, "suspense:EUR": -777_700}


@pytest.mark.parametrize(
    ("named", "foreign"),
    [
        ({"account": OWN}, ""),
        ({"account": OWN, "context": OTHER}, ""),
        ({"context": OWN}, ""),
        ({"context": f"org_1/{OWN}"}, ""),
        ({"account": OTHER, "context": OWN}, OTHER),
        ({"account": ""}, "unnamed"),
        ({"account": OWN.upper()}, OWN.upper()),
        ({"account": f"{OWN} "}, f"{OWN} "),
        ({"context": OTHER}, OTHER),
        ({"context": f"{OWN}/{OTHER}"}, f"{OWN}/{OTHER}"),
        ({"context": f"org_1/{OWN}/"}, f"org_1/{OWN}/"),
        ({"account": "x" * 5_000}, "x" * 120),
        ({"account": "acct\0\n"}, "acct??"),
    ],
)
def test_with_its_id_known_an_account_tells_its_own_events(
    deliver: Deliver, configure: Callable[..., None], named: dict[str, str], foreign: str
) -> None:
    configure(account_id=OWN)
    assert received(deliver(CHARGE, **named))
    event = WebhookEvent.objects.get()
    assert event.ignored == (f"of another account: {foreign}" if foreign else "")
    assert Job.objects.count() == (0 if foreign else 1)


@pytest.mark.parametrize("named", [{"account": OWN}, {"context": OWN}, {"context": f"org_1/{OWN}"}])
def test_without_its_id_no_named_account_is_taken_for_ours(
    deliver: Deliver, named: dict[str, str]
) -> None:
    assert received(deliver(CHARGE, **named))
    assert is_ignored("evt_1", *named.values())


def test_an_ignored_event_is_taken_when_it_comes_again_and_is_ours_by_now(
    shop: Shop, deliver: Deliver, configure: Callable[..., None]
) -> None:
    assert received(deliver(CHARGE, account=OWN))
    assert is_ignored("evt_1", OWN)
    configure(account_id=OWN)
    assert received(deliver(CHARGE, account=OWN))
    assert received(deliver(CHARGE, account=OWN), new=False)
    configure(account_id=OTHER)
    assert received(deliver(CHARGE, account=OWN), new=False)
    shop.run_jobs(rounds=1)
    assert shop.balances() == {f"receivable/{STRIPE}:EUR": 777_700, "suspense:EUR": -777_700}
    assert (WebhookEvent.objects.get().ignored, RawBody.objects.count()) == ("", 2)


def test_a_thin_event_of_another_account_needs_no_retries(deliver: Deliver) -> None:
    thin = {"object": "v2.core.event", "type": "v2.core.account.updated", "context": OTHER}
    assert received(deliver(CHARGE, **thin, data=None))
    assert is_ignored("evt_1", OTHER)


def test_a_foreign_event_of_the_other_mode_is_ignored_and_an_own_one_refused(
    deliver: Deliver,
) -> None:
    assert received(deliver(CHARGE, account=OTHER, livemode=True))
    assert is_ignored("evt_1", OTHER)
    assert deliver(CHARGE, "evt_2", livemode=True).status_code == 401


@pytest.mark.parametrize("odd", [7, True, [], {"id": OTHER}])
@pytest.mark.parametrize("field", ["account", "context"])
def test_an_account_that_cannot_be_read_is_refused(
    deliver: Deliver, odd: object, field: str
) -> None:
    assert deliver(CHARGE, **{field: odd}).status_code == 401
    assert WebhookEvent.objects.count() == 0


def test_a_foreign_event_with_the_id_of_ours_cannot_come_before_it_unsigned(
    deliver: Deliver, api: TestClient
) -> None:
    body = orjson.dumps({"id": "evt_1", "type": "x", "livemode": False, "account": OTHER})
    forged = webhook_signature.sign(["whsec_of_theirs"], body, at=clock.now())
    answer = api.post(f"/hooks/{STRIPE}", content=body, headers={"Stripe-Signature": forged})
    assert (answer.status_code, WebhookEvent.objects.count()) == (401, 0)


def test_the_sandbox_has_other_accounts_too(shop: Shop, api: TestClient) -> None:
    shop.paid()
    balances = shop.balances()
    assert shop.deliver(shop.deliveries(foreign=1.0)) == {"stored": 2}
    ignored = WebhookEvent.objects.exclude(ignored="").get()
    assert ignored.ignored == f"of another account: {FOREIGN_ACCOUNT}"
    assert ignored.provider_account_id == ACCOUNT
    assert shop.balances() == balances
    assert shop.agrees()
