"""Eight recorders at once, each with commits of its own, agree with the fold of all they heard."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from bursar import group_commit
from bursar.payments import charges, facts
from bursar.providers.interface import ObjectKind, Snapshot
from tests.shop import ACCOUNT, Shop, commit
from tests.unit.payments import histories

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COURSES = ["captured in parts", "refunded twice", "disputed twice", "refunded elsewhere"]


def news_of(course: str, number: int) -> list[Snapshot]:
    """What a provider tells of the payment of attempt *number*, with names of its own."""
    told = []
    for snapshot in histories.COURSES[course]().news:
        named = replace(
            snapshot,
            reference=f"{snapshot.reference}_{number}",
            parent_reference=f"{snapshot.parent_reference}_{number}"
            if snapshot.parent_reference
            else "",
            key="",
        )
        if named.kind is ObjectKind.CHARGE:
            named = replace(named, key=f"att_{number}")
        told.append(named)
    return told


@pytest.mark.parametrize("seed", [1, 2])
def test_eight_recorders_end_where_one_would(shop: Shop, seed: int) -> None:
    payments = [shop.payment(shop.place()) for _ in COURSES]
    for number, payment in enumerate(payments):
        commit(
            partial(
                charges.prepare_charge, payment_id=payment.id, attempt_id=f"att_{number}", now=NOW
            )
        )
    several = 8 if _is_postgres() else 1
    groups = [group_commit.GroupCommit() for _ in range(several)]
    everything = [
        snapshot for number, course in enumerate(COURSES) for snapshot in news_of(course, number)
    ]

    def recorder(place: int) -> None:
        mine = list(everything)
        random.Random(seed * 100 + place).shuffle(mine)
        for snapshot in mine[: len(mine) * 2 // 3] if place else mine:
            groups[place % several].run_blocking(
                partial(
                    facts.append_facts,
                    provider_account=ACCOUNT,
                    snapshots=[snapshot],
                    source="webhook",
                    now=NOW,
                )
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(recorder, range(8)))
    for group in groups:
        group.close()

    expected: dict[str, int] = {}
    for number, (course, payment) in enumerate(zip(COURSES, payments, strict=True)):
        fresh = shop.fresh(payment)
        commands = replace(histories.COURSES[course]().commands(), refunds=())
        news = news_of(course, number)
        state = histories.state_of(commands, news)
        assert (fresh.status, fresh.captured_minor, fresh.refunded_minor, fresh.disputed_minor) == (
            state.status,
            state.captured_minor,
            state.refunded_minor,
            state.disputed_minor,
        )
        for account, amount in histories.balances_of(commands, news).items():
            name = account.replace(histories.ACCOUNT, ACCOUNT)
            expected[name] = expected.get(name, 0) + amount
    assert shop.balances() == {name: amount for name, amount in expected.items() if amount}
    assert [code for code in shop.reviews() if code == "unmatched_provider_object"] == []


def _is_postgres() -> bool:
    from django.db import connection

    return connection.vendor == "postgresql"
