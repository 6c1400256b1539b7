"""Serve the demonstration: users, an API key, a stream of orders, and the addresses."""

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

USERS = {
    "admin@example.com": ("Ada Admin", roles.Role.ADMIN),
    "finance@example.com": ("Fin Finance", roles.Role.FINANCE),
}
#: A refund above these amounts needs approval by a second person.
APPROVAL_THRESHOLDS = "EUR=100,USD=100,GBP=100,JPY=15000,KWD=30"
HISTORY_DAYS, HISTORY_ORDERS = 13, 120


def serve(*, host: str, port: int, seconds: float | None) -> None:
    """
    Serve everything with a stream of sandbox orders until SIGINT or SIGTERM, or for *seconds*.

    :raises provider_accounts.TestCredentialsInLiveMode: in live mode;
    :raises server.AddressInUse: if the address cannot be listened on.
    """
    if settings.current.mode is settings.Mode.LIVE:
        raise provider_accounts.TestCredentialsInLiveMode(
            "the demonstration needs test mode; set BURSAR_HOME to a new folder and BURSAR_MODE to test"
        )
    if not settings.current.refund_approval_thresholds:
        settings.current = settings.current.model_copy(
            update={"refund_approval_thresholds": APPROVAL_THRESHOLDS}
        )
    passwords, token = _create_users(), _create_api_key()
    generator = LoadGenerator(account=main_job.ACCOUNT)
    if not generator.number:
        generator.create_history(days=HISTORY_DAYS, orders=HISTORY_ORDERS)
    outcomes, depth = server.serve(
        host=host,
        port=port,
        components=server.ServerComponents(),
        background_task=_stop_after(generator.run, seconds),
        on_ready=lambda address: _print_addresses(address, passwords, token),
    )
    output.show_outcomes(outcomes, depth)


def _stop_after(
    run: Callable[[str], Awaitable[None]], seconds: float | None
) -> Callable[[str], Awaitable[None]]:
    async def run_until_stopped(address: str) -> None:
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, os.kill, os.getpid(), signal.SIGTERM)
        await run(address)

    return run_until_stopped


def _create_users() -> dict[str, str]:
    """Create the users, or reset their passwords. Return the passwords by e-mail address."""
    passwords = {email: users.make_password() for email in USERS}
    hashes = {email: users.hash_password(password) for email, password in passwords.items()}
    existing = set(User.objects.filter(email__in=USERS).values_list("email", flat=True))
    now = clock.now()

    def write() -> None:
        for email, (name, role) in USERS.items():
            if email in existing:
                users.update_user(
                    email=email, role=role, is_active=True, password_hash=hashes[email], now=now
                )
            else:
                users.create_user(
                    email=email, name=name, role=role, password_hash=hashes[email], now=now
                )

    group_commit.commits.run_blocking(write)
    return passwords


def _create_api_key() -> str:
    token, key_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
    group_commit.commits.run_blocking(
        lambda: api_keys.create(
            key_id=key_id, token=token, name="demonstration", scopes=roles.KEY_SCOPES, now=now
        )
    )
    return token


def _print_addresses(address: str, passwords: dict[str, str], token: str) -> None:
    credentials = "\n".join(
        f"  {escape(email):22} {escape(password)}   ({USERS[email][1]})"
        for email, password in passwords.items()
    )
    text = (
        f"[bold]back office[/]  {address}/admin/\n{credentials}\n"
        f"[bold]dashboard[/]    {address}/dashboard\n"
        f"[bold]API[/]          {address}/docs\n"
        "  API key and example request below\n"
        f"[bold]health[/]       {address}/readyz\n"
        "Orders are created continuously; press Ctrl+C to stop."
    )
    output.console.print(Panel(text, title="Bursar is running", expand=False))
    # On a line of its own, so that it can be copied from a narrow terminal.
    output.echo(f"curl -H 'Authorization: Bearer {token}' {address}/v1/orders?limit=3")
