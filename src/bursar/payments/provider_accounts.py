"""Provider accounts: their rows, and the provider objects that act for them."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar

from bursar import errors, group_commit, settings
from bursar.access import audit_log
from bursar.ledger import balances
from bursar.payments import accounting
from bursar.payments.models import ProviderAccount
from bursar.providers import registry
from bursar.providers.capabilities import SupportsBalance
from bursar.providers.interface import PaymentProvider

T = TypeVar("T")

#: How many calls to one provider account may be under way in one process.
CALLS_MAX = 64

_providers: dict[tuple[object, str], PaymentProvider] = {}
_semaphores: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


class UnknownAccount(errors.NotFound):
    """There is no provider account of that name."""

    code = "provider_account_not_found"


class TestCredentialsInLiveMode(errors.Invalid):
    """The provider, or its key, is for trying things out; a live installation refuses it."""

    code = "test_credentials_in_live_mode"


class LiveCredentialsInTestMode(errors.Invalid):
    """The key moves real money; a test installation refuses it."""

    code = "live_credentials_in_test_mode"


def create_account(
    *, name: str, provider: str, config: Mapping[str, Any], now: datetime
) -> ProviderAccount:
    """
    Add an account, or bring its configuration up to date.

    :raises registry.ProviderNotFound: if no such provider is installed;
    :raises errors.ValidationError: if the configuration is not the provider's.
    """
    group_commit.require_transaction()
    _check_mode(
        registry.create_provider(provider, name, {**config, **load_secrets(name, provider)})
    )
    _providers.pop((settings.current.home, name), None)
    previous = ProviderAccount.objects.filter(name=name).first()
    audit_log.record(
        action="account.create",
        subject=name,
        now=now,
        before={"provider": previous.provider, "config": previous.config} if previous else {},
        after={"provider": provider, "config": dict(config)},
    )
    account, _ = ProviderAccount.objects.update_or_create(
        name=name,
        defaults={"provider": provider, "config": dict(config)},
        create_defaults={"provider": provider, "config": dict(config), "created_at": now},
    )
    return account


def get(name: str) -> PaymentProvider:
    """
    The provider object of an account, made once per process.

    Reads the database the first time, so call it where that is allowed.

    :raises UnknownAccount: if there is no such account.
    """
    key = (settings.current.home, name)
    provider = _providers.get(key)
    if provider is None:
        row = ProviderAccount.objects.filter(name=name).first()
        if row is None:
            raise UnknownAccount(f"there is no provider account {name!r}")
        config = {**row.config, **load_secrets(name, row.provider)}
        provider = registry.create_provider(row.provider, name, config)
        _check_mode(provider)
        _providers[key] = provider
    return provider


def is_cached(name: str) -> bool:
    """Whether `get` has made this account's provider, and reads no database any more."""
    return (settings.current.home, name) in _providers


def concurrency_limit(name: str) -> asyncio.Semaphore:
    """What holds back calls to one account beyond `CALLS_MAX`, within the running event loop."""
    semaphores = _semaphores.setdefault(asyncio.get_running_loop(), {})
    return semaphores.setdefault(name, asyncio.Semaphore(CALLS_MAX))


def load_secrets(account: str, provider: str) -> dict[str, str]:
    """
    The secrets of an account, from `BURSAR_<ACCOUNT>_<FIELD>` in the environment or as files of
    those names in the secrets directory; they are never in the database.
    """
    prefix = f"BURSAR_{account}_".upper().replace("-", "_")
    secrets = {}
    for field in registry.secret_fields(provider):
        name = prefix + field.upper()
        directory = settings.current.secrets_dir
        if value := os.environ.get(name):
            secrets[field] = value
        elif directory and (directory / name).is_file():
            secrets[field] = (directory / name).read_text(encoding="utf-8").strip()
    return secrets


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* in an event loop of its own; connections of that loop are closed with it."""

    async def run_and_disconnect() -> T:
        try:
            return await work
        finally:
            for provider in _providers.values():
                await provider.disconnect()

    return asyncio.run(run_and_disconnect())


async def close_all() -> None:
    """Close every provider object that this process made."""
    while _providers:
        _, provider = _providers.popitem()
        await provider.close()


def fetch_balance(account: str) -> dict[str, int] | None:
    """
    What a provider says it owes us, by currency, in minor units; None if it does not tell.

    :raises errors.Unavailable: if it cannot be asked; :raises errors.OutcomeUnknown: if its answer
        is not clear.
    """
    provider = get(account)
    if not isinstance(provider, SupportsBalance):
        return None

    async def fetch() -> Mapping[str, int]:
        assert isinstance(provider, SupportsBalance)
        return await provider.balances()

    return {currency: amount for currency, amount in run_sync(fetch()).items() if amount}


def receivable_balances(account: str) -> dict[str, int]:
    """What a provider account owes us by our books, by currency, in minor units."""
    prefix = f"{accounting.receivable_account(account)}:"
    return {
        name.removeprefix(prefix): amount
        for name, amount in balances.balances(prefix=prefix).items()
        if amount
    }


def _check_mode(provider: PaymentProvider) -> None:
    installed, mode = settings.current.mode, provider.mode
    if installed is settings.Mode.LIVE and mode == "test":
        raise TestCredentialsInLiveMode(
            f"provider {provider.name!r} is for trying things out; this is a live installation"
        )
    if installed is settings.Mode.TEST and mode == "live":
        raise LiveCredentialsInTestMode(
            f"this key of {provider.name!r} moves real money; this is a test installation"
        )
