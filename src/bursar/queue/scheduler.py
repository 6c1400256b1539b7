"""
Scheduler of periodic jobs: enqueues each run once across all processes.

Every periodic job has a row with the time of its next run. The process that advances that time (a
conditional update) enqueues an ordinary job in the same commit, so a crash neither loses nor
duplicates a run; lease, retries and dead letters are those of any job. If several runs were missed
while no worker was running, one run replaces them.
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

#: Interval of the check for due runs: the longest delay of a run on an idle worker.
CHECK_SECONDS: Final = 10.0
#: A run not enqueued this long after its time is overdue: no worker checks for due runs.
OVERDUE_AFTER: Final = timedelta(minutes=5)

INSERT = (
    "INSERT INTO bursar_periodicjobstatus (name, schedule, next_run_at, last_outcome, last_error, "
    "created_at) VALUES (%s, %s, %s, '', '', %s) ON CONFLICT (name) DO NOTHING"
)

log = logs.get(__name__)


class Scheduler:
    """
    Enqueues the due runs of *jobs*. Its methods need an open transaction.

    *now* must be one clock for all workers. A worker enqueues a run only if the row has the
    schedule that it declares: while two versions of the program run, the one that started last
    decides.

    :raises ValueError: if two jobs have the same name.
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
            raise ValueError("jobs: two periodic jobs have the same name")

    def register(self) -> None:
        """
        Create, update and delete rows to match the declared jobs; called when a worker starts.

        The first run of a new job is the next time of its schedule. A changed schedule applies
        from now on; a run that is already due stays due.
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
        Enqueue every due run. Returns the names of the enqueued jobs.

        A run is skipped while the previous one is still queued or running.
        """
        group_commit.require_transaction()
        now = self._now()
        enqueued = []
        for row in PeriodicJobStatus.objects.filter(next_run_at__lte=now).order_by("name"):
            job = self._jobs.get(row.name)
            if job is None or str(job.schedule) != row.schedule:
                continue
            # Only one of several processes advances the time; the others update no row.
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
    """Runs a periodic job as an ordinary job and records the outcome of each run."""

    job: PeriodicJob
    now: Callable[[], datetime] = jobs.database_time

    async def __call__(self, lease: jobs.Lease) -> Callable[[], None]:
        """Run the job. Success is written in the commit that acknowledges it."""
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
    """Return the handlers of *jobs* by name."""
    return {job.name: PeriodicHandler(job) for job in jobs}


def state_of(row: PeriodicJobStatus, *, now: datetime) -> str:
    """Return `overdue`, the last outcome, or `scheduled` before the first run."""
    if row.next_run_at + OVERDUE_AFTER < now:
        return "overdue"
    return row.last_outcome or "scheduled"
