"""Alerts reach a real receiver and a real mail server, signed, again if need be, by the same id."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from pydantic import SecretStr

from bursar import group_commit, job_handlers, settings
from bursar.dashboard.alerts import email_channel
from bursar.dashboard.alerts.email_channel import AlertEmailFailed
from bursar.dashboard.models import Alert
from bursar.queue import jobs
from bursar.queue.models import Job
from bursar.queue.worker import Worker
from tests.conftest import Database
from tests.flows.dashboard.stage import Server, read, serving, staged

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def set_up(monkeypatch: pytest.MonkeyPatch, **told: Any) -> None:
    secrets = {"alert_webhook_url", "alert_webhook_secret", "smtp_url"}
    values = {name: SecretStr(value) if name in secrets else value for name, value in told.items()}
    monkeypatch.setattr(settings, "current", settings.current.model_copy(update=values))


async def alarm(server: Server, title: str = "Rates") -> str:
    """Let a source become critical; the id of the alert."""
    toml = (
        f'[apis.rates]\ntitle = "{title}"\nurl = "{server.url}/"\nfailure_threshold = 1\n'
        'values = [{ name = "n", path = "n", unit = "EUR", decimals = 2, critical_above = 5 }]\n'
    )
    async with staged(toml) as stage:
        server.told = {"n": 7}
        await stage.pass_by(60)
    return await read(lambda: str(Alert.objects.get().pk))


async def run_jobs() -> Counter[tuple[str, str]]:
    worker = Worker(job_handlers.HANDLERS)
    await worker.run(until_empty=True)
    return worker.outcomes


async def hurry() -> None:
    """Let what is tried again later be due."""
    await read(lambda: Job.objects.update(state="ready"))


def opened(server: Server) -> list[tuple[str, Any]]:
    """The ids and contents of what was received, each signature checked by hand."""
    found = []
    for first, headers, body in server.requests:
        if not first.startswith("POST"):
            continue
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.digest(b"k" * 32, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        found.append((headers["webhook-id"], json.loads(body)))
    return found


def test_a_webhook_is_signed_and_repeated_by_the_same_id_until_it_is_taken(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with serving() as api, serving() as hook:
            set_up(monkeypatch, alert_webhook_url=f"{hook.url}/hook", alert_webhook_secret=SECRET)
            alert_id = await alarm(api)
            for status in (503, 302, 200):
                hook.status, hook.headers = status, [f"Location: {api.url}"]
                await hurry()
                await run_jobs()
            received = opened(hook)
            assert [name for name, _ in received] == [alert_id] * 3
            assert received[0][1] == received[2][1]
            told = received[0][1]
            assert (told["type"], told["timestamp"]) == (
                "dashboard.alert",
                "2026-03-02T12:01:00+00:00",
            )
            assert told["data"] == {
                "id": alert_id,
                "source": "api:rates",
                "sequence": 1,
                "title": "Rates",
                "previous_level": "ok",
                "new_level": "critical",
                "state": "critical",
                "reason": "",
                "measurements": [
                    {
                        "name": "n",
                        "value": 7.0,
                        "unit": "EUR",
                        "level": "critical",
                        "decimals": 2,
                    }
                ],
            }
            alert = await read(Alert.objects.get)
            assert (alert.webhook, alert.email, await read(Job.objects.count)) == ("sent", "off", 0)

    asyncio.run(story())


def test_after_a_crash_before_the_acknowledgement_it_is_told_again_and_once_marked_never(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with serving() as api, serving() as hook:
            set_up(monkeypatch, alert_webhook_url=f"{hook.url}/hook", alert_webhook_secret=SECRET)
            alert_id = await alarm(api)
            payload = await read(lambda: Job.objects.get().payload)
            lease = jobs.Lease(0, "deliver_alert", payload, 1, 100, "t")
            await job_handlers.HANDLERS["deliver_alert"](lease)  # and then the process dies
            assert await run_jobs() == {("deliver_alert", "done"): 1}
            assert await job_handlers.HANDLERS["deliver_alert"](lease) is None
            assert [name for name, _ in opened(hook)] == [alert_id, alert_id]

    asyncio.run(story())


def test_what_is_no_longer_set_up_is_not_told(
    sqlite_only: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with serving() as api, serving() as hook:
            set_up(monkeypatch, alert_webhook_url=hook.url, alert_webhook_secret=SECRET)
            await alarm(api)
            set_up(monkeypatch, alert_webhook_url="")
            assert await run_jobs() == {("deliver_alert", "done"): 1}
            assert (await read(Alert.objects.get)).webhook == "off"
            await read(lambda: _enqueue({"alert": "alr_none", "channel": "email"}))
            assert await run_jobs() == {("deliver_alert", "dead"): 1}

    asyncio.run(story())


def _enqueue(payload: dict[str, str]) -> None:
    jobs.enqueue("deliver_alert", payload, now=jobs.database_time())


# --- E-mail ---------------------------------------------------------------------------------------


class Mailbox:
    """A mail server's handler that keeps what it takes; *refuses* an address, or all for a while."""

    def __init__(self) -> None:
        self.port = 0
        self.taken: list[tuple[list[str], EmailMessage]] = []
        self.refuses = ""
        self.busy = False

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address == self.refuses:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.busy:
            return "451 try again later"
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append((list(envelope.rcpt_tos), message))
        return "250 OK"


