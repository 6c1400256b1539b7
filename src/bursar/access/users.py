"""
User accounts: creation, roles, sign-in, and lock-out after failed attempts.

Every write goes through the group commit, those of a sign-in included.
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

#: From this many failed sign-ins in a row, each locks the account for twice as long as the last.
FAILED_LOGINS_MAX = 5
LOCK_FIRST, LOCK_MAX = timedelta(minutes=1), timedelta(hours=1)

log = logs.get(__name__)


class UserNotFound(errors.NotFound):
    """There is no user with that e-mail address."""

    code = "user_not_found"


class UserAlreadyExists(errors.Conflict):
    """There is a user with that e-mail address already."""

    code = "user_already_exists"


class WeakPassword(errors.ValidationError):
    """The password is too short or too common."""

    code = "weak_password"


@dataclass(frozen=True, slots=True)
class NewUserCredentials:
    """The credentials of a new user."""

    email: str
    password: str


def make_password() -> str:
    """Generate a random password of 20 characters (120 bits)."""
    return secrets.token_urlsafe(15)


def hash_password(password: str) -> str:
    """
    Hash a password with Argon2. Takes about 0.1 s: call it before the commit.

    :raises WeakPassword: if it is too short or too common.
    """
    try:
        password_validation.validate_password(password)
    except DjangoValidationError as error:
        raise WeakPassword(" ".join(error.messages), param="password") from None
    return hashers.make_password(password)


def create_user(*, email: str, name: str, role: str, password_hash: str, now: datetime) -> User:
    """
    Create an active user. Needs an open transaction.

    :raises UserAlreadyExists: if the address is taken; :raises roles.InvalidRole: for an invalid role;
    :raises errors.ValidationError: for an invalid address or name.
    """
    group_commit.require_transaction()
    email = email.strip().lower()
    if not 3 <= len(email) <= 200 or email.count("@") != 1 or not email.isprintable():
        raise errors.ValidationError("email is not a valid e-mail address", param="email")
    fields.validate_text("email", email, 200)
    fields.validate_text("name", name, 120, required=True)
    if User.objects.filter(email=email).exists():
        raise UserAlreadyExists(f"user {email} already exists")
    user = User.objects.create(
        email=email,
        name=name,
        role=roles.parse_role(role).value,
        password=password_hash,
        created_at=now,
    )
    audit_log.record(
        action="user.create", subject=email, now=now, after={"name": name, "role": role}
    )
    return user


def update_user(
    *,
    email: str,
    now: datetime,
    role: str | None = None,
    is_active: bool | None = None,
    password_hash: str | None = None,
) -> None:
    """
    Change the given attributes of a user; a new password ends the user's sessions.

    Needs an open transaction.

    :raises UserNotFound: if there is none; :raises errors.Conflict: if no active admin would remain.
    """
    group_commit.require_transaction()
    user = get_by_email(email)
    before = {"role": user.role, "is_active": user.is_active}
    user.role = user.role if role is None else roles.parse_role(role).value
    user.is_active = user.is_active if is_active is None else is_active
    if password_hash is not None:
        user.password, user.failed_login_count, user.locked_until = password_hash, 0, None
    user.save()
    admins = User.objects.filter(role=roles.Role.ADMIN, is_active=True)
    if before["role"] == roles.Role.ADMIN and not admins.exists():
        raise errors.Conflict("at least one active user must have the role admin")
    after = {"role": user.role, "is_active": user.is_active}
    if password_hash is not None:
        after["credentials_changed"] = True
    audit_log.record(action="user.update", subject=user.email, now=now, before=before, after=after)


def is_locked(user: User, *, now: datetime) -> bool:
    """Return whether the account is locked after failed sign-ins."""
    return user.locked_until is not None and user.locked_until > now


def record_failed_login(*, email: str, now: datetime) -> None:
    """Count a failed sign-in; lock the account from `FAILED_LOGINS_MAX` on. Needs an open transaction."""
    group_commit.require_transaction()
    user = User.objects.filter(email=email).first()
    if user is None:
        return
    user.failed_login_count += 1
    beyond = user.failed_login_count - FAILED_LOGINS_MAX
    if beyond >= 0:
        user.locked_until = now + min(LOCK_FIRST * 2 ** min(beyond, 10), LOCK_MAX)
        audit_log.record(
            action="user.lock",
            subject=email,
            now=now,
            after={
                "failed_login_count": user.failed_login_count,
                "locked_until": user.locked_until.isoformat(),
            },
        )
    user.save(update_fields=["failed_login_count", "locked_until"])


def record_login(*, email: str, now: datetime) -> None:
    """Reset the failed sign-ins and record the time. Needs an open transaction."""
    group_commit.require_transaction()
    User.objects.filter(email=email).update(
        failed_login_count=0, locked_until=None, last_login_at=now
    )


def get_by_email(email: str) -> User:
    """Return the user with that address, ignoring case. Raises `UserNotFound` if there is none."""
    user = User.objects.filter(email=email.strip().lower()).first()
    if user is None:
        raise UserNotFound(f"there is no user {email!r}")
    return user


def describe_owner(owner: str) -> str:
    """Return the e-mail address of the user that *owner* is; *owner* itself if it is not a user."""
    user_id = owners.user_id_of_owner(owner)
    user = User.objects.filter(pk=user_id).first() if user_id is not None else None
    return owner if user is None else user.email


def principal_of(user: User) -> Principal:
    """Return the principal of *user*."""
    owner = owners.owner_of_user(user.pk)
    return Principal(f"user:{user.email}", user.scopes, owner)


def principal_of_session(session_key: str) -> Principal | None:
    """Return the principal of a back-office session; None if it has expired or is not allowed in."""
    request = HttpRequest()
    request.session = sessions.SessionStore(session_key)
    user = get_user(request)
    if not isinstance(user, User) or not user.is_staff or totp.setup_required(user):
        return None
    return principal_of(user)


class Backend:
    """Django authentication backend; the caller cannot tell a locked account from a wrong password."""

    def authenticate(
        self,
        request: Any,  # noqa: ARG002  (Django's)
        username: str | None = None,
        password: str | None = None,
    ) -> User | None:
        """Return the user if the password is correct and the account is active and not locked."""
        now, email = clock.now(), (username or "").strip().lower()
        user = User.objects.filter(email=email).first()
        # An unknown address takes as long as an existing one.
        encoded = user.password if user else hashers.make_password("nobody")
        is_correct = hashers.check_password(password or "", encoded)
        if user is None or is_locked(user, now=now) or not user.is_active:
            log.warning("login_blocked", user_exists=user is not None)
            return None
        if not is_correct:
            group_commit.commits.run_blocking(lambda: record_failed_login(email=email, now=now))
            log.warning("login_failed", user_id=user.pk)
            return None
        return user

    def get_user(self, user_id: int) -> User | None:
        """Return the user of a session; None once inactive."""
        return User.objects.filter(pk=user_id, is_active=True).first()
