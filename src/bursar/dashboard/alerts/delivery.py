"""
The job `deliver_alert`: deliver one alert by one channel.

Delivery is at least once, with the same id each time, so that a receiver can discard repeats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bursar import clock, errors, group_commit, logs, settings
from bursar.dashboard.alerts import creation, email_channel, webhook_channel
from bursar.dashboard.models import Alert
from bursar.providers.interface import Secret
from bursar.queue.jobs import Lease

log = logs.get(__name__)


class AlertNotFound(errors.NotFound):
    """The alert of a delivery job does not exist."""

    code = "alert_not_found"
    status = None


async def deliver(lease: Lease) -> Callable[[], None] | None:
    """
    Deliver the alert of the payload `{"alert", "channel"}`.

    It is marked as sent in the commit that acknowledges the job.

    :raises errors.Unavailable: if the receiver did not accept it; the job is retried.
    """
    alert_id, channel = str(lease.payload["alert"]), str(lease.payload["channel"])
    alert = await group_commit.commits.run(lambda: Alert.objects.filter(pk=alert_id).first())
    if alert is None:
        raise AlertNotFound(f"alert {alert_id} not found")
    if getattr(alert, channel) != creation.WAITING:
        return None
    if channel not in creation.enabled_channels():
        return lambda: _mark(alert_id, channel, creation.OFF)
    current = settings.current
    if channel == creation.WEBHOOK:
        assert current.alert_webhook_url is not None
        assert current.alert_webhook_secret is not None
        await webhook_channel.send(
            alert,
            url=current.alert_webhook_url.get_secret_value(),
            secret=Secret(current.alert_webhook_secret.get_secret_value()),
            now=clock.now(),
        )
    else:
        assert current.smtp_url is not None
        server = email_channel.parse_smtp_url(current.smtp_url.get_secret_value())
        message = email_channel.compose_message(
            alert, sender=current.alert_email_from, to=current.alert_email_to.split(",")
        )
        await asyncio.to_thread(email_channel.send, message, server)
    log.info("alert_delivered", alert=alert_id, channel=channel)
    return lambda: _mark(alert_id, channel, creation.SENT)


def _mark(alert_id: str, channel: str, state: str) -> None:
    Alert.objects.filter(pk=alert_id, **{channel: creation.WAITING}).update(**{channel: state})
