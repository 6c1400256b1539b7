"""Tables of the dashboard: monitors, the state and history of each source, alerts, and the leader lease."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from bursar import ids
from bursar.fields import IdField

SEVERITIES = ["ok", "warning", "critical"]
INTERVAL_SECONDS_MIN, INTERVAL_SECONDS_MAX = 10, 86_400


class Monitor(models.Model):
    """
    A monitor of an HTTP API that a user added in the back office.

    Guarantees: a name is unique; the interval is at least `INTERVAL_SECONDS_MIN`; the address
    begins with http:// or https://. It holds no secret: *config* says how one is sent, and the
    host of the address decides which.
    """

    name = IdField("", max_length=60)
    url = models.CharField(max_length=2000)
    interval_seconds = models.IntegerField()
    config = models.JSONField()
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="monitor_interval",
                condition=Q(
                    interval_seconds__gte=INTERVAL_SECONDS_MIN,
                    interval_seconds__lte=INTERVAL_SECONDS_MAX,
                ),
            ),
            models.CheckConstraint(
                name="monitor_url",
                condition=Q(url__startswith="http://") | Q(url__startswith="https://"),
            ),
        )

    def __str__(self) -> str:
        return str(self.name)


class SourceState(models.Model):
    """
    The latest status of one source, and the alert state that the next check continues from.

    Guarantees: one row per source, written only by the holder of the leader lease; *sequence*
    grows with every write, so that followers read only what is new; *alerted_level* is the level
    of the last alert.
    """

    key = IdField("", max_length=80)
    title = models.CharField(max_length=120)
    group_name = models.CharField(max_length=80)
    kind = models.CharField(max_length=12)
    state = models.CharField(max_length=8)
    alerted_level = models.CharField(max_length=8, default="ok")
    alert_state = models.JSONField(default=dict)
    measurements = models.JSONField(default=list)
    last_success_at = models.DateTimeField(null=True)
    state_since = models.DateTimeField()
    monitored_since = models.DateTimeField()
    reason = models.CharField(max_length=300, default="")
    duration_seconds = models.FloatField(null=True)
    interval_seconds = models.FloatField()
    sparkline = models.JSONField(default=list)
    sequence = models.BigIntegerField(unique=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="source_state_kind", condition=Q(kind__in=["account", "api", "certificate"])
            ),
            models.CheckConstraint(
                name="source_state_state", condition=Q(state__in=[*SEVERITIES, "stale", "failed"])
            ),
            models.CheckConstraint(
                name="source_state_alerted_level", condition=Q(alerted_level__in=SEVERITIES)
            ),
            # Without a successful check there are no measurements that could be good, bad or stale.
            models.CheckConstraint(
                name="source_state_has_value",
                condition=Q(last_success_at__isnull=False) | Q(state="failed"),
            ),
        )

    def __str__(self) -> str:
        return f"{self.key} {self.state}"


class HistoryBucket(models.Model):
    """
    One series of a source in one time span: count, minimum, maximum, sum and last value.

    Guarantees: one row per series and span, so the number of rows is bounded by the retention.
    """

    source_key = models.CharField(max_length=80)
    series = models.CharField(max_length=60)
    step_seconds = models.IntegerField()
    starts_at = models.DateTimeField()
    count = models.IntegerField()
    min_value = models.FloatField()
    max_value = models.FloatField()
    total = models.FloatField()
    last_value = models.FloatField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                name="history_bucket_once",
                fields=["source_key", "series", "step_seconds", "starts_at"],
            ),
            models.CheckConstraint(
                name="history_bucket_ordered",
                condition=Q(
                    count__gte=1,
                    min_value__lte=F("max_value"),
                    last_value__gte=F("min_value"),
                    last_value__lte=F("max_value"),
                ),
            ),
        )
        indexes = (models.Index(name="history_bucket_age", fields=["step_seconds", "starts_at"]),)

    def __str__(self) -> str:
        return f"{self.source_key} {self.series} {self.starts_at}"


class Alert(models.Model):
    """
    A change of the alerted level of a source, with the delivery status of each channel.

    Guarantees: it commits with the state it reports and with its delivery jobs; alerts of a source
    are numbered without a gap, and each starts at the level where the previous one ended; its
    content never changes, and a channel that is `sent` stays so.
    """

    id = IdField(ids.ALERT)
    source_key = models.CharField(max_length=80)
    sequence = models.IntegerField()
    title = models.CharField(max_length=120)
    previous_level = models.CharField(max_length=8)
    new_level = models.CharField(max_length=8)
    state = models.CharField(max_length=8)
    reason = models.CharField(max_length=300, default="")
    measurements = models.JSONField(default=list)
    raised_at = models.DateTimeField(db_index=True)
    webhook = models.CharField(max_length=8)
    email = models.CharField(max_length=8)

    class Meta:
        constraints = (
            models.UniqueConstraint(name="alert_sequence_once", fields=["source_key", "sequence"]),
            models.CheckConstraint(
                name="alert_changes",
                condition=Q(previous_level__in=SEVERITIES, new_level__in=SEVERITIES)
                & ~Q(previous_level=F("new_level")),
            ),
            models.CheckConstraint(
                name="alert_deliveries",
                condition=Q(
                    webhook__in=["off", "waiting", "sent"], email__in=["off", "waiting", "sent"]
                ),
            ),
        )

    def __str__(self) -> str:
        return f"{self.source_key} {self.previous_level} to {self.new_level}"


class LeaderLease(models.Model):
    """
    The process that runs the checks, until *held_until* by the database's clock.

    Guarantees: one row; states are written in the transaction that checks the row's *token*, so a
    process that was suspended cannot overwrite the states of its successor.
    """

    name = IdField("", max_length=20)
    token = models.CharField(max_length=40)
    held_until = models.DateTimeField()
    sequence = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} until {self.held_until}"
