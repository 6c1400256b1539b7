"""Raising alerts: the row and the jobs that deliver it, in the commit of the state it tells of."""

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
class Change:
    """That people are told *after* of a source, having been told *before*; *alert_id* names it."""

    alert_id: str
    view: SourceStatus
    before: Level
    after: Level


def create_alerts(changes: Sequence[Change], *, readings: Sequence[object], now: datetime) -> None:
    """
    Write alerts down and enqueue their delivery by every channel that is set up.

    *readings* are those of each change, as JSON. What is there already is left alone, so that all
    may be written again. Needs the transaction that writes their states.
    """
    group_commit.require_transaction()
    there = set(
        Alert.objects.filter(pk__in=[c.alert_id for c in changes]).values_list("pk", flat=True)
    )
    keys = {change.view.key for change in changes}
    told = Alert.objects.filter(source_key__in=keys).values_list("source_key")
    numbers = dict(told.annotate(Max("number")))
    wanted = channels()
    for change, shown in zip(changes, readings, strict=True):
        view = change.view
        if change.alert_id in there:
            continue
        numbers[view.key] = numbers.get(view.key, 0) + 1
        Alert.objects.create(
            id=change.alert_id,
            source_key=view.key,
            number=numbers[view.key],
            title=view.title,
            before=change.before,
            after=change.after,
            state=view.state,
            reason=view.reason,
            readings=shown,
            raised_at=now,
            **{name: WAITING if name in wanted else OFF for name in (WEBHOOK, EMAIL)},
        )
        for channel in wanted:
            jobs.enqueue(
                "alert",
                {"alert": change.alert_id, "channel": channel},
                now=now,
                unique_key=f"alert:{change.alert_id}:{channel}",
            )


def channels() -> list[str]:
    """By which channels this installation tells alerts."""
    current = settings.current
    return [
        name
        for name, told in ((WEBHOOK, current.alert_webhook_url), (EMAIL, current.alert_email_to))
        if told
    ]


def prune(*, now: datetime, rows_max: int) -> int:
    """
    Delete up to *rows_max* alerts older than `RETENTION`; returns how many.

    Oldest first, and those of a source by number, so that the numbers left have no gap.
    """
    expired = Alert.objects.filter(raised_at__lt=now - RETENTION)
    return retention.delete_first(expired.order_by("raised_at", "number"), rows_max)
