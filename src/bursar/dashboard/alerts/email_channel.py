"""Alert channel: e-mail by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from bursar import errors, logs
from bursar.dashboard.measurement_format import format_value
from bursar.dashboard.models import Alert
from bursar.settings import SMTP_PORTS

TIMEOUT_SECONDS: Final = 20.0

log = logs.get(__name__)


class AlertEmailFailed(errors.ExternalAPIError):
    """The mail server cannot be reached, or rejected all recipients."""

    code = "alert_email_failed"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Address and credentials of a mail server."""

    scheme: str
    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)


def parse_smtp_url(url: str) -> SmtpServer:
    """
    Parse `smtp://user:password@host:port` (STARTTLS required), `smtps://` or `smtp+plain://` (no TLS).

    The settings have validated it.
    """
    parts = urlsplit(url)
    assert parts.hostname
    return SmtpServer(
        scheme=parts.scheme,
        host=parts.hostname,
        port=parts.port or SMTP_PORTS[parts.scheme],
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def compose_message(alert: Alert, *, sender: str, to: Sequence[str]) -> EmailMessage:
    """Return the message of an alert; its Message-ID is that of the alert, so repeats are equal."""
    email = EmailMessage()
    level = "RESOLVED" if alert.new_level == "ok" else alert.new_level.upper()
    email["Subject"] = f"[Bursar] {level}: {alert.title}"
    email["From"] = sender
    email["To"] = ", ".join(address.strip() for address in to)
    email["Date"] = alert.raised_at
    email["Message-ID"] = f"<{alert.id}@{sender.rpartition('@')[2]}>"
    email["Auto-Submitted"] = "auto-generated"
    email.set_content("\n".join(_lines(alert)))
    return email


def _lines(alert: Alert) -> list[str]:
    measurements: list[dict[str, Any]] = alert.measurements
    lines = [
        f"{alert.title} ({alert.source_key}): {alert.previous_level} to {alert.new_level}",
        f"State at {alert.raised_at:%Y-%m-%d %H:%M} UTC: {alert.state}",
        *([f"Reason: {alert.reason}"] if alert.reason else []),
        "",
    ]
    for each in measurements:
        value = format_value(each["value"], unit=each["unit"], decimals=each["decimals"])
        mark = "" if each["level"] == "ok" else f" ({each['level']})"
        lines.append(f"{each['name']}: {value}{mark}")
    return [*lines, "", f"Alert {alert.id} (no. {alert.sequence} of this monitor)"]


def send(email: EmailMessage, server: SmtpServer) -> None:
    """
    Send a message; blocks. Rejected recipients are logged if at least one accepts it.

    :raises AlertEmailFailed: if no recipient accepts it.
    """
    try:
        with _connected(server) as connection:
            if server.username:
                connection.login(server.username, server.password)
            rejected = connection.send_message(email)
    except (smtplib.SMTPException, OSError) as error:
        raise AlertEmailFailed(
            f"the mail server did not accept the message ({type(error).__name__})"
        ) from error
    if rejected:
        log.warning("email_rejected", count=len(rejected))


def _connected(server: SmtpServer) -> smtplib.SMTP:
    if server.scheme == "smtps":
        return smtplib.SMTP_SSL(
            server.host, server.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    if server.scheme == "smtp":
        try:
            connection.starttls(context=ssl.create_default_context())
        except BaseException:
            connection.close()
            raise
    return connection
