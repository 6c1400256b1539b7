"""
API keys: made, shown once, looked up by their digest, rotated with an overlap, revoked.

A key belongs to the person who made or rotated it in the back office, or whom the operator named at
the shell; one made there for nobody is the operator's. Its scopes are bounded by the owner's role:
when it is made, when it is rotated, and at each use.

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

from bursar import errors, fields, group_commit, settings, sql
from bursar.access import audit_log, owners, roles, users
from bursar.access.models import ApiKey, User
from bursar.decorators import Principal

FIND = (
    "SELECT k.id, k.scopes, k.mode, k.expires_at, k.revoked_at, k.last_used_at, k.owner_id, "
    "k.lineage, p.role, p.is_active FROM bursar_apikey k LEFT JOIN bursar_user p ON p.id = k.owner_id "
    "WHERE k.digest = %s"
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

    code = "api_key_not_found"


class ApiKeyExpired(errors.Conflict):
    """The key has been revoked or has expired."""

    code = "api_key_expired"


class ScopeBeyondRole(errors.Denied):
    """The key would do more than the role of whoever makes it, or of its owner, allows."""

    code = "scope_exceeds_role"


@dataclass(frozen=True, slots=True)
class CreatedApiKey:
    """A new key; *token* is told once and kept nowhere."""

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class AuthenticatedKey:
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
    owner: str = "",
) -> CreatedApiKey:
    """
    Store a key for *token*; *life* None is for ever.

    The key belongs to the person who acts. A command, which nobody signs in for, names its *owner*
    by e-mail address, or makes a key of the operator's. Needs an open transaction.

    :raises roles.UnknownScope: if a scope is none;
    :raises ScopeBeyondRole: if the maker or the owner may not do what it would do;
    :raises users.UserNotFound: if there is no such *owner*.
    """
    group_commit.require_transaction()
    wanted = roles.check_scopes(scopes)
    fields.validate_text("name", name, 80, required=True)
    person = _new_owner(owner)
    _check_owner(wanted, person)
    _check_maker(wanted)
    ends = None if life is None else now + life
    return _store(
        ApiKey(id=key_id, name=name, scopes=wanted, owner=person, expires_at=ends), token, now
    )


def default_scopes(*, owner: str = "") -> list[str]:
    """Every scope that only reads, of those that the person with the address *owner* may have."""
    person = users.get_person(owner) if owner else None
    reading = [one for one in roles.KEY_SCOPES if one.endswith(":read")]
    return [one for one in reading if person is None or one in person.scopes]


def _store(key: ApiKey, token: str, now: datetime) -> CreatedApiKey:
    key.digest = _digest(token)
    key.hint = f"{token[:11]}...{token[-4:]}"
    key.mode = settings.current.mode.value
    key.lineage = key.lineage or key.id
    key.created_at, key.created_by = now, audit_log.actor()
    key.save(force_insert=True)
    audit_log.record(
        action="key.create",
        subject=key.id,
        now=now,
        after={
            "name": key.name,
            "scopes": key.scopes,
            "replaces": key.replaces_id,
            "owner": key.owner.email if key.owner else owners.OPERATOR,
        },
    )
    return CreatedApiKey(id=key.id, token=token)


def _new_owner(email: str) -> User | None:
    principal = owners.find_principal()
    if principal is None:
        return users.get_person(email) if email else None
    person_id = owners.person_of_owner(principal.owner)
    person = User.objects.filter(pk=person_id).first() if person_id is not None else None
    if email and (person is None or person.email != email.strip().lower()):
        raise ScopeBeyondRole("a key belongs to the person who makes it", param="owner")
    return person


def _check_owner(scopes: Iterable[str], person: User | None) -> None:
    if person is not None and not person.is_active:
        raise ScopeBeyondRole(f"{person.email} may not sign in, nor own a key", param="owner")
    beyond = [one for one in scopes if person is not None and one not in person.scopes]
    if person is not None and beyond:
        raise ScopeBeyondRole(
            f"{', '.join(beyond)}: more than the role {person.role} of {person.email} allows",
            param="scopes",
        )


def _check_maker(scopes: Iterable[str]) -> None:
    principal = owners.find_principal()
    beyond = [one for one in scopes if principal is not None and one not in principal.scopes]
    if beyond:
        raise ScopeBeyondRole(
            f"{', '.join(beyond)}: more than you may do; ask somebody whose role allows it",
            param="scopes",
        )


def rotate(
    *, key_id: str, new_id: str, token: str, overlap: timedelta, now: datetime
) -> CreatedApiKey:
    """
    Make a key like *key_id*, which goes on working for *overlap* so that callers can change over.

    The new key has the scopes that the old one has now, and gets the kept answers to its idempotency
    keys. It belongs to the person who rotates it,
    for they see its token; a command leaves the owner as it is.

    :raises UnknownKey: if there is none; :raises KeyEnded: if it works no more;
    :raises ScopeBeyondRole: if it does more than whoever rotates it may.
    """
    group_commit.require_transaction()
    old = _living(key_id, now)
    scopes = old.allowed_scopes
    if not scopes:
        raise ApiKeyExpired(f"the role of its owner allows {key_id} nothing; make a new key")
    _check_maker(scopes)
    new = ApiKey(
        id=new_id,
        name=old.name,
        scopes=scopes,
        owner=_new_owner("") or old.owner,
        expires_at=None if old.expires_at is None else now + (old.expires_at - old.created_at),
        lineage=old.lineage,
        replaces_id=key_id,
    )
    made = _store(new, token, now)
    ends = now + overlap
    if old.expires_at is None or old.expires_at > ends:
        ApiKey.objects.filter(id=key_id).update(expires_at=ends)
        audit_log.record(
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
    group_commit.require_transaction()
    if ApiKey.objects.filter(id=key_id, revoked_at__isnull=True).update(revoked_at=now):
        audit_log.record(action="key.revoke", subject=key_id, now=now)
    elif not ApiKey.objects.filter(id=key_id).exists():
        raise UnknownKey(f"there is no key {key_id!r}")


def authenticate(token: str, *, now: datetime) -> AuthenticatedKey | None:
    """
    Whose *token* is; None for one that is unknown, ended, or of the other mode, and while its owner
    may not sign in.
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
    principal = Principal(key_id, allowed, owners.owner_of_person(owner_id), lineage)
    return AuthenticatedKey(principal, used is None or used < now - USED_WITHIN)


def record_use(key_id: str, *, now: datetime) -> None:
    """Write down that a key was used, unless that was done just now."""
    group_commit.require_transaction()
    sql.run(USED, [fields.to_db_datetime(now), key_id, fields.to_db_datetime(now - USED_WITHIN)])


def _living(key_id: str, now: datetime) -> ApiKey:
    key = ApiKey.objects.filter(id=key_id).select_related("owner").first()
    if key is None:
        raise UnknownKey(f"there is no key {key_id!r}")
    if key.revoked_at or (key.expires_at is not None and key.expires_at <= now):
        raise ApiKeyExpired(f"{key_id} works no more; make a new key")
    if key.mode != settings.current.mode:
        raise ApiKeyExpired(f"{key_id} is of the other mode, {key.mode}; make a new key")
    if key.owner is not None and not key.owner.is_active:
        raise ApiKeyExpired(f"{key_id} is of {key.owner.email}, who is inactive; make a new key")
    return key


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
