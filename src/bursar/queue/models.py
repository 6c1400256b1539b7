"""Table of the queue."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class JobState(models.TextChoices):
    """A job that is done has no row."""

    READY = "ready"
    DELAYED = "delayed"  # apart from ready ones, so that a claim never scans over them
    LEASED = "leased"
    DEAD = "dead"


class Job(models.Model):
    """
    One launch of a handler.

    Guarantees: the row commits with the transaction that enqueued it; it is leased to at most one
    worker at a time, who holds *lease_token*; *attempts* counts claims, so that a job which kills
    its worker is counted too; at most one living job has a given *unique_key*.
    """

    name = models.CharField(max_length=60)
    payload = models.JSONField()
    priority = models.SmallIntegerField(default=100)  # smaller is sooner
    state = models.CharField(max_length=8, choices=JobState.choices, default=JobState.READY)
    run_at = models.DateTimeField()
    attempts = models.IntegerField(default=0)
    lease_token = models.CharField(max_length=40, null=True)  # no lease, no token
    leased_until = models.DateTimeField(null=True)
    unique_key = models.CharField(max_length=120, null=True)  # NULLs never collide
    last_error = models.TextField(default="")
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(name="job_state_known", condition=Q(state__in=JobState.values)),
            models.CheckConstraint(
                name="job_leased_has_token",
                condition=Q(state="leased", lease_token__isnull=False, leased_until__isnull=False)
                | ~Q(state="leased"),
            ),
            models.UniqueConstraint(
                name="job_one_living_per_key",
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
