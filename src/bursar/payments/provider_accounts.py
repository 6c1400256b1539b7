"""Provider accounts: their rows, secrets, and cached provider instances."""

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

#: Concurrent calls to one provider account per process, at most.
CALLS_MAX = 64

_providers: dict[tuple[object, str], PaymentProvider] = {}
_semaphores: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


class ProviderAccountNotFound(errors.NotFound):
    """The provider account does not exist."""

    code = "provider_account_not_found"


class TestCredentialsInLiveMode(errors.Invalid):
    """The provider or its key is in test mode; a live installation rejects it."""

    code = "test_credentials_in_live_mode"


class LiveCredentialsInTestMode(errors.Invalid):
    """The key is a live key; a test installation rejects it."""

    code = "live_credentials_in_test_mode"


def create_account(
    *, name: str, provider: str, config: Mapping[str, Any], now: datetime
) -> ProviderAccount:
    """
    Create an account or update its configuration.

    :raises registry.ProviderNotFound: if no such provider is installed;
    :raises errors.ValidationError: if the configuration is invalid for the provider.
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
    Return the provider instance of an account, cached per process.

    The first call reads the database, so call it where that is allowed.

    :raises ProviderAccountNotFound: if the account does not exist.
    """
    key = (settings.current.home, name)
    provider = _providers.get(key)
    if provider is None:
        row = ProviderAccount.objects.filter(name=name).first()
        if row is None:
            raise ProviderAccountNotFound(f"provider account {name!r} not found")
        config = {**row.config, **load_secrets(name, row.provider)}
        provider = registry.create_provider(row.provider, name, config)
        _check_mode(provider)
        _providers[key] = provider
    return provider


def is_cached(name: str) -> bool:
    """Whether `get` has this account's provider cached and reads no database."""
    return (settings.current.home, name) in _providers


def concurrency_limit(name: str) -> asyncio.Semaphore:
    """Return the semaphore of an account (`CALLS_MAX` calls) for the running event loop."""
    semaphores = _semaphores.setdefault(asyncio.get_running_loop(), {})
    return semaphores.setdefault(name, asyncio.Semaphore(CALLS_MAX))


def load_secrets(account: str, provider: str) -> dict[str, str]:
    """
    Read an account's secrets from `BURSAR_<ACCOUNT>_<FIELD>` in the environment, or from files of
    these names in the secrets directory; they are never in the database.
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
    """Run *work* in a new event loop, and close the connections of that loop."""

    async def run_and_disconnect() -> T:
        try:
            return await work
        finally:
            for provider in _providers.values():
                await provider.disconnect()

    return asyncio.run(run_and_disconnect())


async def close_all() -> None:
    """Close every cached provider instance."""
    while _providers:
        _, provider = _providers.popitem()
        await provider.close()


def fetch_balance(account: str) -> dict[str, int] | None:
    """
    Return the balance reported by a provider, by currency, in minor units; None if not supported.

    :raises errors.Unavailable: if the provider cannot be reached;
    :raises errors.OutcomeUnknown: if its response is not clear.
    """
    provider = get(account)
    if not isinstance(provider, SupportsBalance):
        return None

    async def fetch() -> Mapping[str, int]:
        assert isinstance(provider, SupportsBalance)
        return await provider.balances()

    return {currency: amount for currency, amount in run_sync(fetch()).items() if amount}


def receivable_balances(account: str) -> dict[str, int]:
    """Return the receivable of a provider account in our books, by currency, in minor units."""
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
            f"provider {provider.name!r} is in test mode; this is a live installation"
        )
    if installed is settings.Mode.TEST and mode == "live":
        raise LiveCredentialsInTestMode(
            f"the key of {provider.name!r} is a live key; this is a test installation"
        )
