"""
The file of what to watch (BURSAR_MONITORS): TOML, taken whole or not at all.

    [accounts.default]              provider accounts, all of them unless told otherwise
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
SOURCES_MAX: Final = 1_000
#: The table that holds for every account without one of its own.
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardConfig:
    """What a file tells to watch, by name."""

    accounts: Mapping[str, ProviderAccountMonitorConfig] = field(default_factory=dict)
    apis: Mapping[str, HttpMonitorConfig] = field(default_factory=dict)
    certificates: Mapping[str, CertificateMonitorConfig] = field(default_factory=dict)

    def account(self, name: str) -> ProviderAccountMonitorConfig:
        """What holds for the account *name*."""
        return (
            self.accounts.get(name) or self.accounts.get(DEFAULT) or ProviderAccountMonitorConfig()
        )


NOTHING: Final = DashboardConfig()


def load(path: Path | None) -> DashboardConfig:
    """
    Read *path*; without one there is nothing but the provider accounts.

    :raises BadSource: naming the file, the table and the field, if anything is wrong.
    """
    if path is None:
        return NOTHING
    text = text_files.read(path, bytes_max=FILE_BYTES_MAX, error_class=InvalidMonitorConfig)
    return parse(text, name=path.name)


def parse(text: str, *, name: str) -> DashboardConfig:
    """
    Read TOML; *name* is the file's, for messages.

    :raises BadSource: if anything is wrong.
    """
    try:
        told = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidMonitorConfig(f"{name} is no TOML: {error}") from None
    unknown = sorted(set(told) - {"accounts", "apis", "certificates"})
    if unknown:
        raise InvalidMonitorConfig(
            f"{name}: [{unknown[0]}] is unknown; there are accounts, apis, certificates"
        )
    made = DashboardConfig(
        accounts=_tables(told, "accounts", monitors.account, name),
        apis=_tables(told, "apis", monitors.api, name),
        certificates=_tables(told, "certificates", monitors.certificate, name),
    )
    if len(made.apis) + len(made.certificates) > SOURCES_MAX:
        raise InvalidMonitorConfig(f"{name}: at most {SOURCES_MAX:,} APIs and certificates")
    return made


def _tables(
    told: Mapping[str, Any], kind: str, check: Callable[[Mapping[str, Any]], T], name: str
) -> dict[str, T]:
    tables = told.get(kind, {})
    if not isinstance(tables, dict):
        raise InvalidMonitorConfig(f"{name}: {kind} is written as tables: [{kind}.NAME]")
    made = {}
    for key, table in tables.items():
        if not monitors.NAME.fullmatch(key):
            raise InvalidMonitorConfig(
                f"{name}: [{kind}.{key[:60]}]: a name has small letters, digits, - and _, at most 60"
            )
        if not isinstance(table, dict):
            raise InvalidMonitorConfig(f"{name}: {kind}.{key} is no table: write [{kind}.{key}]")
        try:
            made[key] = check(table)
        except InvalidValue as wrong:
            where = f"[{kind}.{key}]" + (f" {wrong.field}" if wrong.field else "")
            raise InvalidMonitorConfig(f"{name}: {where}: {wrong.reason}") from None
    return made
