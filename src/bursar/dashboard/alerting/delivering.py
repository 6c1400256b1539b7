"""
The job `alert`: tell one alert by one channel.

Delivered at least once, and told by the same id each time: a receiver that keeps ids is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bursar import clock, errors, groupcommit, logs, settings
from bursar.dashboard.alerting import hooks, mailing, raising
from bursar.dashboard.models import Alert
from bursar.providers.base import Secret
from bursar.queue.leasing import Lease

log = logs.get(__name__)


class AlertGone(errors.NotFound):
    """The alert that a job is to deliver is not there."""

    code = "alert_gone"
    status = None


async def deliver(lease: Lease) -> Callable[[], None] | None:
    """
    Deliver `{"alert", "channel"}`; marked as sent in the commit that acknowledges the job.

    :raises errors.Unavailable: if it was not taken; the job is tried again.
    """
    alert_id, channel = str(lease.payload["alert"]), str(lease.payload["channel"])
    alert = await groupcommit.commits.run(lambda: Alert.objects.filter(pk=alert_id).first())
    if alert is None:
        raise AlertGone(f"there is no alert {alert_id}")
    if getattr(alert, channel) != raising.WAITING:
        return None
    if channel not in raising.channels():
        return lambda: _mark(alert_id, channel, raising.OFF)
    current = settings.current
    if channel == raising.WEBHOOK:
        assert current.alert_webhook is not None
        assert current.alert_webhook_secret is not None
        await hooks.send(
            alert,
            url=current.alert_webhook.get_secret_value(),
            secret=Secret(current.alert_webhook_secret.get_secret_value()),
            now=clock.now(),
        )
    else:
        assert current.smtp_url is not None
        server = mailing.server_of(current.smtp_url.get_secret_value())
        message = mailing.message(
            alert, sender=current.alert_email_from, to=current.alert_emails.split(",")
        )
        await asyncio.to_thread(mailing.send, message, server)
    log.info("alert_delivered", alert=alert_id, channel=channel)
    return lambda: _mark(alert_id, channel, raising.SENT)


def _mark(alert_id: str, channel: str, state: str) -> None:
    Alert.objects.filter(pk=alert_id, **{channel: raising.WAITING}).update(**{channel: state})
