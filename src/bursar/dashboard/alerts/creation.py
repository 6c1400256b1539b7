"""Creation of alerts: the row and its delivery jobs, in the commit of the state that raised it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Max

from bursar import group_commit, retention, settings
from bursar.dashboard.live_state import Level, SourceStatus
from bursar.dashboard.models import Alert
from bursar.queue import jobs

WEBHOOK, EMAIL = "webhook", "email"
OFF, WAITING, SENT = "off", "waiting", "sent"
RETENTION: Final = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChange:
    """A change of the alerted level of a source; *alert_id* is the id of its alert."""

    alert_id: str
    status: SourceStatus
    previous_level: Level
    new_level: Level


def create_alerts(
    changes: Sequence[LevelChange], *, measurements: Sequence[object], now: datetime
) -> None:
    """
    Insert an alert for each change, and enqueue its delivery by every enabled channel.

    *measurements* are those of each change, as JSON. Alerts that exist already are skipped, so a
    repeat is safe. Needs the transaction that writes the states.
    """
    group_commit.require_transaction()
    existing = set(
        Alert.objects.filter(pk__in=[c.alert_id for c in changes]).values_list("pk", flat=True)
    )
    keys = {change.status.key for change in changes}
    previous = Alert.objects.filter(source_key__in=keys).values_list("source_key")
    sequences = dict(previous.annotate(Max("sequence")))
    channels = enabled_channels()
    for change, values in zip(changes, measurements, strict=True):
        status = change.status
        if change.alert_id in existing:
            continue
        sequences[status.key] = sequences.get(status.key, 0) + 1
        Alert.objects.create(
            id=change.alert_id,
            source_key=status.key,
            sequence=sequences[status.key],
            title=status.title,
            previous_level=change.previous_level,
            new_level=change.new_level,
            state=status.state,
            reason=status.reason,
            measurements=values,
            raised_at=now,
            **{name: WAITING if name in channels else OFF for name in (WEBHOOK, EMAIL)},
        )
        for channel in channels:
            jobs.enqueue(
                "deliver_alert",
                {"alert": change.alert_id, "channel": channel},
                now=now,
                unique_key=f"alert:{change.alert_id}:{channel}",
            )


def enabled_channels() -> list[str]:
    """Return the channels that the settings configure."""
    current = settings.current
    return [
        name
        for name, setting in ((WEBHOOK, current.alert_webhook_url), (EMAIL, current.alert_email_to))
        if setting
    ]


def prune(*, now: datetime, rows_max: int) -> int:
    """
    Delete up to *rows_max* alerts older than `RETENTION`. Returns their number.

    The oldest first, and those of a source by sequence, so that the remaining ones have no gap.
    """
    expired = Alert.objects.filter(raised_at__lt=now - RETENTION)
    return retention.delete_first(expired.order_by("raised_at", "sequence"), rows_max)
