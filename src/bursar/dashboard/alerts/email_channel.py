"""Alerts by e-mail."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from bursar import errors, logs
from bursar.dashboard.models import Alert
from bursar.settings import SMTP_PORTS

TIMEOUT_SECONDS: Final = 20.0

log = logs.get(__name__)


class EmailDeliveryFailed(errors.ExternalAPIError):
    """The mail server was not reached, or took the message for nobody."""

    code = "alert_email_failed"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where mail is handed over."""

    scheme: str
    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)


def server_of(url: str) -> Server:
    """
    Read `smtp://user:password@host:port` (TLS demanded), `smtps://` or `smtp+plain://` (no TLS).

    The settings have checked it.
    """
    parts = urlsplit(url)
    assert parts.hostname
    return Server(
        scheme=parts.scheme,
        host=parts.hostname,
        port=parts.port or SMTP_PORTS[parts.scheme],
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def message(alert: Alert, *, sender: str, to: Sequence[str]) -> EmailMessage:
    """The message of an alert; its Message-ID is the alert's, however often it is sent."""
    made = EmailMessage()
    word = "OK again" if alert.after == "ok" else alert.after.upper()
    made["Subject"] = f"[Bursar] {word}: {alert.title}"
    made["From"] = sender
    made["To"] = ", ".join(address.strip() for address in to)
    made["Date"] = alert.raised_at
    made["Message-ID"] = f"<{alert.id}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content("\n".join(_lines(alert)))
    return made


def _lines(alert: Alert) -> list[str]:
    readings: list[dict[str, Any]] = alert.readings
    told = [
        f"{alert.title} ({alert.source_key}) went from {alert.before} to {alert.after}.",
        f"At {alert.raised_at:%Y-%m-%d %H:%M:%S} UTC it was: {alert.state}.",
        *([f"Why: {alert.reason}"] if alert.reason else []),
        "",
    ]
    for each in readings:
        value = "no value" if each["value"] is None else f"{each['value']} {each['unit']}".strip()
        mark = "" if each["level"] == "ok" else f"  <- {each['level']}"
        told.append(f"{each['name']}: {value}{mark}")
    return [*told, "", f"Alert {alert.id}, number {alert.number} of this source."]


def send(made: EmailMessage, server: Server) -> None:
    """
    Hand a message over; blocks.

    :raises MailNotTaken: if nobody is to get it. That some addresses are refused is logged.
    """
    try:
        with _connected(server) as connection:
            if server.username:
                connection.login(server.username, server.password)
            refused = connection.send_message(made)
    except (smtplib.SMTPException, OSError) as error:
        raise EmailDeliveryFailed(
            f"the mail server did not take it ({type(error).__name__})"
        ) from error
    if refused:
        log.warning("mail_refused", count=len(refused))


def _connected(server: Server) -> smtplib.SMTP:
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