@asynccontextmanager
async def mail(**options: Any) -> AsyncIterator[Mailbox]:
    """A real mail server on loopback."""
    box = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(box, **options), "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()


def by_mail(monkeypatch: pytest.MonkeyPatch, box: Mailbox) -> None:
    set_up(
        monkeypatch,
        alert_email_to="ops@example.com, cfo@example.com",
        alert_email_from="bursar@shop.example",
        smtp_url=f"smtp+plain://127.0.0.1:{box.port}",
    )


def test_a_message_is_repeated_by_the_same_id_until_it_is_taken(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with serving() as api, mail() as box:
            by_mail(monkeypatch, box)
            alert_id = await alarm(api, title="Kurse für Zürich")
            box.busy = True
            assert await run_jobs() == {("deliver_alert", "retried"): 1}
            box.busy, box.refuses = False, "cfo@example.com"
            await hurry()
            assert await run_jobs() == {("deliver_alert", "done"): 1}
            [(to, message)] = box.taken
            assert to == ["ops@example.com"]
            assert message["Message-ID"] == f"<{alert_id}@shop.example>"
            assert message["Subject"] == "[Bursar] CRITICAL: Kurse für Zürich"
            assert message["From"] == "bursar@shop.example"
            assert message["To"] == "ops@example.com, cfo@example.com"
            assert message["Date"] == "Mon, 02 Mar 2026 12:01:00 +0000"
            lines = message.get_content().splitlines()
            assert lines[0] == "Kurse für Zürich (api:rates): ok to critical"
            assert "n: 7.00 EUR (critical)" in lines
            alert = await read(Alert.objects.get)
            assert (alert.webhook, alert.email) == ("off", "sent")

    asyncio.run(story())


def test_both_channels_have_a_job_of_their_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with serving() as api, serving() as hook, mail() as box:
            by_mail(monkeypatch, box)
            set_up(monkeypatch, alert_webhook_url=hook.url, alert_webhook_secret=SECRET)
            await alarm(api)
            hook.status = 500
            assert await run_jobs() == {
                ("deliver_alert", "done"): 1,
                ("deliver_alert", "retried"): 1,
            }
            alert = await read(Alert.objects.get)
            assert (alert.webhook, alert.email, len(box.taken)) == ("waiting", "sent", 1)

    asyncio.run(story())


def _sent(url: str) -> None:
    alert = Alert(
        id="alr_1",
        title="x",
        source_key="k",
        sequence=1,
        previous_level="ok",
        new_level="critical",
        raised_at=settings_time(),
        state="ok",
    )
    message = email_channel.compose_message(alert, sender="a@b.example", to=["c@d.example"])
    email_channel.send(message, email_channel.parse_smtp_url(url))


def settings_time() -> Any:
    return group_commit.commits.run_blocking(jobs.database_time)


def test_without_tls_nothing_is_handed_over_unless_that_is_asked_for(
    sqlite_only: Database,
) -> None:
    async def story() -> list[str]:
        async with mail() as box:
            for scheme in ("smtp", "smtps"):
                with pytest.raises(AlertEmailFailed):
                    await asyncio.to_thread(_sent, f"{scheme}://me:pw@127.0.0.1:{box.port}")
            return [str(message["Message-ID"]) for _, message in box.taken]

    assert asyncio.run(story()) == []


def test_over_tls_the_password_is_sent(
    sqlite_only: Database, monkeypatch: pytest.MonkeyPatch, certificate: Callable[..., Any]
) -> None:
    tried: list[Any] = []

    def authenticate(server: Any, session: Any, envelope: Any, kind: str, told: Any) -> AuthResult:
        tried.append((session.ssl is not None, told))
        return AuthResult(success=True)

    async def story() -> int:
        made = certificate("localhost")
        monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
        async with mail(
            tls_context=made.context,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        ) as box:
            await asyncio.to_thread(_sent, f"smtp://me:p%40ss@localhost:{box.port}")
            return len(box.taken)

    assert asyncio.run(story()) == 1
    assert tried == [(True, LoginPassword(b"me", b"p@ss"))]
