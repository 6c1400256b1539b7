"""Tables of the dashboard: what is watched, how it is, how it was, and who was told."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from bursar import ids
from bursar.fields import IdField

SEVERITIES = ["ok", "warning", "critical"]
INTERVAL_SECONDS_MIN, INTERVAL_SECONDS_MAX = 10, 86_400


class Monitor(models.Model):
    """
    An API that somebody entered in the back office.

    Guarantees: a name is watched once; it is asked at most every `INTERVAL_SECONDS_MIN`; the
    address begins with http:// or https://. No secret is in it: *declaration* says how one is
    sent, and the address's host decides which.
    """

    name = IdField("", max_length=60)
    url = models.CharField(max_length=2000)
    interval_seconds = models.IntegerField()
    declaration = models.JSONField()
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    changed_at = models.DateTimeField()

    class Meta:
        verbose_name = "watched API"
        constraints = (
            models.CheckConstraint(
                name="watched_api_interval",
                condition=Q(
                    interval_seconds__gte=INTERVAL_SECONDS_MIN,
                    interval_seconds__lte=INTERVAL_SECONDS_MAX,
                ),
            ),
            models.CheckConstraint(
                name="watched_api_url",
                condition=Q(url__startswith="http://") | Q(url__startswith="https://"),
            ),
        )

    def __str__(self) -> str:
        return str(self.name)


class SourceState(models.Model):
    """
    The newest view of one source, and what the watcher must remember to judge the next.

    Guarantees: one row a source, written only by who holds the lease; *seq* grows with every
    write, so that who follows reads only what is new; *told* is what the last alert said.
    """

    key = IdField("", max_length=80)
    title = models.CharField(max_length=120)
    board_group = models.CharField(max_length=80)
    kind = models.CharField(max_length=12)
    state = models.CharField(max_length=8)
    told = models.CharField(max_length=8, default="ok")
    standing = models.JSONField(default=dict)
    readings = models.JSONField(default=list)
    as_of = models.DateTimeField(null=True)
    since = models.DateTimeField()
    first_at = models.DateTimeField()
    reason = models.CharField(max_length=300, default="")
    seconds = models.FloatField(null=True)
    interval_seconds = models.FloatField()
    spark = models.JSONField(default=list)
    seq = models.BigIntegerField(unique=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="source_state_kind", condition=Q(kind__in=["account", "api", "certificate"])
            ),
            models.CheckConstraint(
                name="source_state_known", condition=Q(state__in=[*SEVERITIES, "stale", "failed"])
            ),
            models.CheckConstraint(name="source_state_told", condition=Q(told__in=SEVERITIES)),
            # Without a value there is nothing that could be good, bad, or old.
            models.CheckConstraint(
                name="source_state_has_value", condition=Q(as_of__isnull=False) | Q(state="failed")
            ),
        )

    def __str__(self) -> str:
        return f"{self.key} {self.state}"


class HistoryBucket(models.Model):
    """
    What one series of a source was in one span of time: how often read, lowest, highest, sum, last.

    Guarantees: one row a series and span, so that rows are bounded by spans kept and series.
    """

    source_key = models.CharField(max_length=80)
    series = models.CharField(max_length=60)
    step_seconds = models.IntegerField()
    at = models.DateTimeField()
    count = models.IntegerField()
    low = models.FloatField()
    high = models.FloatField()
    total = models.FloatField()
    last = models.FloatField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                name="history_bucket_once", fields=["source_key", "series", "step_seconds", "at"]
            ),
            models.CheckConstraint(
                name="history_bucket_ordered",
                condition=Q(
                    count__gte=1, low__lte=F("high"), last__gte=F("low"), last__lte=F("high")
                ),
            ),
        )
        indexes = (models.Index(name="history_bucket_age", fields=["step_seconds", "at"]),)

    def __str__(self) -> str:
        return f"{self.source_key} {self.series} {self.at}"


class Alert(models.Model):
    """
    One change of what people are told about a source.

    Guarantees: it commits with the state it tells of, and with the jobs that deliver it; alerts
    of a source are numbered without a gap, and each goes on where the one before ended; what it
    says never changes, and what was delivered stays so.
    """

    id = IdField(ids.ALERT)
    source_key = models.CharField(max_length=80)
    number = models.IntegerField()
    title = models.CharField(max_length=120)
    before = models.CharField(max_length=8)
    after = models.CharField(max_length=8)
    state = models.CharField(max_length=8)
    reason = models.CharField(max_length=300, default="")
    readings = models.JSONField(default=list)
    raised_at = models.DateTimeField(db_index=True)
    webhook = models.CharField(max_length=8)
    email = models.CharField(max_length=8)

    class Meta:
        constraints = (
            models.UniqueConstraint(name="alert_number_once", fields=["source_key", "number"]),
            models.CheckConstraint(
                name="alert_changes",
                condition=Q(before__in=SEVERITIES, after__in=SEVERITIES) & ~Q(before=F("after")),
            ),
            models.CheckConstraint(
                name="alert_deliveries",
                condition=Q(
                    webhook__in=["off", "waiting", "sent"], email__in=["off", "waiting", "sent"]
                ),
            ),
        )

    def __str__(self) -> str:
        return f"{self.source_key} {self.before} to {self.after}"


class LeaderLease(models.Model):
    """
    Who watches: one process until *held_until*, by the database's clock.

    Guarantees: one row; whoever writes states does so with the *token* of the row, in the same
    transaction, so that a process that was asleep cannot overwrite what its successor found.
    """

    name = IdField("", max_length=20)
    token = models.CharField(max_length=40)
    held_until = models.DateTimeField()
    seq = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} until {self.held_until}"
