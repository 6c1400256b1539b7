"""The record of what came in: a file is taken in once, together with all that it held."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from bursar import group_commit, sql
from bursar.imports.models import ImportedFile

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('bursar/imports', 0))"


def digest(*, file_sha256: str, purpose: str, options: tuple[str, ...]) -> str:
    """
    Name an import: the bytes of the file, what for, and the *ways* that change what comes of it.

    For orders these are the mapping, the provider account and the method, so that a file which
    was taken in uncharged is not mistaken for one that was charged.
    """
    return hashlib.sha256(json.dumps([file_sha256, purpose, *options]).encode()).hexdigest()


def find_import(digest: str) -> Mapping[str, Any] | None:
    """
    The report of an import that was done before; None where there is none.

    Needs an open transaction, and holds off other processes' imports until it ends, so that none
    can come between this answer and `record`.
    """
    group_commit.require_transaction()
    if connection.vendor == "postgresql":
        sql.row(LOCK)
    report = ImportedFile.objects.filter(digest=digest).values_list("report", flat=True).first()
    return report if report is None else dict(report)


def record(
    *, digest: str, name: str, purpose: str, report: Mapping[str, Any], now: datetime
) -> None:
    """Note that a file came in whole. Needs the transaction that wrote what it held."""
    group_commit.require_transaction()
    ImportedFile.objects.create(
        digest=digest, name=name[-255:], purpose=purpose, report=dict(report), imported_at=now
    )


def file_names_imported_at(imported_at: datetime) -> list[str]:
    """The files that came in at *moment*, which is what they wrote into their rows as well."""
    files = ImportedFile.objects.filter(imported_at=imported_at).order_by("name")
    return list(files.values_list("name", flat=True))
