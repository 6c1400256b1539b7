"""The index of jobs: which function runs what the queue holds, and what runs by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bursar.access import periodic as _access
from bursar.dashboard import periodic as _dashboard
from bursar.dashboard.alerting import delivering
from bursar.payments import charging, lookup, refunding
from bursar.periodic import PeriodicJob
from bursar.queue import scheduler
from bursar.queue.worker import Handler
from bursar.webhooks import inbox
from bursar.webhooks import periodic as _webhooks

PERIODIC: Sequence[PeriodicJob] = (
    *_access.PERIODIC,
    *_webhooks.PERIODIC,
    *_dashboard.PERIODIC,
)

HANDLERS: Mapping[str, Handler] = {
    "charge": charging.charge,
    "capture": charging.capture,
    "void": charging.capture,
    "refund": refunding.refund,
    "look_up": lookup.look_up,
    "fetch": lookup.fetch,
    "webhook": inbox.process,
    "alert": delivering.deliver,
    **scheduler.handlers(PERIODIC),
}
