"""Tables of users, API keys, idempotency records and the audit log."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q

from bursar import ids
from bursar.access import roles
from bursar.fields import IdField


class UserManager(BaseUserManager["User"]):
    """Finds users by e-mail address, ignoring case."""

    def get_by_natural_key(self, email: str | None) -> User:
        """Return the user with the address *email*."""
        return self.get(email=(email or "").strip().lower())


class User(AbstractBaseUser):
    """
    A user of the back office.

    Guarantees: *email* is unique and in lower case; *role* alone decides the scopes. Users are never
    deleted, because the audit log names them: they are made inactive.
    """

    #: Django writes this at every sign-in outside the group commit; *last_login_at* replaces it.
    last_login = None

    email = models.CharField(max_length=200, unique=True)
    name = models.CharField(max_length=120)
    role = models.CharField(
        max_length=12, choices=[(role.value, role.value) for role in roles.Role]
    )
    is_active = models.BooleanField(default=True)
    failed_login_count = models.IntegerField(default=0)  # since the last successful one
    locked_until = models.DateTimeField(null=True)
    last_login_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    objects = UserManager()

    USERNAME_FIELD = "email"

    class Meta:
        constraints = (
            models.CheckConstraint(name="user_role_valid", condition=Q(role__in=[*roles.Role])),
        )

    def __str__(self) -> str:
        return str(self.name)

    @property
    def scopes(self) -> frozenset[str]:
        """Return the scopes of the role; none while inactive."""
        return roles.SCOPES_OF[roles.Role(self.role)] if self.is_active else frozenset()

    # Required by Django's admin.

    @property
    def is_staff(self) -> bool:
        """Return whether the user may sign in to the back office."""
        return bool(self.is_active)

    is_superuser = False

    def has_perm(self, perm: str, obj: Any = None) -> bool:  # noqa: ARG002  (Django's)
        """Return False: the back office checks scopes, not Django's permissions."""
        return False

    def has_module_perms(self, app_label: str) -> bool:  # noqa: ARG002  (Django's)
        """Return whether the user sees the app in the menu."""
        return bool(self.is_active)

    def get_full_name(self) -> str:
        """Return the name shown in the account menu."""
        return str(self.name)

    def get_short_name(self) -> str:
        """Return the name that Django shows in greetings."""
        return str(self.name)


class ApiKey(models.Model):
    """
    A key of the public API.

    Guarantees: only the SHA-256 of the token is stored; *mode* is the installation's; a key is valid
    from its creation until *expires_at* or *revoked_at*, whichever is first, and only while its
    owner is active. Its effective scopes are those of *scopes* that the owner's role has at that
    time. *owner* is None for a key of the operator, created at the shell without an owner. *lineage*
    is the id of the first key of a chain of rotations, its own id for a key that was not rotated
    from another; all keys of a lineage have the same mode.
    """

    id = IdField(ids.API_KEY)
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)
    redacted_token = models.CharField(max_length=24)  # the first and last characters
    mode = models.CharField(max_length=4)
    scopes = models.JSONField()
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=120)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    owner = models.ForeignKey(User, models.PROTECT, null=True, related_name="keys")
    lineage = models.CharField(max_length=40)
    rotated_from = models.ForeignKey("self", models.PROTECT, null=True, related_name="rotated_to")

    class Meta:
        verbose_name = "API key"
        constraints = (
            models.CheckConstraint(
                name="api_key_mode_valid", condition=Q(mode__in=["test", "live"])
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.redacted_token})"

    @property
    def allowed_scopes(self) -> list[str]:
        """Return the effective scopes; none while the owner is inactive."""
        owner = self.owner
        return [one for one in self.scopes if owner is None or one in owner.scopes]


class IdempotencyRecord(models.Model):
    """
    The stored response to one `Idempotency-Key` of one caller.

    *caller* is the lineage of an API key, so that a rotated key is the same caller, or `form:` and
    the id of a user of the back office, whose keys are the tokens of forms. Guarantees: it commits
    with its effect; one key of a caller is one request. Pruned after a day.
    """

    caller = models.CharField(max_length=40)
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=32)  # of method, path and body
    status = models.SmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=b"")
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(name="idempotency_record_unique", fields=["caller", "key"]),
        )

    def __str__(self) -> str:
        return f"{self.caller} {self.key}"


class AuditEntry(models.Model):
    """
    One change: actor, action, subject, and the values before and after.

    Guarantees: it commits with the change; it is never changed or deleted.
    """

    created_at = models.DateTimeField(db_index=True)
    actor = models.CharField(
        max_length=200
    )  # `user:EMAIL`, the id of an API key, `cli:NAME` or `bursar`
    action = models.CharField(max_length=40)  # such as `refund.create`
    subject = models.CharField(max_length=160, db_index=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    request_id = models.CharField(max_length=80, default="")

    class Meta:
        verbose_name_plural = "audit log"

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"
