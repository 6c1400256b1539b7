"""
The configuration file of the monitors (BURSAR_MONITORS), in TOML. Any error rejects the whole file.

    [accounts.default]              all provider accounts without a table of their own
    [accounts.NAME]                 a provider account
    [apis.NAME]                     an API
    [certificates.NAME]             a certificate
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from bursar import text_files
from bursar.dashboard.config import monitors
from bursar.dashboard.config.monitors import (
    CertificateMonitorConfig,
    HttpMonitorConfig,
    InvalidMonitorConfig,
    InvalidValue,
    ProviderAccountMonitorConfig,
)

T = TypeVar("T")

FILE_BYTES_MAX: Final = 2**20
MONITORS_MAX: Final = 1_000
#: The table of all accounts without one of their own.
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardConfig:
    """The monitors of a file, by name."""

    accounts: Mapping[str, ProviderAccountMonitorConfig] = field(default_factory=dict)
    apis: Mapping[str, HttpMonitorConfig] = field(default_factory=dict)
    certificates: Mapping[str, CertificateMonitorConfig] = field(default_factory=dict)

    def account(self, name: str) -> ProviderAccountMonitorConfig:
        """Return the configuration of the account *name*."""
        return (
            self.accounts.get(name) or self.accounts.get(DEFAULT) or ProviderAccountMonitorConfig()
        )


EMPTY_CONFIG: Final = DashboardConfig()


def load(path: Path | None) -> DashboardConfig:
    """
    Read the file; without a *path* only provider accounts are monitored.

    :raises InvalidMonitorConfig: if anything is invalid; the message names file, table and field.
    """
    if path is None:
        return EMPTY_CONFIG
    text = text_files.read(path, bytes_max=FILE_BYTES_MAX, error_class=InvalidMonitorConfig)
    return parse(text, name=path.name)


def parse(text: str, *, name: str) -> DashboardConfig:
    """
    Parse TOML; *name* is the name of the file in messages.

    :raises InvalidMonitorConfig: if anything is invalid.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidMonitorConfig(f"{name}: invalid TOML: {error}") from None
    unknown = sorted(set(document) - {"accounts", "apis", "certificates"})
    if unknown:
        raise InvalidMonitorConfig(
            f"{name}: unknown table [{unknown[0]}]; allowed: accounts, apis, certificates"
        )
    config = DashboardConfig(
        accounts=_tables(document, "accounts", monitors.parse_account_monitor, name),
        apis=_tables(document, "apis", monitors.parse_http_monitor, name),
        certificates=_tables(document, "certificates", monitors.parse_certificate_monitor, name),
    )
    if len(config.apis) + len(config.certificates) > MONITORS_MAX:
        raise InvalidMonitorConfig(f"{name}: at most {MONITORS_MAX:,} APIs and certificates")
    return config


def _tables(
    document: Mapping[str, Any], kind: str, parse_table: Callable[[Mapping[str, Any]], T], name: str
) -> dict[str, T]:
    tables = document.get(kind, {})
    if not isinstance(tables, dict):
        raise InvalidMonitorConfig(f"{name}: {kind} must be tables: [{kind}.NAME]")
    configs = {}
    for key, table in tables.items():
        if not monitors.NAME.fullmatch(key):
            raise InvalidMonitorConfig(f"{name}: [{kind}.{key[:60]}]: name {monitors.NAME_RULE}")
        if not isinstance(table, dict):
            raise InvalidMonitorConfig(f"{name}: {kind}.{key} must be a table: [{kind}.{key}]")
        try:
            configs[key] = parse_table(table)
        except InvalidValue as invalid:
            where = f"[{kind}.{key}]" + (f" {invalid.field}" if invalid.field else "")
            raise InvalidMonitorConfig(f"{name}: {where}: {invalid.reason}") from None
    return configs
