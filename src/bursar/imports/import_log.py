"""Log of imports: a file is imported once, in one commit with all that it contains."""

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
    Return the identity of an import: file content, purpose, and the *options* that affect it.

    For orders the options are the mapping, the provider account and the payment method, so that an
    import without charges is not mistaken for one with charges.
    """
    return hashlib.sha256(json.dumps([file_sha256, purpose, *options]).encode()).hexdigest()


def find_import(digest: str) -> Mapping[str, Any] | None:
    """
    Return the report of an earlier import with this *digest*, or None.

    Needs an open transaction, and locks out imports of other processes until it ends, so that no
    other import commits between this call and `record`.
    """
    group_commit.require_transaction()
    if connection.vendor == "postgresql":
        sql.row(LOCK)
    report = ImportedFile.objects.filter(digest=digest).values_list("report", flat=True).first()
    return report if report is None else dict(report)


def record(
    *, digest: str, name: str, purpose: str, report: Mapping[str, Any], now: datetime
) -> None:
    """Record a complete import. Needs the transaction that wrote its content."""
    group_commit.require_transaction()
    ImportedFile.objects.create(
        digest=digest, name=name[-255:], purpose=purpose, report=dict(report), imported_at=now
    )


def file_names_imported_at(imported_at: datetime) -> list[str]:
    """Return the names of files imported at this time, which is also the creation time of rows."""
    files = ImportedFile.objects.filter(imported_at=imported_at).order_by("name")
    return list(files.values_list("name", flat=True))
