"""Periodic jobs: each run once, whoever looks; none is lost, and a failure is seen."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bursar import clock, errors, group_commit
from bursar.access.roles import Role
from bursar.api import metrics
from bursar.periodic import Every, PeriodicJob
from bursar.queue import invariants, jobs, scheduler
from bursar.queue.models import Job, PeriodicJobStatus
from bursar.queue.scheduler import PeriodicHandler, Scheduler
from bursar.queue.worker import Worker
from bursar.verify import checks
from tests.conftest import Database
from tests.flows.admin.office import office
from tests.flows.test_command_line import Terminal
from tests.shop import commit, depth

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
[UNFINISHED] = [text for text in invariants.INVARIANTS if "periodic job" in text]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


class Sweep:
    """What a periodic job does: it writes down when it ran, or raises *error*."""

    def __init__(self) -> None:
        self.runs: list[datetime] = []
        self.error: Exception | None = None

    async def __call__(self, now: datetime) -> None:
        self.runs.append(now)
        if self.error is not None:
            raise self.error


def job(handler: Any = None, *, name: str = "sweep", every: timedelta = HOUR) -> PeriodicJob:
    return PeriodicJob(name, Every(every), handler or Sweep())


def scheduled(*jobs: PeriodicJob, now: Clock) -> Scheduler:
    made = Scheduler(jobs, now=now)
    commit(made.register)
    return made


def due(of: Scheduler) -> list[str]:
    return commit(of.enqueue_due)


def status(name: str = "sweep") -> PeriodicJobStatus:
    return PeriodicJobStatus.objects.get(name=name)


def work(*jobs: PeriodicJob, now: Clock, **told: Any) -> Worker:
    worker = Worker({each.name: PeriodicHandler(each, now) for each in jobs}, **told)
    asyncio.run(worker.run(until_empty=True))
    return worker


# --- When a run is enqueued ---------------------------------------------------------------------


def test_a_new_job_is_due_at_its_next_time_and_not_at_once(database: Database) -> None:
    now = Clock()
    now.at = NOON + MINUTE
    made = scheduled(job(), now=now)
    assert status().next_run_at == NOON + HOUR
    assert due(made) == []
    now.at = NOON + HOUR - timedelta(microseconds=1)
    assert due(made) == []
    now.at = NOON + HOUR
    assert due(made) == ["sweep"]
    assert due(made) == []
    assert depth() == {("sweep", "ready"): 1}
    assert status().next_run_at == NOON + 2 * HOUR
    assert Job.objects.get().payload == {"scheduled_for": "2026-03-01T13:00:00+00:00"}


def test_missed_runs_are_one_run(database: Database) -> None:
    now = Clock()
    made = scheduled(job(), now=now)
    now.at = NOON + 49 * HOUR + MINUTE  # two days without a worker
    assert due(made) == ["sweep"]
    assert due(made) == []
    assert status().next_run_at == NOON + 50 * HOUR
    assert depth() == {("sweep", "ready"): 1}


def test_a_run_is_left_out_while_the_one_before_goes_on(database: Database) -> None:
    now = Clock()
    made = scheduled(job(), now=now)
    for hours in (1, 2, 3):
        now.at = NOON + hours * HOUR
        due(made)
    assert depth() == {("sweep", "ready"): 1}
    assert status().next_run_at == NOON + 4 * HOUR


def test_a_changed_schedule_holds_from_now_on(database: Database) -> None:
    now = Clock()
    before = scheduled(job(), now=now)
    after = scheduled(job(every=10 * MINUTE), now=now)
    assert (status().schedule, status().next_run_at) == ("every 10 minutes", NOON + 10 * MINUTE)
    # A worker of the version before leaves the run to those that know the schedule.
    now.at = NOON + 2 * HOUR
    assert due(before) == []
    assert due(after) == ["sweep"]


def test_a_run_that_is_due_stays_due_when_the_schedule_changes(database: Database) -> None:
    now = Clock()
    scheduled(job(every=10 * MINUTE), now=now)
    now.at = NOON + 11 * MINUTE
    after = scheduled(job(), now=now)
    assert due(after) == ["sweep"]
    assert status().next_run_at == NOON + HOUR


def test_a_job_that_is_declared_no_more_has_no_row(database: Database) -> None:
    now = Clock()
    scheduled(job(), job(name="other"), now=now)
    scheduled(job(name="other"), now=now)
    assert list(PeriodicJobStatus.objects.values_list("name", flat=True)) == ["other"]


def test_two_jobs_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="the same name"):
        Scheduler([job(), job()])


# --- Several processes --------------------------------------------------------------------------


def test_many_schedulers_at_once_enqueue_each_run_once(database: Database) -> None:
    """Each has a connection of its own, as processes have."""
    names = [f"sweep_{number}" for number in range(5)]
    jobs = [job(name=name) for name in names]
    now = Clock()
    scheduled(*jobs, now=now)
    groups = [group_commit.GroupCommit() for _ in range(4)]
    schedulers = [Scheduler(jobs, now=now) for _ in groups]

    def look(number: int) -> list[str]:
        def enqueue_and_finish() -> list[str]:
            found = schedulers[number % 4].enqueue_due()
            Job.objects.all().delete()  # so that no living job keeps the next from being enqueued
            return found

        return groups[number % 4].run_blocking(enqueue_and_finish)

    enqueued: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for hours in range(1, 11):
            now.at = NOON + hours * HOUR
            enqueued += [name for found in pool.map(look, range(8)) for name in found]
    for group in groups:
        group.close()
    assert sorted(enqueued) == sorted(names * 10)


def test_many_workers_that_start_at_once_make_one_row_a_job(database: Database) -> None:
    now = Clock()
    jobs = [job(name=f"sweep_{number}") for number in range(5)]
    groups = [group_commit.GroupCommit() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = [
            pool.submit(group.run_blocking, Scheduler(jobs, now=now).register) for group in groups
        ]
    for group, future in zip(groups, made, strict=True):
        assert future.result() is None
        group.close()
    assert PeriodicJobStatus.objects.count() == 5


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_two_workers_share_the_runs(database: Database) -> None:
    """On SQLite a second worker does not start."""
    now, sweep = Clock(), Sweep()
    jobs = [job(sweep, name=f"sweep_{number}") for number in range(8)]
    scheduled(*jobs, now=now)
    now.at = NOON + HOUR
    handlers = {each.name: PeriodicHandler(each, now) for each in jobs}
    workers = [Worker(handlers, scheduler=Scheduler(jobs, now=now)) for _ in range(2)]

    async def both() -> None:
        await asyncio.gather(*(worker.run(until_empty=True) for worker in workers))

    asyncio.run(both())
    assert len(sweep.runs) == 8
    assert workers[0].outcomes + workers[1].outcomes == {(each.name, "done"): 1 for each in jobs}


# --- What becomes of a run ----------------------------------------------------------------------


def test_a_worker_registers_enqueues_and_runs(database: Database) -> None:
    now, sweep = Clock(), Sweep()
    known = job(sweep)
    scheduled(known, now=now)
    now.at = NOON + HOUR
    worker = work(known, now=now, scheduler=Scheduler([known], now=now))
    assert sweep.runs == [NOON + HOUR]
    assert worker.outcomes == {("sweep", "done"): 1}
    row = status()
    assert (row.last_started_at, row.last_finished_at, row.last_succeeded_at) == (now.at,) * 3
    assert (row.last_outcome, row.last_error) == ("succeeded", "")
    assert depth() == {}


def test_a_failing_run_is_tried_again_and_then_a_dead_letter(database: Database) -> None:
    now, sweep = Clock(), Sweep()
    known = job(sweep)
    made = scheduled(known, now=now)
    now.at = NOON + HOUR
    due(made)
    sweep.error = errors.RetryableError("the disk is full")
    assert work(known, now=now, attempts_max=2).outcomes == {("sweep", "retried"): 1}
    row = status()
    assert (row.last_outcome, row.last_finished_at) == ("failed", now.at)
    assert row.last_error == "RetryableError: the disk is full"
    assert row.last_succeeded_at is None

    commit(lambda: Job.objects.update(run_at=NOON))
    assert work(known, now=now, attempts_max=2).outcomes == {("sweep", "dead"): 1}
    assert depth() == {("sweep", "dead"): 1}

    # A dead letter waits for a person, and does not hold up the next run.
    sweep.error, now.at = None, NOON + 2 * HOUR
    assert due(made) == ["sweep"]
    assert work(known, now=now).outcomes == {("sweep", "done"): 1}
    assert (status().last_outcome, status().last_error) == ("succeeded", "")
    assert depth() == {("sweep", "dead"): 1}
    assert checks.confirm_failures(invariants.INVARIANTS[UNFINISHED]) == ()


def test_a_worker_that_dies_in_a_run_has_it_run_again(database: Database) -> None:
    now, sweep = Clock(), Sweep()
    known = job(sweep)
    made = scheduled(known, now=now)
    now.at = NOON + HOUR
    due(made)
    long_ago = clock.now() - HOUR
    [lease] = commit(lambda: jobs.claim(count=1, token="t1", lease=MINUTE, now=long_ago))
    finish = asyncio.run(PeriodicHandler(known, now)(lease))  # and then the process dies
    assert callable(finish)
    assert status().last_outcome == "started"
    assert checks.confirm_failures(invariants.INVARIANTS[UNFINISHED]) == ()  # its job is there

    assert work(known, now=now).outcomes == {("sweep", "done"): 1}
    assert len(sweep.runs) == 2
    assert status().last_outcome == "succeeded"


def test_a_run_without_its_job_is_found_by_verify(database: Database) -> None:
    now = Clock()
    known = job()
    made = scheduled(known, now=now)
    now.at = NOON + HOUR
    due(made)
    [lease] = commit(lambda: jobs.claim(count=1, token="t1", lease=MINUTE, now=now.at))
    asyncio.run(PeriodicHandler(known, now)(lease))
    commit(lambda: Job.objects.all().delete())
    [row] = checks.confirm_failures(invariants.INVARIANTS[UNFINISHED])
    assert row["name"] == "sweep"


def test_a_scheduler_with_a_bug_does_not_stop_the_jobs(database: Database) -> None:
    def broken() -> datetime:
        raise ZeroDivisionError

    commit(lambda: jobs.enqueue("sweep", {}, now=NOON))
    worker = work(job(), now=Clock(), scheduler=Scheduler([job()], now=broken))
    assert worker.outcomes == {("sweep", "done"): 1}


# --- Where it is shown --------------------------------------------------------------------------


def _late_by_an_hour() -> None:
    """One job succeeded two hours ago and should have run an hour ago; one fails."""
    now = clock.now()
    common = {"schedule": "every hour", "created_at": now - 5 * HOUR}
    commit(
        lambda: PeriodicJobStatus.objects.create(
            name="sweep",
            next_run_at=now - HOUR,
            last_succeeded_at=now - 2 * HOUR,
            last_outcome="succeeded",
            **common,
        )
    )
    commit(
        lambda: PeriodicJobStatus.objects.create(
            name="wipe",
            next_run_at=now + HOUR,
            last_outcome="failed",
            last_error="Conflict: not [yet]",
            **common,
        )
    )


def test_the_metrics_tell_the_age_of_the_last_success(database: Database) -> None:
    _late_by_an_hour()
    values = {
        line.split()[0]: float(line.split()[1])
        for line in metrics.render().decode().splitlines()
        if line.startswith("bursar_periodic_job")
    }
    age, overdue = (
        "bursar_periodic_job_last_success_age_seconds",
        "bursar_periodic_job_overdue_seconds",
    )
    # What is written a moment ago is a little older by now.
    assert 7_200 <= values[f'{age}{{job="sweep"}}'] < 7_260
    assert 18_000 <= values[f'{age}{{job="wipe"}}'] < 18_060  # never: since it is known
    assert 3_600 <= values[f'{overdue}{{job="sweep"}}'] < 3_660
    assert values[f'{overdue}{{job="wipe"}}'] == 0.0


def test_the_back_office_shows_them(database: Database) -> None:
    _late_by_an_hour()
    admin = office(Role.ADMIN)
    listed = admin.get("/bursar/periodicjobstatus/").text
    for text in ("sweep", "every hour", "Overdue", "wipe", "Failed"):
        assert text in listed
    page = admin.get("/bursar/periodicjobstatus/wipe/change/").text
    for text in ("Periodic job: wipe", "Conflict: not [yet]", "every hour", "No run in progress."):
        assert text in page
    assert "/bursar/periodicjobstatus/" in admin.get("/").text


def test_the_command_line_shows_them(
    database: Database, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(monkeypatch, capfd)
    assert "no periodic jobs yet; a worker adds them when it starts" in terminal.run("jobs")
    _late_by_an_hour()
    sweep, wipe = status("sweep"), status("wipe")
    text = "%Y-%m-%d %H:%M UTC"
    assert terminal.run("jobs").splitlines()[-6:] == [
        "Periodic jobs",
        "  sweep, every hour: overdue",
        (
            f"    next run {sweep.next_run_at:{text}}, last start never,"
            f" last success {sweep.last_succeeded_at:{text}}"
        ),
        "  wipe, every hour: failed",
        f"    next run {wipe.next_run_at:{text}}, last start never, last success never",
        "    Conflict: not [yet]",
    ]


def test_the_states_of_a_row() -> None:
    row = PeriodicJobStatus(next_run_at=NOON, last_outcome="")
    late = NOON + scheduler.OVERDUE_AFTER
    assert scheduler.state_of(row, now=late) == "scheduled"
    assert scheduler.state_of(row, now=late + timedelta(microseconds=1)) == "overdue"
    row.last_outcome = "failed"
    assert scheduler.state_of(row, now=NOON) == "failed"
