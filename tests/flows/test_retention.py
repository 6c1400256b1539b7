"""What has reached its age is deleted by periodic jobs: exactly that, in short commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.sessions.models import Session

from bursar import clock, group_commit, ids, retention
from bursar.access import idempotency
from bursar.access import periodic as access_periodic
from bursar.access.models import IdempotencyRecord
from bursar.dashboard import history
from bursar.dashboard import periodic as dashboard_periodic
from bursar.dashboard.alerts import creation
from bursar.dashboard.history import HistoryPoint
from bursar.dashboard.models import Alert, HistoryBucket
from bursar.payments.models import Fact, RawBody
from bursar.providers.capabilities import VerifiedWebhook
from bursar.queue.models import Job
from bursar.verify import checks
from bursar.webhooks import inbox, raw_bodies
from bursar.webhooks import periodic as webhooks_periodic
from bursar.webhooks.models import WebhookEvent
from tests.conftest import Database
from tests.shop import ACCOUNT, Shop, commit

SECOND = timedelta(seconds=1)
NOW = clock.now()


def _answer(key: str, age: timedelta) -> None:
    IdempotencyRecord.objects.create(
        caller="key_1", key=key, fingerprint="f", status=200, created_at=NOW - age
    )


def test_answers_are_kept_for_a_day(database: Database) -> None:
    commit(lambda: _answer("old", idempotency.RETENTION + SECOND))
    commit(lambda: _answer("young", idempotency.RETENTION - SECOND))
    asyncio.run(access_periodic.prune_idempotency_records(NOW))
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["young"]
    assert timedelta(hours=24) == idempotency.RETENTION


def test_sessions_are_kept_until_they_expire(database: Database) -> None:
    for name, left in (("ended", -SECOND), ("going", SECOND)):
        expires = NOW + left
        commit(partial(Session.objects.create, session_key=name, expire_date=expires))
    asyncio.run(access_periodic.prune_sessions(NOW))
    assert list(Session.objects.values_list("session_key", flat=True)) == ["going"]


def test_histories_are_kept_by_the_width_of_their_spans(database: Database) -> None:
    spans = []
    for step, kept in history.RETENTION_BY_STEP.items():
        youngest = history.bucket_start(NOW - kept, step)
        for offset in (-1, 0):  # the last that is too old, the first that is not
            at = youngest + offset * timedelta(seconds=step)
            spans.append((step, at, offset))
            values = {
                "count": 1,
                "min_value": 1.0,
                "max_value": 1.0,
                "total": 1.0,
                "last_value": 1.0,
            }
            row = HistoryBucket(
                source_key="a", series="n", step_seconds=step, starts_at=at, **values
            )
            commit(row.save)
    asyncio.run(dashboard_periodic.prune_histories(NOW))
    rest = set(HistoryBucket.objects.values_list("step_seconds", "starts_at"))
    assert rest == {(step, at) for step, at, offset in spans if offset == 0}


def _alert(number: int, age: timedelta) -> None:
    before, after = ("ok", "warning") if number % 2 else ("warning", "ok")
    Alert.objects.create(
        id=f"alr_{number}",
        source_key="api:a",
        sequence=number,
        title="A",
        previous_level=before,
        new_level=after,
        state=after,
        webhook="off",
        email="sent",
        raised_at=NOW - age,
    )


def test_alerts_are_kept_for_400_days_and_their_numbers_have_no_gap(database: Database) -> None:
    old = creation.RETENTION + SECOND
    for number in range(5, 0, -1):  # written in another order than numbered
        commit(partial(_alert, number, old if number <= 4 else timedelta(0)))
    asyncio.run(dashboard_periodic.prune_alerts(NOW))
    assert list(Alert.objects.values_list("sequence", flat=True)) == [5]

    # Of alerts raised at one time the lower numbers go first, so a batch leaves no gap either.
    for number in (4, 3, 2):
        commit(partial(_alert, number, old))
    assert commit(lambda: creation.prune(now=NOW, rows_max=2)) == 2
    assert sorted(Alert.objects.values_list("sequence", flat=True)) == [4, 5]


# --- Bodies of webhooks -------------------------------------------------------------------------


def _age_all(shop: Shop, age: timedelta) -> None:
    """Let all bodies, events and jobs have come *age* ago."""
    then = NOW - age
    commit(lambda: RawBody.objects.update(received_at=then))
    commit(lambda: WebhookEvent.objects.update(received_at=then))
    commit(lambda: Job.objects.update(created_at=then))


@pytest.mark.parametrize(("age_days", "rest"), [(89, 1), (91, 0)])
def test_bodies_are_kept_for_90_days_and_no_fact_needs_them(
    shop: Shop, age_days: int, rest: int
) -> None:
    payment = shop.paid()
    assert shop.deliver(shop.deliveries()) == {"stored": 1}
    facts = list(Fact.objects.order_by("pk").values())
    _age_all(shop, timedelta(days=age_days))
    asyncio.run(webhooks_periodic.prune_raw_bodies(NOW))
    assert RawBody.objects.count() == rest
    assert WebhookEvent.objects.count() == 1
    assert list(Fact.objects.order_by("pk").values()) == facts
    assert shop.fresh(payment).status == "captured"
    assert [finding.invariant for finding in checks.run_checks() if not finding.holds] == []
    # The same delivery is still known: the event stays.
    assert shop.deliver(shop.deliveries()) == {"known": 1}


def _receive(event_id: str, body: bytes, age: timedelta) -> None:
    inbox.receive(
        provider_account=ACCOUNT,
        event=VerifiedWebhook(event_id=event_id, type="charge"),
        body=body,
        raw_id=ids.new(ids.BODY),
        now=NOW - age,
    )


def test_the_body_of_an_event_that_was_not_processed_is_kept(shop: Shop) -> None:
    """A dead letter may be revived, and needs the body then."""
    old = raw_bodies.RETENTION + SECOND
    for name in ("dead", "waits", "done", "young"):
        age = timedelta(0) if name == "young" else old
        commit(partial(_receive, name, name.encode(), age))
    for name, state in (("dead", "dead"), ("waits", "delayed")):
        [job] = [each for each in Job.objects.all() if each.payload["event_id"] == name]
        commit(partial(Job.objects.filter(pk=job.pk).update, state=state))
    for name in ("done", "young"):
        [job] = [each for each in Job.objects.all() if each.payload["event_id"] == name]
        commit(job.delete)
        commit(partial(WebhookEvent.objects.filter(event_id=name).update, processed_at=NOW))
    asyncio.run(webhooks_periodic.prune_raw_bodies(NOW))
    assert {bytes(body) for body in RawBody.objects.values_list("body", flat=True)} == {
        b"dead",
        b"waits",
        b"young",
    }


# --- Batches ------------------------------------------------------------------------------------


def _bodies(count: int) -> None:
    then = NOW - raw_bodies.RETENTION - SECOND
    RawBody.objects.bulk_create(
        RawBody(id=ids.new(ids.BODY), body=b"x", received_at=then) for _ in range(count)
    )


def _answers(count: int) -> None:
    then = NOW - idempotency.RETENTION - SECOND
    IdempotencyRecord.objects.bulk_create(
        IdempotencyRecord(caller="k", key=str(n), fingerprint="f", created_at=then)
        for n in range(count)
    )


@pytest.mark.parametrize(
    ("fill", "prune", "model", "most"),
    [
        (_bodies, webhooks_periodic.prune_raw_bodies, RawBody, raw_bodies.BATCH_ROWS_MAX),
        (
            _answers,
            access_periodic.prune_idempotency_records,
            IdempotencyRecord,
            retention.BATCH_ROWS_MAX,
        ),
    ],
)
def test_no_commit_deletes_more_than_a_batch(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    fill: Callable[[int], None],
    prune: Any,
    model: Any,
    most: int,
) -> None:
    commit(lambda: fill(2 * most + 7))
    left: list[int] = []

    def watch(what: str, members: object) -> None:
        if what == "committed":
            left.append(model.objects.count())

    monkeypatch.setattr(group_commit, "commits", group_commit.GroupCommit(watch=watch))
    asyncio.run(prune(NOW))
    group_commit.commits.close()
    assert left == [most + 7, 7, 0]


def test_other_writers_go_between_two_batches(database: Database) -> None:
    commit(lambda: _answers(25))
    seen: list[int] = []

    async def other_writer() -> None:
        for _ in range(3):
            await group_commit.commits.run(lambda: seen.append(IdempotencyRecord.objects.count()))

    async def both() -> int:
        pruning = retention.delete_in_batches(
            lambda rows_max: idempotency.prune(now=NOW, rows_max=rows_max),
            what="answers",
            batch_rows_max=10,
        )
        deleted, _ = await asyncio.gather(pruning, other_writer())
        return deleted

    assert asyncio.run(both()) == 25
    # Each waited for one batch at most.
    assert seen == [15, 5, 0]


def test_a_member_outside_a_transaction_is_refused(database: Database) -> None:
    with pytest.raises(RuntimeError, match="group_commit"):
        idempotency.prune(now=NOW, rows_max=1)


def test_points_of_a_source_are_still_counted_after_pruning(database: Database) -> None:
    point = HistoryPoint(source_key="a", series="n", at=NOW, value=1.0)
    commit(lambda: history.add([point]))
    asyncio.run(dashboard_periodic.prune_histories(NOW))
    commit(lambda: history.add([point]))
    assert set(HistoryBucket.objects.values_list("step_seconds", "count")) == {
        (step, 2) for step in history.RETENTION_BY_STEP
    }
