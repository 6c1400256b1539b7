"""A provider account's tiles: what our books know, and what its API says."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bursar import clock
from bursar.dashboard.live_state import SourceStatus
from bursar.money import Money
from bursar.payments import facts
from bursar.payments.models import Attempt, Payment
from bursar.providers.interface import ObjectKind, Snapshot
from bursar.queue import jobs
from tests.flows.dashboard.stage import staged
from tests.shop import ACCOUNT, Shop, commit


def values(view: SourceStatus) -> dict[str, tuple[float | str | None, str]]:
    return {reading.name: (reading.value, reading.level) for reading in view.measurements}


def tiles(toml: str = "") -> tuple[SourceStatus, SourceStatus]:
    async def story() -> tuple[SourceStatus, SourceStatus]:
        async with staged(toml) as stage:
            await stage.pass_by(60)
            return stage.view(f"account:{ACCOUNT}"), stage.view(f"account:{ACCOUNT}:api")

    return asyncio.run(story())


def test_books_and_api_say_the_same(shop: Shop) -> None:
    shop.paid()
    books, api = tiles()
    assert values(books) == {
        "balance EUR": (10.0, "ok"),
        "pending payouts": (0.0, "ok"),
        "open disputes": (0.0, "ok"),
        "unknown outcomes": (0.0, "ok"),
        "webhook lag": (0.0, "ok"),
    }
    assert values(api) == {"provider balance EUR": (10.0, "ok"), "API": ("available", "ok")}
    assert (books.title, api.title, books.group) == (
        ACCOUNT,
        f"{ACCOUNT} (API)",
        "Provider accounts",
    )
    assert (books.state, api.state, books.kind) == ("ok", "ok", "account")


def _happened() -> None:
    now = clock.now()
    for account, hours in ((ACCOUNT, 2), ("another", 5)):
        jobs.enqueue(
            "process_webhook",
            {"provider_account": account, "event_id": "e"},
            now=now - timedelta(hours=hours),
        )
    Attempt.objects.create(
        id="att_1",
        payment=Payment.objects.get(),
        operation="charge",
        amount_minor=1000,
        status="unknown",
        created_at=now,
    )
    five = Money(500, "EUR")
    told = [
        *(
            Snapshot(kind=ObjectKind.PAYOUT, reference=reference, status=status, amount=five)
            for reference, status in (("po_1", "pending"), ("po_2", "pending"), ("po_2", "posted"))
        ),
        *(
            Snapshot(
                kind=ObjectKind.DISPUTE,
                reference=reference,
                status="needs_response",
                amount=five,
                evidence_due_by=now + timedelta(days=days),
                parent_reference="ch_1",
            )
            for reference, days in (("dp_1", 9), ("dp_2", 2))
        ),
    ]
    facts.append_facts(provider_account=ACCOUNT, source="webhook", now=now, snapshots=told)


def test_what_waits_is_shown_with_how_bad_it_is(shop: Shop) -> None:
    shop.place()
    commit(_happened)
    books, _ = tiles()
    found = values(books)
    assert found["pending payouts"] == (1.0, "ok")
    assert found["open disputes"] == (2.0, "ok")
    assert found["unknown outcomes"] == (1.0, "warning")
    (lag, lag_level), (days, days_level) = found["webhook lag"], found["days to respond"]
    assert isinstance(lag, float)
    assert isinstance(days, float)
    assert (round(lag / 3600, 1), lag_level) == (2.0, "critical")
    assert (round(days, 1), days_level) == (2.0, "warning")


def test_the_file_says_what_is_bad_and_what_is_not_watched(shop: Shop) -> None:
    shop.paid()
    books, _ = tiles(f'[accounts.{ACCOUNT}]\nmeasurements."balance EUR".critical_above = 5')
    assert values(books)["balance EUR"] == (10.0, "critical")

    async def unwatched() -> list[SourceStatus]:
        async with staged("[accounts.default]\nenabled = false") as stage:
            await stage.pass_by(60)
            return stage.board.statuses()

    assert asyncio.run(unwatched()) == []
