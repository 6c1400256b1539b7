"""Invariants of the dashboard: each sentence with the query that finds violations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bursar.dashboard.models import Alert
from bursar.queue.models import Job


def _undelivered() -> Iterator[Mapping[str, object]]:
    jobs = Job.objects.filter(name="deliver_alert").values_list("payload", flat=True)
    pending = {(payload["alert"], payload["channel"]) for payload in jobs}
    for channel in ("webhook", "email"):
        for key in Alert.objects.filter(**{channel: "waiting"}).values_list("pk", flat=True):
            if (key, channel) not in pending:
                yield {"alert": key, "channel": channel}


INVARIANTS: Mapping[str, str | Callable[[], Iterator[Mapping[str, object]]]] = {
    "each alert of a source starts at the level of the previous alert": (
        "SELECT a.id, a.source_key, a.sequence FROM bursar_alert a "
        "JOIN bursar_alert b ON b.source_key = a.source_key AND b.sequence = a.sequence - 1 "
        "WHERE b.new_level <> a.previous_level"
    ),
    "alerts of a source are numbered without a gap": (
        "SELECT source_key, COUNT(*) AS alerts, MIN(sequence) AS first, MAX(sequence) AS last "
        "FROM bursar_alert GROUP BY source_key "
        "HAVING MAX(sequence) - MIN(sequence) + 1 <> COUNT(*)"
    ),
    "the alerted level of a source is the level of its last alert": (
        "SELECT s.key, s.alerted_level, a.new_level FROM bursar_sourcestate s "
        "LEFT JOIN bursar_alert a ON a.source_key = s.key AND a.sequence = "
        "(SELECT MAX(b.sequence) FROM bursar_alert b WHERE b.source_key = s.key) "
        "WHERE a.new_level <> s.alerted_level"
    ),
    "every alert is delivered or has a delivery job": _undelivered,
}
