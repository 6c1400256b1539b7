"""Tables of access."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q

from bursar import ids
from bursar.access import roles
from bursar.fields import IdField


class UserManager(BaseUserManager["User"]):
    """People are found by their e-mail address, however its letters are written."""

    def get_by_natural_key(self, email: str | None) -> User:
        """The person who signs in as *email*."""
        return self.get(email=(email or "").strip().lower())


class User(AbstractBaseUser):
    """
    Somebody who signs in to the back office.

    Guarantees: *email* is unique and in lower case; *role* alone decides what a person may do.
    People are never deleted, for the audit trail names them: they are made inactive.
    """

    #: Django writes this on every sign-in, past the group commit; ours is *signed_in_at*.
    last_login = None

    email = models.CharField(max_length=200, unique=True)
    name = models.CharField(max_length=120)
    role = models.CharField(
        max_length=12, choices=[(role.value, role.value) for role in roles.Role]
    )
    is_active = models.BooleanField(default=True)
    failures = models.IntegerField(default=0)  # wrong passwords or codes since the last right one
    locked_until = models.DateTimeField(null=True)
    signed_in_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    objects = UserManager()

    USERNAME_FIELD = "email"

    class Meta:
        verbose_name_plural = "people"
        constraints = (
            models.CheckConstraint(name="person_role_known", condition=Q(role__in=[*roles.Role])),
        )

    def __str__(self) -> str:
        return str(self.name)

    @property
    def scopes(self) -> frozenset[str]:
        """What the person may do; nothing once inactive."""
        return roles.SCOPES_OF[roles.Role(self.role)] if self.is_active else frozenset()

    # What Django's admin asks for.

    @property
    def is_staff(self) -> bool:
        """Whether the back office lets the person in at all."""
        return bool(self.is_active)

    is_superuser = False

    def has_perm(self, perm: str, obj: Any = None) -> bool:  # noqa: ARG002  (Django's)
        """Nobody has Django's own permissions: the back office asks for scopes."""
        return False

    def has_module_perms(self, app_label: str) -> bool:  # noqa: ARG002  (Django's)
        """Whether the person sees anything of an app in the menu."""
        return bool(self.is_active)

    def get_full_name(self) -> str:
        """As the page's corner shows it."""
        return str(self.name)

    def get_short_name(self) -> str:
        """As Django greets."""
        return str(self.name)


class ApiKey(models.Model):
    """
    A secret that programs call the public API with.

    Guarantees: only the SHA-256 of the token is kept; *mode* is the installation's; a key works
    from its creation until *expires_at* or *revoked_at*, whichever is first, and only while its
    owner may sign in. Its scopes are those of *scopes* that the owner's role has at that time.
    *owner* is None for a key of the operator, made at the shell for no person. *lineage* is the id
    of the first key of the chain of rotations, its own for one that replaces none; all keys of a
    lineage are of one mode.
    """

    id = IdField(ids.API_KEY)
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=24)  # how the token begins and ends, for people
    mode = models.CharField(max_length=4)
    scopes = models.JSONField()
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=120)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    owner = models.ForeignKey(User, models.PROTECT, null=True, related_name="keys")
    lineage = models.CharField(max_length=40)
    replaces = models.ForeignKey("self", models.PROTECT, null=True, related_name="replaced_by")

    class Meta:
        verbose_name = "API key"
        constraints = (
            models.CheckConstraint(
                name="api_key_mode_known", condition=Q(mode__in=["test", "live"])
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.hint})"

    @property
    def allowed_scopes(self) -> list[str]:
        """The scopes that the key has now; none while its owner is inactive."""
        owner = self.owner
        return [one for one in self.scopes if owner is None or one in owner.scopes]


class IdempotencyRecord(models.Model):
    """
    The answer that was given to one `Idempotency-Key` of one caller, to be given again.

    *caller* is the lineage of an API key, so that a rotated key is the same caller, or `form:` and
    the number of a person of the back office, whose keys are those of forms. Guarantees: it commits
    with what it tells of; one caller's key is one request. Pruned a day after it was given.
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
            models.UniqueConstraint(name="idempotent_answer_once", fields=["caller", "key"]),
        )

    def __str__(self) -> str:
        return f"{self.caller} {self.key}"


class AuditEntry(models.Model):
    """
    One thing that somebody changed: who, what, before and after.

    Guarantees: it commits with the change; never changed or deleted.
    """

    at = models.DateTimeField(db_index=True)
    actor = models.CharField(max_length=200)  # `person:...`, `key:...` or `cli:...`
    action = models.CharField(max_length=40)  # such as `refund.open`
    subject = models.CharField(max_length=160, db_index=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    request_id = models.CharField(max_length=80, default="")

    class Meta:
        verbose_name_plural = "audit trail"

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"
