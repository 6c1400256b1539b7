"""Audit log: actor, action, and values before and after, in the transaction of the change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bursar import group_commit, logs
from bursar.access.models import AuditEntry
from bursar.decorators import Unauthenticated, current_principal


def actor() -> str:
    """Return the actor: the principal of the context, `cli:NAME` for a command, or `bursar`."""
    try:
        return current_principal().id
    except Unauthenticated:
        user_name = logs.bound_values().get("actor")
        return f"cli:{user_name}" if user_name else "bursar"


def record(
    *,
    action: str,
    subject: str,
    now: datetime,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """
    Add an entry for `actor()`; needs the open transaction of the change.

    *action* is `<object>.<verb>`, such as `refund.create`; *before* and *after* are JSON without
    secrets.
    """
    group_commit.require_transaction()
    AuditEntry.objects.create(
        created_at=now,
        actor=actor(),
        action=action,
        subject=subject,
        before=dict(before or {}),
        after=dict(after or {}),
        request_id=str(logs.bound_values().get("request_id", "")),
    )
