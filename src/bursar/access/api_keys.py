"""
API keys: created, shown once, found by their digest, rotated with an overlap, revoked.

A key is owned by the user who created or rotated it in the back office, or whom the operator named
at the shell; a key created there without an owner is the operator's. Its scopes are bounded by the
owner's role: when created, when rotated, and at each use.

A token is `bk_<mode>_` and 43 characters (256 random bits), so its SHA-256 needs no salt. The prefix
lets secret scanners find leaked keys.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bursar import errors, fields, group_commit, settings, sql
from bursar.access import audit_log, owners, roles, users
from bursar.access.models import ApiKey, User
from bursar.decorators import Principal

FIND = (
    "SELECT k.id, k.scopes, k.mode, k.expires_at, k.revoked_at, k.last_used_at, k.owner_id, "
    "k.lineage, u.role, u.is_active FROM bursar_apikey k LEFT JOIN bursar_user u ON u.id = k.owner_id "
    "WHERE k.digest = %s"
)
RECORD_USE = (
    "UPDATE bursar_apikey SET last_used_at = %s WHERE id = %s "
    "AND (last_used_at IS NULL OR last_used_at < %s)"
)

#: `last_used_at` is accurate to this; writing it on every call would cost a commit each.
LAST_USED_RESOLUTION = timedelta(minutes=1)
DEFAULT_LIFETIME = timedelta(days=365)
_TOKEN = re.compile(r"bk_(test|live)_[A-Za-z0-9_-]{43}")


class ApiKeyNotFound(errors.NotFound):
    """There is no API key with that id."""

    code = "api_key_not_found"


class ApiKeyExpired(errors.Conflict):
    """The key is revoked or expired, or cannot be rotated."""

    code = "api_key_expired"


class ScopeExceedsRole(errors.Denied):
    """The key would have more scopes than the role of its creator or owner."""

    code = "scope_exceeds_role"


@dataclass(frozen=True, slots=True)
class CreatedApiKey:
    """A new key; *token* is shown once and never stored."""

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class AuthenticatedKey:
    """The principal of a token, and whether its last use should be recorded."""

    principal: Principal
    is_last_use_stale: bool


def make_token() -> str:
    """Generate a random token of this installation's mode; call it before the commit."""
    return f"bk_{settings.current.mode}_{secrets.token_urlsafe(32)}"


def create(
    *,
    key_id: str,
    token: str,
    name: str,
    scopes: Iterable[str],
    now: datetime,
    lifetime: timedelta | None = DEFAULT_LIFETIME,
    owner: str = "",
) -> CreatedApiKey:
    """
    Store a key for *token*; it never expires if *lifetime* is None. Needs an open transaction.

    The owner is the signed-in user. A command names the *owner* by e-mail address, or creates a key
    of the operator.

    :raises roles.InvalidScope: for an invalid scope;
    :raises ScopeExceedsRole: if the creator or the owner does not have all of the scopes;
    :raises users.UserNotFound: if there is no user *owner*.
    """
    group_commit.require_transaction()
    checked = roles.check_scopes(scopes)
    fields.validate_text("name", name, 80, required=True)
    new_owner = _resolve_owner(owner)
    _check_owner_scopes(checked, new_owner)
    _check_creator_scopes(checked)
    expires_at = None if lifetime is None else now + lifetime
    return _store(
        ApiKey(id=key_id, name=name, scopes=checked, owner=new_owner, expires_at=expires_at),
        token,
        now,
    )


def default_scopes(*, owner: str = "") -> list[str]:
    """Return every read scope, bounded by the role of the user *owner* (e-mail address)."""
    user = users.get_by_email(owner) if owner else None
    read_scopes = [one for one in roles.KEY_SCOPES if one.endswith(":read")]
    return [one for one in read_scopes if user is None or one in user.scopes]


def _store(key: ApiKey, token: str, now: datetime) -> CreatedApiKey:
    key.digest = _digest(token)
    key.redacted_token = f"{token[:11]}...{token[-4:]}"
    key.mode = settings.current.mode.value
    key.lineage = key.lineage or key.id
    key.created_at, key.created_by = now, audit_log.actor()
    key.save(force_insert=True)
    audit_log.record(
        action="api_key.create",
        subject=key.id,
        now=now,
        after={
            "name": key.name,
            "scopes": key.scopes,
            "rotated_from": key.rotated_from_id,
            "owner": key.owner.email if key.owner else owners.OPERATOR,
        },
    )
    return CreatedApiKey(id=key.id, token=token)


def _resolve_owner(email: str) -> User | None:
    principal = owners.find_principal()
    if principal is None:
        return users.get_by_email(email) if email else None
    user_id = owners.user_id_of_owner(principal.owner)
    user = User.objects.filter(pk=user_id).first() if user_id is not None else None
    if email and (user is None or user.email != email.strip().lower()):
        raise ScopeExceedsRole("the owner of a key is the user who creates it", param="owner")
    return user


