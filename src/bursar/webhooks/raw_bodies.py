"""Retention of the bodies of webhooks, which may hold personal data."""

from __future__ import annotations

from datetime import datetime, timedelta

from bursar import group_commit, retention
from bursar.payments.models import RawBody
from bursar.queue.models import Job
from bursar.webhooks.models import WebhookEvent

RETENTION = timedelta(days=90)
#: Bodies are large (1 MB at most), so fewer are deleted in one commit.
BATCH_ROWS_MAX = 200


def prune(*, now: datetime, rows_max: int) -> int:
    """
    Delete up to *rows_max* bodies older than `RETENTION`, oldest first; returns how many.

    The body of an event that is not processed yet (its job waits, or is a dead letter that may
    be revived) is kept until it is. Facts and events refer to bodies by no constraint.
    """
    group_commit.require_transaction()
    received_before = now - RETENTION
    expired = RawBody.objects.filter(received_at__lt=received_before)
    needed = _bodies_with_job(received_before)
    return retention.delete_first(
        expired.exclude(pk__in=needed).order_by("received_at", "pk"), rows_max
    )


def _bodies_with_job(received_before: datetime) -> list[str]:
    """The bodies of events that have a job still; the job commits with the event."""
    jobs = Job.objects.filter(name="webhook", created_at__lt=received_before)
    return [
        raw
        for payload in jobs.values_list("payload", flat=True)
        for raw in WebhookEvent.objects.filter(
            provider_account_id=payload["provider_account"], event_id=payload["event_id"]
        ).values_list("raw", flat=True)
    ]
