"""Registry of all monitors: of the configuration file, the back office and the provider accounts."""

from __future__ import annotations

from typing import Final

from bursar.dashboard.checks import http_api, provider_accounts, tls_certificate
from bursar.dashboard.checks.base import MonitorCheck
from bursar.dashboard.checks.provider_accounts import DatabaseReader
from bursar.dashboard.config import user_monitors
from bursar.dashboard.config.config_file import DashboardConfig
from bursar.payments.models import ProviderAccount

ACCOUNTS_MAX: Final = 200


def all_monitors(file: DashboardConfig, *, read: DatabaseReader) -> dict[str, MonitorCheck]:
    """
    Return the checks of all active monitors by key; reads the database.

    Where the file and the back office use the same name for an API, the file wins.
    """
    checks: list[MonitorCheck] = []
    for name in ProviderAccount.objects.order_by("name").values_list("name", flat=True)[
        :ACCOUNTS_MAX
    ]:
        config = file.account(name)
        if config.enabled:
            checks += provider_accounts.create_checks(name=name, config=config, read=read)
    apis = {
        **{name: (api, True) for name, api in user_monitors.load_active().items()},
        **{name: (api, False) for name, api in file.apis.items()},
    }
    checks += [
        http_api.create_check(name=name, api=api, is_user_defined=is_user_defined)
        for name, (api, is_user_defined) in apis.items()
    ]
    checks += [
        tls_certificate.create_check(name=name, config=config)
        for name, config in file.certificates.items()
    ]
    return {check.key: check for check in checks}
