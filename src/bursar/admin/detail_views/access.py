"""Detail pages of users, API keys and audit entries."""

from __future__ import annotations

from bursar import clock
from bursar.access import roles
from bursar.access.models import ApiKey, AuditEntry, User
from bursar.admin import formatting
from bursar.admin.formatting import DetailPage, format_datetime
from bursar.admin.permissions import permitted_buttons
from bursar.admin.status_labels import api_key_owner, api_key_status, user_status


def user(row: User) -> DetailPage:
    """Build the page of a user: account and permissions."""
    return DetailPage(
        title=row.name,
        status=user_status(row),
        details=[
            ("Email", row.email),
            ("Role", row.role),
            ("Permissions", ", ".join(sorted(row.scopes)) or "none"),
            ("Last sign-in", format_datetime(row.last_login_at, empty="Never signed in")),
            ("Created", format_datetime(row.created_at)),
        ],
        buttons=permitted_buttons(
            (True, roles.USERS_WRITE, "Edit user", "update_user", "primary", row.pk),
            (True, roles.USERS_WRITE, "Reset password", "reset_password", "plain", row.pk),
        ),
    )


def api_key(row: ApiKey) -> DetailPage:
    """Build the page of an API key: owner, scopes and validity."""
    is_active = row.revoked_at is None and (row.expires_at is None or row.expires_at > clock.now())
    return DetailPage(
        title=f"API key {row.name}",
        status=api_key_status(row),
        details=[
            ("Key", row.redacted_token),
            ("Owner", api_key_owner(row)),
            ("Permissions", ", ".join(row.allowed_scopes) or "none"),
            ("Scopes at creation", ", ".join(row.scopes)),
            ("Mode", row.mode),
            ("Created", format_datetime(row.created_at)),
            ("Created by", row.created_by),
            ("Expires", format_datetime(row.expires_at, empty="never")),
            ("Last used", format_datetime(row.last_used_at, empty="never")),
            ("ID", row.pk),
        ],
        buttons=permitted_buttons(
            (is_active, roles.KEYS_WRITE, "Rotate", "rotate_api_key", "primary", row.pk),
            (is_active, roles.KEYS_WRITE, "Revoke", "revoke_api_key", "danger", row.pk),
        ),
    )


def audit_entry(row: AuditEntry) -> DetailPage:
    """Build the page of an audit entry."""
    return DetailPage(
        title=f"{formatting.format_action(row.action)}: {row.subject}",
        details=[
            ("Actor", row.actor),
            ("Time", format_datetime(row.created_at)),
            ("Before", formatting.format_mapping(row.before)),
            ("After", formatting.format_mapping(row.after)),
            ("Request ID", row.request_id or "-"),
        ],
    )
