"""Tables of the job queue."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from bursar.fields import IdField
from bursar.periodic import NAME_LETTERS_MAX


class JobState(models.TextChoices):
    """States of a job. A finished job has no row."""

    READY = "ready"
    DELAYED = "delayed"  # a state of its own, so that a claim does not scan delayed jobs
    LEASED = "leased"
    DEAD = "dead"


class Job(models.Model):
    """
    A job: one call of the handler *name*, with its retries.

    Guarantees: the row commits with the transaction that enqueued it; at most one worker holds its
    lease, with *lease_token*; *attempts* counts claims, including those that ended with a killed
    worker; at most one job that is not dead has a given *unique_key*.
    """

    name = models.CharField(max_length=60)
    payload = models.JSONField()
    priority = models.SmallIntegerField(default=100)  # lower runs first
    state = models.CharField(max_length=8, choices=JobState.choices, default=JobState.READY)
    run_at = models.DateTimeField()
    attempts = models.IntegerField(default=0)
    lease_token = models.CharField(max_length=40, null=True)  # NULL unless leased
    leased_until = models.DateTimeField(null=True)
    unique_key = models.CharField(max_length=120, null=True)  # NULLs are not compared
    last_error = models.TextField(default="")
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(name="job_state_valid", condition=Q(state__in=JobState.values)),
            models.CheckConstraint(
                name="job_leased_has_token",
                condition=Q(state="leased", lease_token__isnull=False, leased_until__isnull=False)
                | ~Q(state="leased"),
            ),
            models.UniqueConstraint(
                name="job_unique_key",
                fields=["unique_key"],
                condition=Q(unique_key__isnull=False) & ~Q(state="dead"),
            ),
        )
        indexes = (
            models.Index(name="job_ready", fields=["priority", "id"], condition=Q(state="ready")),
            models.Index(name="job_delayed", fields=["run_at"], condition=Q(state="delayed")),
            models.Index(name="job_leased", fields=["leased_until"], condition=Q(state="leased")),
            models.Index(name="job_dead", fields=["id"], condition=Q(state="dead")),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"


class RunOutcome(models.TextChoices):
    """Outcome of the last run of a periodic job; empty before the first run."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class PeriodicJobStatus(models.Model):
    """
    Next run and last outcome of a periodic job.

    Guarantees: one row per declared job; *next_run_at* advances in the commit that enqueues the
    run, so each run is enqueued once; success is written in the commit that acknowledges the run.
    """

    name = IdField(max_length=NAME_LETTERS_MAX)
    schedule = models.CharField(max_length=80)
    next_run_at = models.DateTimeField()
    last_started_at = models.DateTimeField(null=True)
    last_finished_at = models.DateTimeField(null=True)
    last_succeeded_at = models.DateTimeField(null=True)
    last_outcome = models.CharField(max_length=9, choices=RunOutcome.choices, default="")
    last_error = models.TextField(default="")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = "periodic job"
        constraints = (
            models.CheckConstraint(
                name="periodic_job_outcome_valid",
                condition=Q(last_outcome__in=["", *RunOutcome.values]),
            ),
        )

    def __str__(self) -> str:
        return str(self.name)
