"""What is never false of the dashboard: each sentence with the query that finds what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bursar.dashboard.models import Alert
from bursar.queue.models import Job


def _undelivered() -> Iterator[Mapping[str, object]]:
    jobs = Job.objects.filter(name="alert").values_list("payload", flat=True)
    waiting = {(payload["alert"], payload["channel"]) for payload in jobs}
    for channel in ("webhook", "email"):
        for key in Alert.objects.filter(**{channel: "waiting"}).values_list("pk", flat=True):
            if (key, channel) not in waiting:
                yield {"alert": key, "channel": channel}


INVARIANTS: Mapping[str, str | Callable[[], Iterator[Mapping[str, object]]]] = {
    "each alert of a source goes on where the one before ended": (
        "SELECT a.id, a.source_key, a.number FROM bursar_alert a "
        "JOIN bursar_alert b ON b.source_key = a.source_key AND b.number = a.number - 1 "
        "WHERE b.after <> a.before"
    ),
    "alerts of a source are numbered without a gap": (
        "SELECT source_key, COUNT(*) AS alerts, MIN(number) AS first, MAX(number) AS last "
        "FROM bursar_alert GROUP BY source_key HAVING MAX(number) - MIN(number) + 1 <> COUNT(*)"
    ),
    "what people were told of a source is what its last alert said": (
        "SELECT s.key, s.told, a.after FROM bursar_sourcestate s LEFT JOIN bursar_alert a "
        "ON a.source_key = s.key AND a.number = "
        "(SELECT MAX(b.number) FROM bursar_alert b WHERE b.source_key = s.key) "
        "WHERE a.after <> s.told"
    ),
    "every alert is delivered or waits for it": _undelivered,
}
