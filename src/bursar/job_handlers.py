"""Registry of job handlers by job name, and of periodic jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bursar.access import periodic as _access
from bursar.dashboard import periodic as _dashboard
from bursar.dashboard.alerts import delivery
from bursar.payments import charges, refunds, status_checks
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
    "charge": charges.charge,
    "capture": charges.capture,
    "void": charges.capture,
    "refund": refunds.refund,
    "check_attempt_status": status_checks.check_attempt_status,
    "refresh_provider_object": status_checks.refresh_provider_object,
    "process_webhook": inbox.process,
    "deliver_alert": delivery.deliver,
    **scheduler.handlers(PERIODIC),
}
