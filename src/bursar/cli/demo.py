"""Serving the demonstration: an admin, a key, a stream of orders, and where to look."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from rich.markup import escape
from rich.panel import Panel

from bursar import clock, group_commit, ids, settings
from bursar.access import api_keys, roles, users
from bursar.access.models import User
from bursar.cli import output, server
from bursar.demo import main_job
from bursar.payments import provider_accounts
from bursar.simulation.load_generator import LoadGenerator

PEOPLE = {
    "admin@example.com": ("Ada Admin", roles.Role.ADMIN),
    "finance@example.com": ("Fin Finance", roles.Role.FINANCE),
}
#: Above these a refund in the demonstration needs a second person.
LIMITS = "EUR=100,USD=100,GBP=100,JPY=15000,KWD=30"
HISTORY_DAYS, HISTORY_ORDERS = 13, 120


def serve(*, host: str, port: int, seconds: float | None) -> None:
    """
    Serve everything with a stream of sandbox orders until told to stop, or for *seconds*.

    :raises provider_accounts.TestCredentialsInLiveMode: in live mode; :raises server.AddressInUse: as `server.serve` does.
    """
    if settings.current.mode is settings.Mode.LIVE:
        raise provider_accounts.TestCredentialsInLiveMode(
            "this is a live installation; try the demonstration in one of its own"
        )
    if not settings.current.refund_approval_thresholds:
        settings.current = settings.current.model_copy(
            update={"refund_approval_thresholds": LIMITS}
        )
    passwords, token = _sign_ins(), _key()
    stream = LoadGenerator(account=main_job.ACCOUNT)
    if not stream.number:
        stream.create_history(days=HISTORY_DAYS, orders=HISTORY_ORDERS)
    outcomes, depth = server.serve(
        host=host,
        port=port,
        parts=server.ServerComponents(),
        beside=_limited(stream.run, seconds),
        ready=lambda address: _tell(address, passwords, token),
    )
    output.show_outcomes(outcomes, depth)


def _limited(
    run: Callable[[str], Awaitable[None]], seconds: float | None
) -> Callable[[str], Awaitable[None]]:
    async def beside(address: str) -> None:
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, os.kill, os.getpid(), signal.SIGTERM)
        await run(address)

    return beside


def _sign_ins() -> dict[str, str]:
    """People with new passwords, by address; nobody can be told an old one."""
    passwords = {email: users.make_password() for email in PEOPLE}
    hashes = {email: users.hash_password(password) for email, password in passwords.items()}
    known = set(User.objects.filter(email__in=PEOPLE).values_list("email", flat=True))
    now = clock.now()

    def write() -> None:
        for email, (name, role) in PEOPLE.items():
            if email in known:
                users.update_user(
                    email=email, role=role, is_active=True, password_hash=hashes[email], now=now
                )
            else:
                users.create_user(
                    email=email, name=name, role=role, password_hash=hashes[email], now=now
                )

    group_commit.commits.run_blocking(write)
    return passwords


def _key() -> str:
    token, key_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
    group_commit.commits.run_blocking(
        lambda: api_keys.create(
            key_id=key_id, token=token, name="demonstration", scopes=roles.KEY_SCOPES, now=now
        )
    )
    return token


def _tell(address: str, passwords: dict[str, str], token: str) -> None:
    words = "\n".join(
        f"  {escape(email):22} {escape(password)}   ({PEOPLE[email][1]})"
        for email, password in passwords.items()
    )
    text = (
        f"[bold]back office[/]  {address}/admin/\n{words}\n"
        f"[bold]dashboard[/]    {address}/dashboard\n"
        f"[bold]API[/]          {address}/docs\n"
        "  the key and a first call stand below\n"
        f"[bold]health[/]       {address}/readyz\n"
        f"orders of every kind keep coming in at [bold]{provider_accounts.get(main_job.ACCOUNT).name}[/]; "
        "Ctrl+C stops"
    )
    output.console.print(Panel(text, title="Bursar is running", expand=False))
    # On a line of its own, which can be copied however narrow the terminal.
    output.echo(f"curl -H 'Authorization: Bearer {token}' {address}/v1/orders?limit=3")
