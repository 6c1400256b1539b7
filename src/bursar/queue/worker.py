"""
Worker: claims jobs in batches and runs them concurrently in one event loop.

A handler may return its final write, which commits together with the acknowledgement of the job,
so both happen or neither. A failed job is retried with exponential backoff and becomes a dead
letter after `ATTEMPTS_MAX` claims.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from bursar import errors, group_commit, ids, logs
from bursar.decorators import ExponentialBackoff
from bursar.queue import jobs
from bursar.queue.scheduler import CHECK_SECONDS, Scheduler

#: Called with the lease; may return a function to run in the transaction of the acknowledgement.
Handler = Callable[[jobs.Lease], Awaitable[Callable[[], None] | None]]

ATTEMPTS_MAX = 12
LEASE = timedelta(seconds=60)
BACKOFF_FIRST = timedelta(seconds=1)
BACKOFF_MAX = timedelta(minutes=10)
IDLE_SECONDS = 0.2

log = logs.get(__name__)


class JobHandlerNotFound(errors.NotFound):
    """No handler has the job's name: it was enqueued by another version of the program."""

    code = "job_handler_not_found"
    status = None


class RetryLater(Exception):
    """Raised by a handler to run the job again after *delay*; not counted as a failure."""

    def __init__(self, delay: timedelta, reason: str) -> None:
        super().__init__(reason)
        self.delay = delay


