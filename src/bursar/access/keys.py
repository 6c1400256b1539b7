"""
API keys: made, shown once, looked up by their digest, rotated with an overlap, revoked.

A token is `bk_<mode>_` and 43 letters (256 random bits), so its SHA-256 cannot be guessed back and
needs no salt; that it begins like this lets secret scanners find one that leaked.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bursar import errors, fields, groupcommit, settings, sql
from bursar.access import auditing, roles
from bursar.access.models import ApiKey
from bursar.decorators import Principal

FIND = (
    "SELECT id, scopes, mode, expires_at, revoked_at, last_used_at FROM bursar_apikey "
    "WHERE digest = %s"
)
USED = (
    "UPDATE bursar_apikey SET last_used_at = %s WHERE id = %s "
    "AND (last_used_at IS NULL OR last_used_at < %s)"
)

#: `last_used_at` is right to within this; writing it on every call would cost a commit each.
USED_WITHIN = timedelta(minutes=1)
DEFAULT_LIFE = timedelta(days=365)
_TOKEN = re.compile(r"bk_(test|live)_[A-Za-z0-9_-]{43}")


class UnknownKey(errors.NotFound):
    """There is no API key of that id."""

    code = "unknown_key"


class KeyEnded(errors.Conflict):
    """The key has been revoked or has expired."""

    code = "key_ended"


@dataclass(frozen=True, slots=True)
class Made:
    """A new key; *token* is told once and kept nowhere."""

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class Known:
    """Whose a token is, and whether its last use should be written down."""

    principal: Principal
    stale: bool


def make_token() -> str:
    """A new random token of this installation's mode; decide it before the commit."""
    return f"bk_{settings.current.mode}_{secrets.token_urlsafe(32)}"


def create(
    *,
    key_id: str,
    token: str,
    name: str,
    scopes: Iterable[str],
    now: datetime,
    life: timedelta | None = DEFAULT_LIFE,
    replaces: str | None = None,
) -> Made:
    """
    Store a key for *token*; *life* None is for ever.

    Needs an open transaction.

    :raises roles.UnknownScope: if a scope is none.
    """
    groupcommit.require_transaction()
    wanted = roles.check_scopes(scopes)
    fields.check_text("name", name, 80, required=True)
    ApiKey.objects.create(
        id=key_id,
        name=name,
        digest=_digest(token),
        hint=f"{token[:11]}...{token[-4:]}",
        mode=settings.current.mode.value,
        scopes=wanted,
        created_at=now,
        created_by=auditing.actor(),
        expires_at=None if life is None else now + life,
        replaces_id=replaces,
    )
    auditing.write(
        action="key.create",
        subject=key_id,
        now=now,
        after={"name": name, "scopes": wanted, "replaces": replaces},
    )
    return Made(id=key_id, token=token)


def rotate(*, key_id: str, new_id: str, token: str, overlap: timedelta, now: datetime) -> Made:
    """
    Make a key like *key_id*, which goes on working for *overlap* so that callers can change over.

    :raises UnknownKey: if there is none; :raises KeyEnded: if it works no more.
    """
    groupcommit.require_transaction()
    old = _living(key_id, now)
    life = None if old.expires_at is None else old.expires_at - old.created_at
    made = create(
        key_id=new_id,
        token=token,
        name=old.name,
        scopes=old.scopes,
        now=now,
        life=life,
        replaces=key_id,
    )
    ends = now + overlap
    if old.expires_at is None or old.expires_at > ends:
        ApiKey.objects.filter(id=key_id).update(expires_at=ends)
        auditing.write(
            action="key.rotate",
            subject=key_id,
            now=now,
            before={"expires_at": _told(old.expires_at)},
            after={"expires_at": _told(ends)},
        )
    return made


def revoke(*, key_id: str, now: datetime) -> None:
    """
    End a key at once; repeating it changes nothing.

    :raises UnknownKey: if there is none.
    """
    groupcommit.require_transaction()
    if ApiKey.objects.filter(id=key_id, revoked_at__isnull=True).update(revoked_at=now):
        auditing.write(action="key.revoke", subject=key_id, now=now)
    elif not ApiKey.objects.filter(id=key_id).exists():
        raise UnknownKey(f"there is no key {key_id!r}")


def find(token: str, *, now: datetime) -> Known | None:
    """Whose *token* is; None for one that is unknown, ended, or of the other mode."""
    form = _TOKEN.fullmatch(token)
    if form is None or form[1] != settings.current.mode:
        return None
    row = sql.row(FIND, [_digest(token)])
    if row is None:
        return None
    key_id, scopes, mode, expires_at, revoked_at, used_at = row
    expires, used = fields.utc(expires_at), fields.utc(used_at)
    if mode != settings.current.mode or revoked_at or (expires is not None and expires <= now):
        return None
    principal = Principal(key_id, frozenset(fields.from_json(scopes)))
    return Known(principal, used is None or used < now - USED_WITHIN)


def used(key_id: str, *, now: datetime) -> None:
    """Write down that a key was used, unless that was done just now."""
    groupcommit.require_transaction()
    sql.run(USED, [fields.at(now), key_id, fields.at(now - USED_WITHIN)])


def _living(key_id: str, now: datetime) -> ApiKey:
    key = ApiKey.objects.filter(id=key_id).first()
    if key is None:
        raise UnknownKey(f"there is no key {key_id!r}")
    if key.revoked_at or (key.expires_at is not None and key.expires_at <= now):
        raise KeyEnded(f"{key_id} works no more; make a new key")
    return key


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
