"""Everything that is watched: the file's, what people entered, and the provider accounts."""

from __future__ import annotations

from typing import Final

from bursar.dashboard.checks import http_api, provider_accounts, tls_certificate
from bursar.dashboard.checks.base import MonitorCheck
from bursar.dashboard.checks.provider_accounts import Reading
from bursar.dashboard.config import user_monitors
from bursar.dashboard.config.config_file import DashboardConfig
from bursar.payments.models import ProviderAccount

ACCOUNTS_MAX: Final = 200


def all_monitors(file: DashboardConfig, *, reading: Reading) -> dict[str, MonitorCheck]:
    """
    What is to be watched now, by key; reads the database.

    Where the file and a person give one name to an API, the file's holds.
    """
    watches: list[MonitorCheck] = []
    for name in ProviderAccount.objects.order_by("name").values_list("name", flat=True)[
        :ACCOUNTS_MAX
    ]:
        told = file.account(name)
        if told.watch:
            watches += provider_accounts.watches(name=name, told=told, reading=reading)
    apis = {
        **{n: (a, True) for n, a in user_monitors.active().items()},
        **{n: (a, False) for n, a in file.apis.items()},
    }
    watches += [http_api.watch(name=n, api=a, entered=own) for n, (a, own) in apis.items()]
    watches += [tls_certificate.watch(name=n, certificate=c) for n, c in file.certificates.items()]
    return {watch.key: watch for watch in watches}
