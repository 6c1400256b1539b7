"""The index of jobs: which function runs what the queue holds, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from bursar.dashboard.alerting import delivering
from bursar.payments import charging, lookup, refunding
from bursar.queue.worker import Handler
from bursar.webhooks import inbox

HANDLERS: Mapping[str, Handler] = {
    "charge": charging.charge,
    "capture": charging.capture,
    "void": charging.capture,
    "refund": refunding.refund,
    "look_up": lookup.look_up,
    "fetch": lookup.fetch,
    "webhook": inbox.process,
    "alert": delivering.deliver,
}
