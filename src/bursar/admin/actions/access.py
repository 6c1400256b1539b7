"""Actions on API keys and users, and on the own account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold import widgets

from bursar import clock, ids
from bursar.access import api_keys, roles, totp, users
from bursar.access.models import ApiKey, User
from bursar.admin.actions.base import (
    ActionForm,
    ActionResult,
    Change,
    build_form,
    detail_url,
    parse_id,
    text_field,
)
from bursar.admin.middleware import run_in_transaction
from bursar.decorators import current_principal, require_auth

_RECOVER_BY_ROTATION = (
    "If nobody copied the key, rotate it with an overlap of 0 hours to get a new one."
)
_RECOVER_BY_RESET = "If nobody copied the password, reset it again on the page of the user."


@require_auth(roles.KEYS_WRITE)
def create_api_key(request: HttpRequest, _: str) -> ActionForm:
    """Create an API key."""
    form = build_form(
        request,
        name=text_field("Name", max_length=80, help_text="What uses the key, for example webshop."),
        scopes=forms.MultipleChoiceField(
            label="Scopes",
            choices=[(one, one) for one in roles.KEY_SCOPES if one in current_principal().scopes],
            widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget(),
        ),
        days=forms.IntegerField(
            label="Expires after (days)",
            min_value=1,
            max_value=3650,
            initial=365,
            widget=widgets.UnfoldAdminIntegerFieldWidget(),
        ),
    )

    def prepare_change(values: dict[str, Any]) -> Change:
        token, key_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
        outcome = ActionResult(
            f"API key {values['name']}", detail_url("apikey", key_id), token, _RECOVER_BY_ROTATION
        )

        def change() -> ActionResult:
            api_keys.create(
                key_id=key_id,
                token=token,
                name=values["name"],
                scopes=values["scopes"],
                now=now,
                lifetime=timedelta(days=values["days"]),
            )
            return outcome

        return change

    return ActionForm(
        "Create API key",
        "The key is shown once, on the next page, and is not stored. You own it: it never has more "
        "scopes than your role, and it stops working when your account is deactivated.",
        reverse("admin:bursar_apikey_changelist"),
        form,
        "Create key",
        prepare_change,
    )


@require_auth(roles.KEYS_WRITE)
def rotate_api_key(request: HttpRequest, key: str) -> ActionForm:
    """Rotate an API key with an overlap."""
    old = get_object_or_404(ApiKey, pk=key)
    form = build_form(
        request,
        hours=forms.IntegerField(
            label="Overlap (hours)",
            help_text="How long the old key keeps working.",
            min_value=0,
            max_value=720,
            initial=24,
            widget=widgets.UnfoldAdminIntegerFieldWidget(),
        ),
    )

    def prepare_change(values: dict[str, Any]) -> Change:
        token, new_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
        overlap = timedelta(hours=values["hours"])
        outcome = ActionResult(
            f"API key {old.name}", detail_url("apikey", new_id), token, _RECOVER_BY_ROTATION
        )

        def change() -> ActionResult:
            api_keys.rotate(key_id=key, new_id=new_id, token=token, overlap=overlap, now=now)
            return outcome

        return change

    return ActionForm(
        f"Rotate API key {old.name}",
        "The new key is shown once, on the next page, and is not stored. You will own it: your role "
        "must have all scopes of the old key.",
        detail_url("apikey", key),
        form,
        "Rotate",
        prepare_change,
    )


@require_auth(roles.KEYS_WRITE)
def revoke_api_key(request: HttpRequest, key: str) -> ActionForm:
    """Revoke an API key at once."""
    old = get_object_or_404(ApiKey, pk=key)

    def prepare_change(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            api_keys.revoke(key_id=key, now=now)
            return ActionResult(f"API key {old.name} revoked.")

        return change

    return ActionForm(
        f"Revoke API key {old.name}",
        "Requests with this key are rejected from now on. This cannot be undone.",
        detail_url("apikey", key),
        build_form(request),
        "Revoke",
        prepare_change,
        danger=True,
    )


def _role(initial: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(
        label="Role",
        choices=[(role.value, role.value) for role in roles.Role],
        initial=initial,
        widget=widgets.UnfoldAdminSelectWidget(),
    )


@require_auth(roles.USERS_WRITE)
def create_user(request: HttpRequest, _: str) -> ActionForm:
    """Create a user."""
    form = build_form(
        request,
        email=text_field("Email", max_length=200),
        name=text_field("Name", max_length=120),
        role=_role(),
    )

    def prepare_change(values: dict[str, Any]) -> Change:
        password, now = users.make_password(), clock.now()
        hashed = users.hash_password(password)
        outcome = ActionResult(
            f"Password of {values['email']}", return_url, password, _RECOVER_BY_RESET
        )

        def change() -> ActionResult:
            users.create_user(**values, password_hash=hashed, now=now)
            return outcome

        return change

    return_url = reverse("admin:bursar_user_changelist")
    return ActionForm(
        "Add user",
        "A password is generated and shown once, on the next page.",
        return_url,
        form,
        "Add user",
        prepare_change,
    )


def _get_user(key: str) -> User:
    return get_object_or_404(User, pk=parse_id(key))


@require_auth(roles.USERS_WRITE)
def update_user(request: HttpRequest, key: str) -> ActionForm:
    """Change a user's role, or activate or deactivate the account."""
    user = _get_user(key)
    form = build_form(
        request,
        role=_role(user.role),
        active=forms.BooleanField(
            label="Active",
            required=False,
            initial=user.is_active,
            widget=widgets.UnfoldBooleanWidget(),
        ),
    )

    def prepare_change(values: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            users.update_user(
                email=user.email, role=values["role"], is_active=values["active"], now=now
            )
            return ActionResult(f"{user.name} updated.")

        return change

    description = "The change takes effect with the user's next request."
    if count := user.keys.filter(revoked_at__isnull=True).count():
        description += (
            f" The user owns {count} API keys, which lose the scopes that the new role does not have "
            "and are rejected while the account is inactive. Rotate them first to become their owner."
        )
    return ActionForm(
        f"Edit user {user.name}", description, detail_url("user", key), form, "Save", prepare_change
    )


@require_auth(roles.USERS_WRITE)
def reset_password(request: HttpRequest, key: str) -> ActionForm:
    """Reset a user's password and two-factor authentication."""
    user = _get_user(key)

    def prepare_change(_: dict[str, Any]) -> Change:
        new_password, now = users.make_password(), clock.now()
        hashed = users.hash_password(new_password)
        outcome = ActionResult(
            f"Password of {user.email}", return_url, new_password, _RECOVER_BY_RESET
        )

        def change() -> ActionResult:
            users.update_user(email=user.email, password_hash=hashed, now=now)
            totp.disable(email=user.email, now=now)
            return outcome

        return change

    return_url = detail_url("user", key)
    return ActionForm(
        f"Reset password of {user.name}",
        "A new password is generated and shown once, on the next page. Two-factor authentication is "
        "turned off too, and the user's sessions end.",
        return_url,
        build_form(request),
        "Reset password",
        prepare_change,
        danger=True,
    )


def set_up_mfa(request: HttpRequest, _: str) -> ActionForm:
    """Set up one-time codes (TOTP) for the own account."""
    me = request.user
    assert isinstance(me, User)
    form = build_form(request, code=text_field("One-time code", max_length=8))

    def image() -> str:
        return totp.qr_code_svg(run_in_transaction(lambda: totp.begin_enrollment(email=me.email)))

    def prepare_change(values: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            totp.confirm_enrollment(email=me.email, token=values["code"].strip(), now=now)
            return ActionResult(
                "Two-factor authentication is on. You need a one-time code at every sign-in."
            )

        return change

    return ActionForm(
        "Two-factor authentication",
        "Scan the QR code with an authenticator app, then enter the code that it shows.",
        reverse("admin:index"),
        form,
        "Turn on",
        prepare_change,
        image=image,
    )
