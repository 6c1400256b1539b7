"""
People: added, given a role, signed in, locked out after too many wrong passwords or codes.

Everything that is written goes through the group commit; what a sign-in changes too.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user, hashers, password_validation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import HttpRequest

from bursar import clock, errors, fields, group_commit, logs
from bursar.access import audit_log, owners, roles, sessions, totp
from bursar.access.models import User
from bursar.decorators import Principal

#: From this many wrong tries in a row on, each locks for twice as long as the one before.
FAILURES_MAX = 5
LOCK_FIRST, LOCK_MAX = timedelta(minutes=1), timedelta(hours=1)

log = logs.get(__name__)


class UserNotFound(errors.NotFound):
    """Nobody signs in with that e-mail address."""

    code = "user_not_found"


class UserAlreadyExists(errors.Conflict):
    """Somebody signs in with that e-mail address already."""

    code = "user_already_exists"


class WeakPassword(errors.ValidationError):
    """The password is too short or too common."""

    code = "weak_password"


@dataclass(frozen=True, slots=True)
class NewUserCredentials:
    """A person and the password to hand over."""

    email: str
    password: str


def make_password() -> str:
    """A new random password of 20 letters (120 bits)."""
    return secrets.token_urlsafe(15)


def hash_password(password: str) -> str:
    """
    The Argon2 hash of a password; costs a tenth of a second, so make it before the commit.

    :raises WeakPassword: if it is too short or too common.
    """
    try:
        password_validation.validate_password(password)
    except DjangoValidationError as error:
        raise WeakPassword(" ".join(error.messages), param="password") from None
    return hashers.make_password(password)


def create_user(*, email: str, name: str, role: str, password_hash: str, now: datetime) -> User:
    """
    Add a person who may sign in.

    Needs an open transaction.

    :raises PersonExists: if the address is taken; :raises roles.UnknownRole: if *role* is none;
    :raises errors.ValidationError: if the address or name is none.
    """
    group_commit.require_transaction()
    email = email.strip().lower()
    if not 3 <= len(email) <= 200 or email.count("@") != 1 or not email.isprintable():
        raise errors.ValidationError("an e-mail address is expected", param="email")
    fields.validate_text("email", email, 200)
    fields.validate_text("name", name, 120, required=True)
    if User.objects.filter(email=email).exists():
        raise UserAlreadyExists(f"{email} signs in already")
    person = User.objects.create(
        email=email,
        name=name,
        role=roles.role_of(role).value,
        password=password_hash,
        created_at=now,
    )
    audit_log.record(
        action="person.add", subject=email, now=now, after={"name": name, "role": role}
    )
    return person


def change(
    *,
    email: str,
    now: datetime,
    role: str | None = None,
    is_active: bool | None = None,
    password_hash: str | None = None,
) -> None:
    """
    Change what is given of a person; a new password or role ends every session of theirs.

    :raises UnknownPerson: if there is none; :raises errors.Conflict: if no admin would be left.
    """
    group_commit.require_transaction()
    person = get_person(email)
    before = {"role": person.role, "is_active": person.is_active}
    person.role = person.role if role is None else roles.role_of(role).value
    person.is_active = person.is_active if is_active is None else is_active
    if password_hash is not None:
        person.password, person.failures, person.locked_until = password_hash, 0, None
    person.save()
    admins = User.objects.filter(role=roles.Role.ADMIN, is_active=True)
    if before["role"] == roles.Role.ADMIN and not admins.exists():
        raise errors.Conflict("somebody must remain an admin")
    after = {"role": person.role, "is_active": person.is_active}
    if password_hash is not None:
        after["credentials_changed"] = True
    audit_log.record(
        action="person.change", subject=person.email, now=now, before=before, after=after
    )


def is_locked(person: User, *, now: datetime) -> bool:
    """Whether nobody may sign in as *person* now, however right the password."""
    return person.locked_until is not None and person.locked_until > now


def record_failed_login(*, email: str, now: datetime) -> None:
    """Count a wrong password or code, and lock the person out when there were too many."""
    group_commit.require_transaction()
    person = User.objects.filter(email=email).first()
    if person is None:
        return
    person.failures += 1
    beyond = person.failures - FAILURES_MAX
    if beyond >= 0:
        person.locked_until = now + min(LOCK_FIRST * 2 ** min(beyond, 10), LOCK_MAX)
        audit_log.record(
            action="person.lock",
            subject=email,
            now=now,
            after={"failures": person.failures, "until": person.locked_until.isoformat()},
        )
    person.save(update_fields=["failures", "locked_until"])


def record_login(*, email: str, now: datetime) -> None:
    """Forget the wrong tries of a person who has proved who they are."""
    group_commit.require_transaction()
    User.objects.filter(email=email).update(failures=0, locked_until=None, signed_in_at=now)


def get_person(email: str) -> User:
    """:raises UnknownPerson: if nobody signs in with that address."""
    person = User.objects.filter(email=email.strip().lower()).first()
    if person is None:
        raise UserNotFound(f"nobody signs in as {email!r}")
    return person


def describe_owner(owner: str) -> str:
    """The e-mail address of the person that *owner* is; *owner* itself where it is none."""
    person_id = owners.person_of_owner(owner)
    found = User.objects.filter(pk=person_id).first() if person_id is not None else None
    return owner if found is None else found.email


def principal_of(person: User) -> Principal:
    """Who acts when *person* does."""
    owner = owners.owner_of_person(person.pk)
    return Principal(f"person:{person.email}", person.scopes, owner)


def of_session(session_key: str) -> Principal | None:
    """Whose a session of the back office is; None where it has ended or would not be let in there."""
    request = HttpRequest()
    request.session = sessions.SessionStore(session_key)
    person = get_user(request)
    if not isinstance(person, User) or not person.is_staff or totp.setup_required(person):
        return None
    return principal_of(person)


class Backend:
    """How Django's sign-in checks a password; a locked person and a wrong one look the same."""

    def authenticate(
        self,
        request: Any,  # noqa: ARG002  (Django's)
        username: str | None = None,
        password: str | None = None,
    ) -> User | None:
        """The person, if the password is right and nobody is locked out."""
        now, email = clock.now(), (username or "").strip().lower()
        person = User.objects.filter(email=email).first()
        # An unknown address costs as much time as a known one.
        encoded = person.password if person else hashers.make_password("nobody")
        right = hashers.check_password(password or "", encoded)
        if person is None or is_locked(person, now=now) or not person.is_active:
            log.warning("sign_in_refused", known=person is not None)
            return None
        if not right:
            group_commit.commits.run_blocking(lambda: record_failed_login(email=email, now=now))
            log.warning("sign_in_failed", person=person.pk)
            return None
        return person

    def get_user(self, user_id: int) -> User | None:
        """The person of a session, unless made inactive since."""
        return User.objects.filter(pk=user_id, is_active=True).first()
