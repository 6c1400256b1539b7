"""Pages of people, API keys and the audit trail."""

from __future__ import annotations

from bursar import clock
from bursar.access import roles
from bursar.access.models import ApiKey, AuditEntry, User
from bursar.admin import formatting
from bursar.admin.filters import buttons, key_owner, key_state, person_state
from bursar.admin.formatting import DetailPage, format_datetime


def person(row: User) -> DetailPage:
    """A person and what they may do."""
    return DetailPage(
        title=row.name,
        state=person_state(row),
        facts=[
            ("signs in as", row.email),
            ("role", row.role),
            ("may", ", ".join(sorted(row.scopes)) or "nothing"),
            ("signed in", format_datetime(row.signed_in_at)),
            ("since", format_datetime(row.created_at)),
        ],
        buttons=buttons(
            (True, roles.PEOPLE_WRITE, "Change role", "person", "primary", row.pk),
            (True, roles.PEOPLE_WRITE, "New password", "password", "plain", row.pk),
        ),
    )


def key(row: ApiKey) -> DetailPage:
    """An API key and what it may do."""
    lives = row.revoked_at is None and (row.expires_at is None or row.expires_at > clock.now())
    return DetailPage(
        title=f"API row {row.name}",
        state=key_state(row),
        facts=[
            ("key", row.hint),
            ("owner", key_owner(row)),
            ("may", ", ".join(row.allowed_scopes) or "nothing"),
            ("was given", ", ".join(row.scopes)),
            ("mode", row.mode),
            ("made", format_datetime(row.created_at)),
            ("by", row.created_by),
            ("ends", format_datetime(row.expires_at)),
            ("last used", format_datetime(row.last_used_at)),
            ("id", row.pk),
        ],
        buttons=buttons(
            (lives, roles.KEYS_WRITE, "Rotate", "rotate", "primary", row.pk),
            (lives, roles.KEYS_WRITE, "Revoke", "revoke", "danger", row.pk),
        ),
    )


def audit(row: AuditEntry) -> DetailPage:
    """One thing that was changed."""
    return DetailPage(
        title=f"{row.action} {row.subject}",
        facts=[
            ("who", row.actor),
            ("when", format_datetime(row.at)),
            ("before", formatting.pairs(row.before)),
            ("after", formatting.pairs(row.after)),
            ("request", row.request_id or "-"),
        ],
    )
