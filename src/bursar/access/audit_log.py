"""The audit trail: who changed what, before and after, in the change's own commit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bursar import group_commit, logs
from bursar.access.models import AuditEntry
from bursar.decorators import Unauthenticated, current_principal


def actor() -> str:
    """Who is acting: the principal of the context, who typed the command, or Bursar itself."""
    try:
        return current_principal().id
    except Unauthenticated:
        typed = logs.bound_values().get("actor")
        return f"cli:{typed}" if typed else "bursar"


def record(
    *,
    action: str,
    subject: str,
    now: datetime,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """
    Add an entry in the name of `actor()`; needs the transaction of the change itself.

    *action* is a word such as `refund.open`; *before* and *after* hold what can be written as JSON
    and is no secret.
    """
    group_commit.require_transaction()
    AuditEntry.objects.create(
        at=now,
        actor=actor(),
        action=action,
        subject=subject,
        before=dict(before or {}),
        after=dict(after or {}),
        request_id=str(logs.bound_values().get("request_id", "")),
    )
