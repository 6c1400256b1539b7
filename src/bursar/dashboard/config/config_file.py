"""
The file of what to watch (BURSAR_DASHBOARD): TOML, taken whole or not at all.

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
from bursar.dashboard.config.monitors import Account, Api, BadSource, Certificate, Wrong

T = TypeVar("T")

FILE_BYTES_MAX: Final = 2**20
SOURCES_MAX: Final = 1_000
#: The table that holds for every account without one of its own.
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What a file tells to watch, by name."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    apis: Mapping[str, Api] = field(default_factory=dict)
    certificates: Mapping[str, Certificate] = field(default_factory=dict)

    def account(self, name: str) -> Account:
        """What holds for the account *name*."""
        return self.accounts.get(name) or self.accounts.get(DEFAULT) or Account()


NOTHING: Final = File()


def load(path: Path | None) -> File:
    """
    Read *path*; without one there is nothing but the provider accounts.

    :raises BadSource: naming the file, the table and the field, if anything is wrong.
    """
    if path is None:
        return NOTHING
    text = text_files.read(path, bytes_max=FILE_BYTES_MAX, refusal=BadSource)
    return parse(text, name=path.name)


def parse(text: str, *, name: str) -> File:
    """
    Read TOML; *name* is the file's, for messages.

    :raises BadSource: if anything is wrong.
    """
    try:
        told = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadSource(f"{name} is no TOML: {error}") from None
    unknown = sorted(set(told) - {"accounts", "apis", "certificates"})
    if unknown:
        raise BadSource(
            f"{name}: [{unknown[0]}] is unknown; there are accounts, apis, certificates"
        )
    made = File(
        accounts=_tables(told, "accounts", monitors.account, name),
        apis=_tables(told, "apis", monitors.api, name),
        certificates=_tables(told, "certificates", monitors.certificate, name),
    )
    if len(made.apis) + len(made.certificates) > SOURCES_MAX:
        raise BadSource(f"{name}: at most {SOURCES_MAX:,} APIs and certificates")
    return made


def _tables(
    told: Mapping[str, Any], kind: str, check: Callable[[Mapping[str, Any]], T], name: str
) -> dict[str, T]:
    tables = told.get(kind, {})
    if not isinstance(tables, dict):
        raise BadSource(f"{name}: {kind} is written as tables: [{kind}.NAME]")
    made = {}
    for key, table in tables.items():
        if not monitors.NAME.fullmatch(key):
            raise BadSource(
                f"{name}: [{kind}.{key[:60]}]: a name has small letters, digits, - and _, at most 60"
            )
        if not isinstance(table, dict):
            raise BadSource(f"{name}: {kind}.{key} is no table: write [{kind}.{key}]")
        try:
            made[key] = check(table)
        except Wrong as wrong:
            where = f"[{kind}.{key}]" + (f" {wrong.field}" if wrong.field else "")
            raise BadSource(f"{name}: {where}: {wrong.reason}") from None
    return made