class Worker:
    """
    Runs jobs until stopped.

    At most *concurrency* jobs run at once. *outcomes* counts jobs by (name, outcome); outcomes are
    done, rescheduled, retried and dead. *randomness* is the jitter of the backoff. With a
    *scheduler* the worker also enqueues due runs of periodic jobs.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 128,
        lease: timedelta = LEASE,
        attempts_max: int = ATTEMPTS_MAX,
        backoff_first: timedelta = BACKOFF_FIRST,
        randomness: random.Random | None = None,
        scheduler: Scheduler | None = None,
    ) -> None:
        self.handlers = handlers
        self.concurrency = concurrency
        self.lease = lease
        self.attempts_max = attempts_max
        self.backoff_first = backoff_first
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._scheduler = scheduler
        self._is_registered = False
        self._checked_at = -math.inf  # by the event loop's clock
        self._randomness = randomness or random.Random()  # noqa: S311  (spreads load, no secret)
        # Claim for several free slots at once, not for each finished job.
        self._room_min = max(1, min(concurrency // 4, 17))
        self._waiting: deque[jobs.Lease] = deque()
        self._running: dict[asyncio.Task[None], jobs.Lease] = {}
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()  # all jobs have ended, or enough for another claim

    def stop(self) -> None:
        """Stop claiming jobs; `run` returns when the running ones have ended."""
        self._stopping.set()

    async def run(self, *, until_empty: bool = False, drain_seconds: float = 30.0) -> None:
        """
        Run jobs until `stop`, or with *until_empty* until no job is ready or running.

        On stopping, running jobs get *drain_seconds* to finish; leases of jobs that were not
        started are released.
        """
        lease_extension = asyncio.create_task(self._extend_leases())
        try:
            await self._loop(until_empty=until_empty)
        finally:
            lease_extension.cancel()
            await self._drain(drain_seconds)

    async def _loop(self, *, until_empty: bool) -> None:
        while not self._stopping.is_set():
            free_slots = self.concurrency - len(self._running)
            try:
                await self._enqueue_periodic_jobs()
                claimed = await self._claim(free_slots) if free_slots >= self._room_min else []
            except (errors.Unavailable, errors.OutcomeUnknown) as error:
                if until_empty:
                    raise
                # The database is unavailable. Leases that may have been claimed will expire.
                log.warning("claim_failed", error=error)
                await self._wait_for(IDLE_SECONDS, self._stopping)
                continue
            self._waiting.extend(claimed)
            while self._waiting and not self._stopping.is_set():
                self._start(self._waiting.popleft())
            if not claimed and not self._running:
                if until_empty:
                    return
                await self._wait_for(IDLE_SECONDS, self._stopping)
            elif self._running:
                # Claim again when enough jobs have ended, or after the idle interval.
                self._ended.clear()
                await self._wait_for(IDLE_SECONDS, self._ended)

    async def _wait_for(self, seconds: float, event: asyncio.Event) -> None:
        """Wait for *event*, at most *seconds*."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)

    async def _enqueue_periodic_jobs(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._scheduler is None or now - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = now
        try:
            if not self._is_registered:
                await group_commit.commits.run(self._scheduler.register)
                self._is_registered = True
            await group_commit.commits.run(self._scheduler.enqueue_due)
        except (errors.Unavailable, errors.OutcomeUnknown):
            raise
        except Exception:  # payments depend on the worker: a bug here must not stop it
            log.exception("periodic_enqueue_failed")

    async def _claim(self, count: int) -> list[jobs.Lease]:
        token = ids.new("lease")

        def claim() -> list[jobs.Lease]:
            now = jobs.database_time()
            jobs.promote_due(now=now)
            return jobs.claim(count=count, token=token, lease=self.lease, now=now)

        return await group_commit.commits.run(claim)

    def _start(self, lease: jobs.Lease) -> None:
        task = asyncio.create_task(self._run_job(lease))
        self._running[task] = lease
        task.add_done_callback(self._on_job_done)

    def _on_job_done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if not self._running or self.concurrency - len(self._running) >= self._room_min:
            self._ended.set()

    async def _run_job(self, lease: jobs.Lease) -> None:
        with logs.bound_contextvars(request_id=f"job_{lease.job_id}", operation=lease.name):
            try:
                if lease.attempts > self.attempts_max:
                    # Its workers died or lost the lease too often: the job may be the cause.
                    await self._dead_letter(lease, "lease expired too often")
                    return
                handler = self.handlers.get(lease.name)
                if handler is None:
                    raise JobHandlerNotFound(f"no handler for job {lease.name!r}")
                finish = await handler(lease)
                await group_commit.commits.run(lambda: _finish(lease, finish))
                self.outcomes[lease.name, "done"] += 1
            except RetryLater as retry_later:
                await self._retry(lease, retry_later.delay, str(retry_later), outcome="rescheduled")
            except Exception as error:  # noqa: BLE001  (a job must not take the worker with it)
                await self._handle_failure(lease, error)

    async def _handle_failure(self, lease: jobs.Lease, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        log.warning("job_failed", job=lease.name, attempts=lease.attempts, error=error)
        is_final = isinstance(error, (errors.Invalid, errors.NotFound, errors.Denied))
        if is_final or lease.attempts >= self.attempts_max:
            await self._dead_letter(lease, reason)
            return
        after_seconds = getattr(error, "after_seconds", None)
        pause = timedelta(seconds=after_seconds) if after_seconds else self.backoff(lease.attempts)
        await self._retry(lease, pause, reason, outcome="retried")

    def backoff(self, attempts: int) -> timedelta:
        """Return the delay: 50 to 100 % of first * 2^(attempts - 1), at most `BACKOFF_MAX`."""
        bound = ExponentialBackoff(
            self.backoff_first.total_seconds(), 2.0, BACKOFF_MAX.total_seconds()
        )
        return timedelta(seconds=bound(attempts) * (0.5 + self._randomness.random() / 2))

    async def _retry(
        self, lease: jobs.Lease, pause: timedelta, reason: str, *, outcome: str
    ) -> None:
        def retry() -> None:
            at = jobs.database_time() + pause
            # Rescheduled work is no failure: only failures count towards the dead letters.
            jobs.retry(lease, at=at, error=reason, reset_attempts=outcome == "rescheduled")

        await group_commit.commits.run(retry)
        self.outcomes[lease.name, outcome] += 1

    async def _dead_letter(self, lease: jobs.Lease, reason: str) -> None:
        log.error("job_dead_lettered", job=lease.name, attempts=lease.attempts, reason=reason)
        await group_commit.commits.run(lambda: jobs.dead_letter(lease, error=reason))
        self.outcomes[lease.name, "dead"] += 1

    async def _extend_leases(self) -> None:
        # Jobs at a slow provider may run longer than a lease.
        while True:
            await asyncio.sleep(self.lease.total_seconds() / 3)
            held = list(self._running.values())

            def extend(held: list[jobs.Lease] = held) -> None:
                until = jobs.database_time() + self.lease
                for lease in held:
                    jobs.extend_lease(lease, until=until)

            if held:
                try:
                    await group_commit.commits.run(extend)
                except (errors.Unavailable, errors.OutcomeUnknown) as error:
                    log.warning("lease_extension_failed", count=len(held), error=error)

    async def _drain(self, seconds: float) -> None:
        if self._running:
            _, unfinished = await asyncio.wait(list(self._running), timeout=seconds)
            for task in unfinished:
                task.cancel()  # its lease expires and the job runs again
        waiting = list(self._waiting)
        self._waiting.clear()
        if waiting:
            await group_commit.commits.run(lambda: [jobs.release(each) for each in waiting])


def _finish(lease: jobs.Lease, finish: Callable[[], None] | None) -> None:
    if finish is not None:
        finish()
    if not jobs.ack(lease):
        # The lease was lost and the job runs again; the handler's write is committed anyway.
        log.warning("lease_lost", job=lease.name, job_id=lease.job_id)
