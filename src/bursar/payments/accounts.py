"""Provider accounts: their rows, and the provider objects that act for them."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar

from bursar import errors, groupcommit, settings
from bursar.access import auditing
from bursar.payments.models import ProviderAccount
from bursar.providers import registry
from bursar.providers.base import PaymentProvider

T = TypeVar("T")

#: How many calls to one provider account may be under way in one process.
CALLS_MAX = 64

_providers: dict[tuple[object, str], PaymentProvider] = {}
_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


class UnknownAccount(errors.NotFound):
    """There is no provider account of that name."""

    code = "unknown_provider_account"


class NotInLive(errors.Invalid):
    """The provider is for trying things out; a live installation refuses it."""

    code = "not_in_live"


def add(*, name: str, provider: str, config: Mapping[str, Any], now: datetime) -> ProviderAccount:
    """
    Add an account, or bring its configuration up to date.

    :raises registry.UnknownProvider: if no such provider is installed;
    :raises errors.ValidationError: if the configuration is not the provider's.
    """
    groupcommit.require_transaction()
    _refuse_in_live(provider)
    registry.build(provider, name, {**config, **secrets_of(name, provider)})
    _providers.pop((settings.current.home, name), None)
    before = ProviderAccount.objects.filter(name=name).first()
    auditing.write(
        action="account.add", subject=name, now=now,
        before={"provider": before.provider, "config": before.config} if before else {},
        after={"provider": provider, "config": dict(config)},
    )  # fmt: skip
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
        _refuse_in_live(row.provider)
        config = {**row.config, **secrets_of(name, row.provider)}
        provider = _providers[key] = registry.build(row.provider, name, config)
    return provider


def is_made(name: str) -> bool:
    """Whether `get` has made this account's provider, and reads no database any more."""
    return (settings.current.home, name) in _providers


def gate(name: str) -> asyncio.Semaphore:
    """What holds back calls to one account beyond `CALLS_MAX`, within the running event loop."""
    gates = _gates.setdefault(asyncio.get_running_loop(), {})
    return gates.setdefault(name, asyncio.Semaphore(CALLS_MAX))


def secrets_of(account: str, provider: str) -> dict[str, str]:
    """
    The secrets of an account, from `BURSAR_<ACCOUNT>_<FIELD>` in the environment or as files of
    those names in the secrets directory; they are never in the database.
    """
    prefix = f"BURSAR_{account}_".upper().replace("-", "_")
    found = {}
    for field in registry.secret_fields(provider):
        name = prefix + field.upper()
        directory = settings.current.secrets_dir
        if value := os.environ.get(name):
            found[field] = value
        elif directory and (directory / name).is_file():
            found[field] = (directory / name).read_text(encoding="utf-8").strip()
    return found


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* in an event loop of its own; connections of that loop are closed with it."""

    async def connected() -> T:
        try:
            return await work
        finally:
            for provider in _providers.values():
                await provider.disconnect()

    return asyncio.run(connected())


async def close() -> None:
    """Close every provider object that this process made."""
    while _providers:
        _, provider = _providers.popitem()
        await provider.close()


def _refuse_in_live(provider: str) -> None:
    if settings.current.mode is settings.Mode.LIVE and registry.get_class(provider).for_tests:
        raise NotInLive(
            f"provider {provider!r} is for trying things out; this is a live installation"
        )
