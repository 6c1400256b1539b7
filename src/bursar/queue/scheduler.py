"""
The scheduler: enqueues the runs of periodic jobs, each once in all processes.

Every periodic job has a row with the time of its next run. Whoever moves that time forward (a
conditional update) enqueues an ordinary job in the same commit, so a run is neither lost nor
doubled by a crash, and the lease, retries and dead letters are those of every job. Runs that were
missed while no worker ran are made up for by one run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bursar import fields, group_commit, logs, sql
from bursar.periodic import PeriodicJob
from bursar.queue import jobs
from bursar.queue.models import PeriodicJobStatus, RunOutcome

#: How often a worker looks for due runs, so a run starts at most this much late on an idle worker.
CHECK_SECONDS: Final = 10.0
#: A run that was not enqueued so long after its time is overdue: no worker is at it.
OVERDUE_AFTER: Final = timedelta(minutes=5)

INSERT = (
    "INSERT INTO bursar_periodicjobstatus (name, schedule, next_run_at, last_outcome, last_error, "
    "created_at) VALUES (%s, %s, %s, '', '', %s) ON CONFLICT (name) DO NOTHING"
)

log = logs.get(__name__)


class Scheduler:
    """
    Enqueues the due runs of *jobs*; its methods are members of a grouped commit.

    *now* must be one clock for all workers. A worker enqueues a run only if the row has the
    schedule that it declares itself: while two versions of the program run, the one that started
    last has its way.

    :raises ValueError: if two jobs have one name.
    """

    def __init__(
        self,
        jobs: Sequence[PeriodicJob],
        *,
        now: Callable[[], datetime] = jobs.database_time,
    ) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._now = now
        if len(self._jobs) < len(jobs):
            raise ValueError("jobs: two periodic jobs have one name")

    def register(self) -> None:
        """
        Bring the rows in line with what is declared; a worker does so when it starts.

        A new job is due at the next time of its schedule, not at once. A changed schedule holds
        from now on; a run that is due already stays due.
        """
        group_commit.require_transaction()
        now = self._now()
        PeriodicJobStatus.objects.exclude(name__in=self._jobs).delete()
        for name, job in sorted(self._jobs.items()):
            schedule, next_run_at = str(job.schedule), job.schedule.next_after(now)
            sql.run(
                INSERT,
                [name, schedule, fields.to_db_datetime(next_run_at), fields.to_db_datetime(now)],
            )
            changed = PeriodicJobStatus.objects.filter(name=name).exclude(schedule=schedule)
            changed.filter(next_run_at__gt=now).update(next_run_at=next_run_at)
            changed.update(schedule=schedule)

    def enqueue_due(self) -> list[str]:
        """
        Enqueue every run whose time has come; returns the names of the jobs.

        A run is left out while the one before still waits or runs.
        """
        group_commit.require_transaction()
        now = self._now()
        enqueued = []
        for row in PeriodicJobStatus.objects.filter(next_run_at__lte=now).order_by("name"):
            job = self._jobs.get(row.name)
            if job is None or str(job.schedule) != row.schedule:
                continue
            # Of several processes one moves the time forward; for the others no row is left.
            unclaimed = PeriodicJobStatus.objects.filter(name=row.name, next_run_at=row.next_run_at)
            if not unclaimed.update(next_run_at=job.schedule.next_after(now)):
                continue
            payload = {"scheduled_for": row.next_run_at.isoformat()}
            if jobs.enqueue(row.name, payload, now=now, unique_key=f"periodic:{row.name}"):
                enqueued.append(row.name)
            else:
                log.warning("periodic_job_still_running", job=row.name)
        return enqueued


@dataclass(frozen=True, slots=True)
class PeriodicHandler:
    """Runs one periodic job as an ordinary job, and writes down when and how each run ended."""

    job: PeriodicJob
    now: Callable[[], datetime] = jobs.database_time

    async def __call__(self, lease: jobs.Lease) -> Callable[[], None]:
        """Run the job; that it succeeded is written with the acknowledgement."""
        del lease
        started_at = await group_commit.commits.run(self._start)
        try:
            await self.job.handler(started_at)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[: jobs.ERROR_LETTERS_MAX]
            await group_commit.commits.run(lambda: self._fail(reason))
            raise
        return self._succeed

    def _start(self) -> datetime:
        started_at = self.now()
        self._write(last_started_at=started_at, last_outcome=RunOutcome.STARTED)
        return started_at

    def _fail(self, reason: str) -> None:
        self._write(last_finished_at=self.now(), last_outcome=RunOutcome.FAILED, last_error=reason)

    def _succeed(self) -> None:
        ended_at = self.now()
        self._write(
            last_finished_at=ended_at,
            last_succeeded_at=ended_at,
            last_outcome=RunOutcome.SUCCEEDED,
            last_error="",
        )

    def _write(self, **values: object) -> None:
        PeriodicJobStatus.objects.filter(name=self.job.name).update(**values)


def handlers(jobs: Sequence[PeriodicJob]) -> Mapping[str, PeriodicHandler]:
    """The handlers of *jobs* by name, for the index of all jobs."""
    return {job.name: PeriodicHandler(job) for job in jobs}


def state_of(row: PeriodicJobStatus, *, now: datetime) -> str:
    """`overdue`, or how the last run ended; `scheduled` before the first."""
    if row.next_run_at + OVERDUE_AFTER < now:
        return "overdue"
    return row.last_outcome or "scheduled"
