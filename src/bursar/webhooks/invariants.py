"""Invariants of the webhook inbox: each name with the query that returns its violations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bursar.queue.models import Job
from bursar.webhooks import inbox
from bursar.webhooks.models import WebhookEvent


def _events_without_job() -> Iterator[Mapping[str, object]]:
    jobs = Job.objects.filter(name=inbox.JOB).values_list("payload", flat=True)
    waiting = {(payload["provider_account"], payload["event_id"]) for payload in jobs}
    events = WebhookEvent.objects.filter(processed_at__isnull=True)
    for event in events.values("provider_account_id", "event_id", "event_type"):
        if (event["provider_account_id"], event["event_id"]) not in waiting:
            yield event


INVARIANTS = {"every stored event is processed or has a job": _events_without_job}
