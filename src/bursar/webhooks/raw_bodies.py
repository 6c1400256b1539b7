"""Retention of webhook bodies, which may contain personal data."""

from __future__ import annotations

from datetime import datetime, timedelta

from bursar import group_commit, retention
from bursar.payments.models import RawBody
from bursar.queue.models import Job
from bursar.webhooks import inbox
from bursar.webhooks.models import WebhookEvent

RETENTION = timedelta(days=90)
#: Fewer rows in one commit than for other tables, because a body has up to 1 MB.
BATCH_ROWS_MAX = 200


def prune(*, now: datetime, rows_max: int) -> int:
    """
    Delete up to *rows_max* bodies older than `RETENTION`, oldest first. Returns their number.

    The body of an unprocessed event (its job is queued, or a dead letter that may be retried) is
    not deleted. Facts and events have no foreign key to bodies. Needs an open transaction.
    """
    group_commit.require_transaction()
    received_before = now - RETENTION
    expired = RawBody.objects.filter(received_at__lt=received_before)
    needed = _bodies_with_job(received_before)
    return retention.delete_first(
        expired.exclude(pk__in=needed).order_by("received_at", "pk"), rows_max
    )


def _bodies_with_job(received_before: datetime) -> list[str]:
    """Return the ids of bodies whose event still has a job, which commits with the event."""
    jobs = Job.objects.filter(name=inbox.JOB, created_at__lt=received_before)
    return [
        raw
        for payload in jobs.values_list("payload", flat=True)
        for raw in WebhookEvent.objects.filter(
            provider_account_id=payload["provider_account"], event_id=payload["event_id"]
        ).values_list("raw", flat=True)
    ]