def _check_owner_scopes(scopes: Iterable[str], owner: User | None) -> None:
    if owner is not None and not owner.is_active:
        raise ScopeExceedsRole(
            f"{owner.email} is inactive and cannot own an API key", param="owner"
        )
    beyond = [one for one in scopes if owner is not None and one not in owner.scopes]
    if owner is not None and beyond:
        raise ScopeExceedsRole(
            f"the role {owner.role} of {owner.email} does not have {', '.join(beyond)}",
            param="scopes",
        )


def _check_creator_scopes(scopes: Iterable[str]) -> None:
    principal = owners.find_principal()
    beyond = [one for one in scopes if principal is not None and one not in principal.scopes]
    if beyond:
        raise ScopeExceedsRole(
            f"your role does not have {', '.join(beyond)}",
            param="scopes",
        )


def rotate(
    *, key_id: str, new_id: str, token: str, overlap: timedelta, now: datetime
) -> CreatedApiKey:
    """
    Create a successor of *key_id*, which stays valid for *overlap* so that callers can switch.

    The new key has the effective scopes and the idempotency records of the old one. Its owner is the
    user who rotates it, because they see its token; a command keeps the owner. Needs an open
    transaction.

    :raises ApiKeyNotFound: if there is none; :raises ApiKeyExpired: if it is no longer valid;
    :raises ScopeExceedsRole: if the user who rotates it does not have all of its scopes.
    """
    group_commit.require_transaction()
    old = _get_active(key_id, now)
    scopes = old.allowed_scopes
    if not scopes:
        raise ApiKeyExpired(
            f"the role of the owner has none of the scopes of {key_id}; create a new key"
        )
    _check_creator_scopes(scopes)
    new = ApiKey(
        id=new_id,
        name=old.name,
        scopes=scopes,
        owner=_resolve_owner("") or old.owner,
        expires_at=None if old.expires_at is None else now + (old.expires_at - old.created_at),
        lineage=old.lineage,
        rotated_from_id=key_id,
    )
    created = _store(new, token, now)
    expires_at = now + overlap
    if old.expires_at is None or old.expires_at > expires_at:
        ApiKey.objects.filter(id=key_id).update(expires_at=expires_at)
        audit_log.record(
            action="api_key.rotate",
            subject=key_id,
            now=now,
            before={"expires_at": _isoformat(old.expires_at)},
            after={"expires_at": _isoformat(expires_at)},
        )
    return created


def revoke(*, key_id: str, now: datetime) -> None:
    """
    Revoke a key at once; does nothing if it is revoked already. Needs an open transaction.

    :raises ApiKeyNotFound: if there is none.
    """
    group_commit.require_transaction()
    if ApiKey.objects.filter(id=key_id, revoked_at__isnull=True).update(revoked_at=now):
        audit_log.record(action="api_key.revoke", subject=key_id, now=now)
    elif not ApiKey.objects.filter(id=key_id).exists():
        raise ApiKeyNotFound(f"there is no API key {key_id!r}")


def authenticate(token: str, *, now: datetime) -> AuthenticatedKey | None:
    """
    Authenticate a token.

    Returns None if it is unknown, expired, revoked or of the other mode, or its owner is inactive.
    """
    form = _TOKEN.fullmatch(token)
    if form is None or form[1] != settings.current.mode:
        return None
    row = sql.row(FIND, [_digest(token)])
    if row is None:
        return None
    key_id, scopes, mode, expires_at, revoked_at, used_at, owner_id, lineage, role, is_active = row
    expires, used = fields.from_db_datetime(expires_at), fields.from_db_datetime(used_at)
    if mode != settings.current.mode or revoked_at or (expires is not None and expires <= now):
        return None
    allowed = frozenset(fields.from_json(scopes))
    if owner_id is not None:
        if not is_active:
            return None
        allowed &= roles.SCOPES_OF[roles.Role(role)]
    principal = Principal(key_id, allowed, owners.owner_of_user(owner_id), lineage)
    return AuthenticatedKey(principal, used is None or used < now - LAST_USED_RESOLUTION)


def record_use(key_id: str, *, now: datetime) -> None:
    """Record a use of the key, at most once per `LAST_USED_RESOLUTION`. Needs an open transaction."""
    group_commit.require_transaction()
    sql.run(
        RECORD_USE,
        [fields.to_db_datetime(now), key_id, fields.to_db_datetime(now - LAST_USED_RESOLUTION)],
    )


def _get_active(key_id: str, now: datetime) -> ApiKey:
    key = ApiKey.objects.filter(id=key_id).select_related("owner").first()
    if key is None:
        raise ApiKeyNotFound(f"there is no API key {key_id!r}")
    if key.revoked_at or (key.expires_at is not None and key.expires_at <= now):
        raise ApiKeyExpired(f"API key {key_id} is revoked or expired; create a new key")
    if key.mode != settings.current.mode:
        raise ApiKeyExpired(f"API key {key_id} is a {key.mode} key; create a new key")
    if key.owner is not None and not key.owner.is_active:
        raise ApiKeyExpired(
            f"the owner of {key_id}, {key.owner.email}, is inactive; create a new key"
        )
    return key


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def _isoformat(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
