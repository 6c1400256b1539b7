"""Table of webhook events."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from bursar.payments.models import ProviderAccount


class WebhookEvent(models.Model):
    """
    A webhook event, stored before the response to the provider.

    Guarantees: an event id of a provider account is stored once; the row commits with the job
    that processes it, or has the reason in *ignored* and counts as processed. *raw* is the id of
    the body, which may be pruned.
    """

    provider_account = models.ForeignKey(ProviderAccount, models.PROTECT, db_index=False)
    event_id = models.CharField(max_length=160)
    event_type = models.CharField(max_length=120)
    raw = models.CharField(max_length=40)
    received_at = models.DateTimeField()
    processed_at = models.DateTimeField(null=True)
    ignored = models.CharField(max_length=200, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                name="webhook_event_once", fields=["provider_account", "event_id"]
            ),
            models.CheckConstraint(
                name="webhook_event_ignored_is_processed",
                condition=Q(ignored="") | Q(processed_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"
