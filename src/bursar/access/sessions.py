"""Database sessions of the back office, written through the group commit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session

from bursar import group_commit, retention


class SessionStore(db.SessionStore):
    """Django's database store, with the group commit's transactions."""

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002  (Django's)
        """Store the session; block until committed, before the response sets the cookie."""
        if self.session_key is None:
            self.create()
            return
        write = super().save
        group_commit.commits.run_blocking(lambda: write(must_create=must_create))

    def delete(self, session_key: str | None = None) -> None:
        """Delete the session; block until committed."""
        remove: Any = super().delete
        group_commit.commits.run_blocking(lambda: remove(session_key))


def prune(*, now: datetime, rows_max: int) -> int:
    """Delete up to *rows_max* expired sessions, oldest first. Returns the number deleted."""
    expired = Session.objects.filter(expire_date__lt=now)
    return retention.delete_first(expired.order_by("expire_date"), rows_max)
