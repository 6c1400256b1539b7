"""The queue: nothing is lost, nobody finishes another's job, and nothing is tried for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from bursar import errors, group_commit, sql
from bursar.queue import jobs, worker
from bursar.queue.models import Job
from tests.conftest import Database
from tests.shop import commit, depth

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Finish = Callable[[], None] | None


def enqueue(name: str, **told: object) -> bool:
    return commit(lambda: jobs.enqueue(name, {"n": name}, now=NOW, **told))  # type: ignore[arg-type]


def claim(count: int = 10, *, token: str = "t1", now: datetime = NOW) -> list[jobs.Lease]:
    return commit(lambda: jobs.claim(count=count, token=token, lease=MINUTE, now=now))


def names(leases: list[jobs.Lease]) -> list[str]:
    return [lease.name for lease in leases]


def test_soonest_first_and_each_to_one_claim(database: Database) -> None:
    for name, priority in (("c", 200), ("a", 100), ("b", 100), ("first", 1)):
        assert enqueue(name, priority=priority)
    assert names(claim(3, token="t1")) == ["first", "a", "b"]
    assert names(claim(3, token="t2")) == ["c"]
    assert claim(3, token="t3") == []


def test_a_claim_takes_no_more_than_it_asked_for_however_it_is_planned(database: Database) -> None:
    """PostgreSQL runs a sub-select again for each row when it joins by a nested loop."""
    for _ in range(5):
        enqueue("a")

    def claim_by_nested_loop() -> list[jobs.Lease]:
        if connection.vendor == "postgresql":
            for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material"):
                sql.run(f"SET LOCAL enable_{way} = off")
        return jobs.claim(count=2, token="t1", lease=MINUTE, now=NOW)

    assert len(commit(claim_by_nested_loop)) == 2
    assert depth() == {("a", "leased"): 2, ("a", "ready"): 3}


def test_a_claim_counts_the_attempt_and_holds_the_payload(database: Database) -> None:
    enqueue("a")
    (lease,) = claim()
    assert (lease.payload, lease.attempts, lease.token) == ({"n": "a"}, 1, "t1")
    assert depth() == {("a", "leased"): 1}


def test_delayed_jobs_are_apart_until_their_time_has_come(database: Database) -> None:
    enqueue("later", delay=MINUTE)
    enqueue("now")
    assert depth() == {("later", "delayed"): 1, ("now", "ready"): 1}
    assert commit(lambda: jobs.promote_due(now=NOW + MINUTE - timedelta(microseconds=1))) == 0
    assert names(claim()) == ["now"]
    assert commit(lambda: jobs.promote_due(now=NOW + MINUTE)) == 2  # and the lease ran out
    assert names(claim(token="t2")) == ["later", "now"]


def test_a_late_worker_cannot_finish_what_is_anothers(database: Database) -> None:
    enqueue("a")
    (late,) = claim(token="late")
    assert commit(lambda: jobs.promote_due(now=NOW + MINUTE)) == 1
    (mine,) = claim(token="mine", now=NOW + MINUTE)
    assert mine.attempts == 2

    for refused in (
        lambda: jobs.ack(late),
        lambda: jobs.retry(late, at=NOW, error="late"),
        lambda: jobs.dead_letter(late, error="late"),
        lambda: jobs.release(late),
        lambda: jobs.extend_lease(late, until=NOW + 9 * MINUTE),
    ):
        assert commit(refused) is False
    assert depth() == {("a", "leased"): 1}
    assert commit(lambda: jobs.ack(mine)) is True
    assert depth() == {}


def test_a_lease_that_is_extended_does_not_run_out(database: Database) -> None:
    enqueue("a")
    (lease,) = claim()
    assert commit(lambda: jobs.extend_lease(lease, until=NOW + 2 * MINUTE))
    assert commit(lambda: jobs.promote_due(now=NOW + MINUTE)) == 0
    assert commit(lambda: jobs.promote_due(now=NOW + 2 * MINUTE)) == 1


def test_a_job_handed_back_does_not_count_as_tried(database: Database) -> None:
    enqueue("a")
    (lease,) = claim()
    assert commit(lambda: jobs.release(lease))
    assert claim(token="t2")[0].attempts == 1


def test_a_key_is_one_living_job(database: Database) -> None:
    assert enqueue("a", unique_key="k")
    assert not enqueue("a", unique_key="k")
    assert enqueue("a", unique_key="other")
    assert enqueue("a")
    (dead, *_) = claim()
    commit(lambda: jobs.dead_letter(dead, error="poison"))
    assert enqueue("a", unique_key="k")
    # The dead one does not come back beside the living one.
    assert commit(lambda: jobs.redrive(dead.job_id)) is False


def test_a_dead_job_is_revived_once(database: Database) -> None:
    enqueue("a", unique_key="k")
    (lease,) = claim()
    commit(lambda: jobs.dead_letter(lease, error="x" * 3000))
    assert len(Job.objects.get().last_error) == jobs.ERROR_LETTERS_MAX
    assert claim(token="t2") == []
    assert commit(lambda: jobs.redrive(lease.job_id)) is True
    assert commit(lambda: jobs.redrive(lease.job_id)) is False
    assert claim(token="t3")[0].attempts == 1


def test_a_job_is_visible_when_its_cause_is_committed(database: Database) -> None:
    def cause() -> None:
        jobs.enqueue("a", {}, now=NOW)
        raise errors.Conflict("no")

    with pytest.raises(errors.Conflict):
        commit(cause)
    assert depth() == {}


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_many_workers_never_claim_the_same_job(database: Database) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for number in range(40):
        enqueue(f"job-{number}")
    groups = [group_commit.GroupCommit() for _ in range(4)]

    def claim_some(number: int) -> list[int]:
        claimed = groups[number % 4].run_blocking(
            lambda: jobs.claim(count=5, token=f"t{number}", lease=MINUTE, now=NOW)
        )
        return [lease.job_id for lease in claimed]

    with ThreadPoolExecutor(4) as pool:
        claimed = [job for jobs in pool.map(claim_some, range(12)) for job in jobs]
    for group in groups:
        group.close()
    assert len(claimed) == len(set(claimed)) == 40


# --- The worker ---------------------------------------------------------------------------------


def run(handlers: Mapping[str, worker.Handler], **told: object) -> worker.Worker:
    running = worker.Worker(handlers, randomness=random.Random(1), **told)  # type: ignore[arg-type]
    asyncio.run(running.run(until_empty=True))
    return running


def hurry() -> None:
    commit(lambda: Job.objects.filter(state="delayed").update(run_at=NOW))


async def succeed(lease: jobs.Lease) -> Finish:
    return None


async def fail(lease: jobs.Lease) -> Finish:
    raise errors.Conflict("not yet")


async def refuse(lease: jobs.Lease) -> Finish:
    raise errors.ValidationError("never")


async def go_on(lease: jobs.Lease) -> Finish:
    raise worker.RetryLater(MINUTE, "still waiting")


def test_outcomes_are_counted(database: Database) -> None:
    for name in ("good", "good", "bad", "wrong", "slow", "nobody"):
        enqueue(name)
    handlers = {"good": succeed, "bad": fail, "wrong": refuse, "slow": go_on}
    assert run(handlers).outcomes == {
        ("good", "done"): 2,
        ("bad", "retried"): 1,
        ("wrong", "dead"): 1,
        ("slow", "rescheduled"): 1,
        ("nobody", "dead"): 1,
    }
    assert depth() == {
        ("bad", "delayed"): 1,
        ("wrong", "dead"): 1,
        ("slow", "delayed"): 1,
        ("nobody", "dead"): 1,
    }
    errors_told = dict(Job.objects.values_list("name", "last_error"))
    assert errors_told == {
        "bad": "Conflict: not yet",
        "wrong": "ValidationError: never",
        "slow": "still waiting",
        "nobody": "JobHandlerNotFound: no handler for job 'nobody'",
    }


def test_a_job_that_always_fails_is_a_dead_letter_and_can_be_revived(database: Database) -> None:
    enqueue("bad")
    seen = []
    for _ in range(3):
        seen.append(dict(run({"bad": fail}, attempts_max=3).outcomes))
        hurry()
    assert seen == [{("bad", "retried"): 1}, {("bad", "retried"): 1}, {("bad", "dead"): 1}]
    assert run({"bad": fail}).outcomes == {}

    job = Job.objects.get()
    assert commit(lambda: jobs.redrive(job.pk))
    assert run({"bad": succeed}).outcomes == {("bad", "done"): 1}
    assert depth() == {}


def test_a_job_that_kills_its_worker_is_buried_without_being_run(database: Database) -> None:
    enqueue("killer")
    for death in range(3):
        (lease,) = claim(token=f"t{death}")
        assert lease.attempts == death + 1
        commit(lambda: jobs.promote_due(now=NOW + MINUTE))
    assert run({"killer": succeed}, attempts_max=3).outcomes == {("killer", "dead"): 1}
    assert Job.objects.get().last_error == "lease expired too often"


def test_work_that_goes_on_is_never_a_dead_letter(database: Database) -> None:
    enqueue("slow")
    for _ in range(5):
        assert run({"slow": go_on}, attempts_max=2).outcomes == {("slow", "rescheduled"): 1}
        hurry()


def test_pauses_grow_to_a_bound_and_are_spread(database: Database) -> None:
    early = worker.Worker({}, randomness=_Fixed(0.0))
    late = worker.Worker({}, randomness=_Fixed(1.0))
    assert [early.backoff(n).total_seconds() for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert [late.backoff(n).total_seconds() for n in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 8.0]
    assert late.backoff(40) == worker.BACKOFF_MAX


class _Fixed(random.Random):
    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def random(self) -> float:
        return self.number


def test_the_last_write_and_the_acknowledgement_are_one_commit(database: Database) -> None:
    enqueue("a")

    async def handler(lease: jobs.Lease) -> Finish:
        def finish() -> None:
            jobs.enqueue("next", {}, now=NOW)
            if lease.attempts == 1:
                raise errors.Conflict("the write fails")

        return finish

    assert run({"a": handler}).outcomes == {("a", "retried"): 1}
    assert depth() == {("a", "delayed"): 1}
    hurry()
    outcomes = run({"a": handler, "next": succeed}).outcomes
    assert outcomes == {("a", "done"): 1, ("next", "done"): 1}


def test_what_was_learned_is_kept_when_the_lease_was_lost(database: Database) -> None:
    enqueue("a")

    async def handler(lease: jobs.Lease) -> Finish:
        await group_commit.commits.run(lambda: jobs.promote_due(now=NOW + timedelta(days=9999)))

        def finish() -> None:
            jobs.enqueue("learned", {}, unique_key="once", now=NOW)

        ended.set()
        return finish

    ended = asyncio.Event()
    running = worker.Worker({"a": handler, "learned": succeed})

    async def main() -> None:
        task = asyncio.create_task(running.run())
        await ended.wait()
        running.stop()
        await task

    asyncio.run(main())
    assert running.outcomes["a", "done"] >= 1
    assert running.outcomes["learned", "done"] + depth().get(("learned", "ready"), 0) >= 1


def test_stopping_drains_what_runs_and_claims_no_more(database: Database) -> None:
    for _ in range(5):
        enqueue("a")
    begun: list[int] = []

    async def main() -> worker.Worker:
        gate = asyncio.Event()

        async def handler(lease: jobs.Lease) -> Finish:
            begun.append(lease.job_id)
            running.stop()
            gate.set()
            await gate.wait()
            return None

        running = worker.Worker({"a": handler}, concurrency=2)
        await running.run()
        return running

    running = asyncio.run(main())
    assert len(begun) == 2
    assert running.outcomes == {("a", "done"): 2}
    assert depth() == {("a", "ready"): 3}


def test_what_was_claimed_and_not_begun_is_handed_back(database: Database) -> None:
    for _ in range(3):
        enqueue("a")

    class StopsAfterClaim(worker.Worker):
        async def _claim(self, count: int) -> list[jobs.Lease]:
            claimed = await super()._claim(count)
            self.stop()
            return claimed

    running = StopsAfterClaim({"a": succeed})
    asyncio.run(running.run())
    assert running.outcomes == {}
    assert depth() == {("a", "ready"): 3}
    assert set(Job.objects.values_list("attempts", flat=True)) == {0}


def test_what_does_not_end_in_time_is_left_to_its_lease(database: Database) -> None:
    enqueue("endless")

    async def main() -> worker.Worker:
        async def endless(lease: jobs.Lease) -> Finish:
            running.stop()
            await asyncio.Event().wait()
            return None

        running = worker.Worker({"endless": endless})
        await running.run(drain_seconds=0.0)
        return running

    assert asyncio.run(main()).outcomes == {}
    assert depth() == {("endless", "leased"): 1}
