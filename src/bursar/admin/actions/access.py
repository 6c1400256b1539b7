"""Decisions about who may do what: API keys, people, one's own second factor."""

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
    form_of,
    number_of,
    page_of,
    text,
)
from bursar.admin.middleware import run_in_transaction
from bursar.decorators import current_principal, require_auth

_LOST_API_KEY = (
    "If nobody copied the key, rotate it with an overlap of 0 hours: that makes another one."
)
_LOST_BY_PERSON = "If nobody copied the password, make a new one on the page of the person."


@require_auth(roles.KEYS_WRITE)
def key(request: HttpRequest, _: str) -> ActionForm:
    """Make an API key."""
    form = form_of(
        request,
        name=text("What it is for", max_length=80),
        scopes=forms.MultipleChoiceField(
            label="What it may do",
            choices=[(one, one) for one in roles.KEY_SCOPES if one in current_principal().scopes],
            widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget(),
        ),
        days=forms.IntegerField(
            label="Days it works",
            min_value=1,
            max_value=3650,
            initial=365,
            widget=widgets.UnfoldAdminIntegerFieldWidget(),
        ),
    )

    def decide(values: dict[str, Any]) -> Change:
        token, key_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
        outcome = ActionResult(
            f"API key {values['name']}", page_of("apikey", key_id), token, _LOST_API_KEY
        )

        def change() -> ActionResult:
            api_keys.create(
                key_id=key_id,
                token=token,
                name=values["name"],
                scopes=values["scopes"],
                now=now,
                life=timedelta(days=values["days"]),
            )
            return outcome

        return change

    back = reverse("admin:bursar_apikey_changelist")
    says = (
        "The key is shown once, on the next page, and kept nowhere. It belongs to you: it never does "
        "more than your role allows, and stops when you may no longer sign in."
    )
    return ActionForm("New API key", says, back, form, "Make the key", decide)


@require_auth(roles.KEYS_WRITE)
def rotate(request: HttpRequest, key: str) -> ActionForm:
    """Replace an API key, with an overlap."""
    old = get_object_or_404(ApiKey, pk=key)
    form = form_of(
        request,
        hours=forms.IntegerField(
            label="Hours the old key goes on working",
            min_value=0,
            max_value=720,
            initial=24,
            widget=widgets.UnfoldAdminIntegerFieldWidget(),
        ),
    )

    def decide(values: dict[str, Any]) -> Change:
        token, new_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
        overlap = timedelta(hours=values["hours"])
        outcome = ActionResult(
            f"API key {old.name}", page_of("apikey", new_id), token, _LOST_API_KEY
        )

        def change() -> ActionResult:
            api_keys.rotate(key_id=key, new_id=new_id, token=token, overlap=overlap, now=now)
            return outcome

        return change

    says = (
        "The new key is shown once, on the next page, and kept nowhere. It belongs to you from then "
        "on: your role must allow all that the old key may do."
    )
    return ActionForm(f"Rotate {old.name}", says, page_of("apikey", key), form, "Rotate", decide)


@require_auth(roles.KEYS_WRITE)
def revoke(request: HttpRequest, key: str) -> ActionForm:
    """End an API key."""
    old = get_object_or_404(ApiKey, pk=key)

    def decide(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            api_keys.revoke(key_id=key, now=now)
            return ActionResult(f"{old.name} works no more.")

        return change

    says = "Whoever calls with it is refused from now on. This cannot be undone."
    return ActionForm(
        f"Revoke {old.name}",
        says,
        page_of("apikey", key),
        form_of(request),
        "Revoke",
        decide,
        danger=True,
    )


def _role(initial: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(
        label="Role",
        choices=[(role.value, role.value) for role in roles.Role],
        initial=initial,
        widget=widgets.UnfoldAdminSelectWidget(),
    )


@require_auth(roles.PEOPLE_WRITE)
def add_person(request: HttpRequest, _: str) -> ActionForm:
    """Let somebody in."""
    form = form_of(
        request,
        email=text("E-mail", max_length=200),
        name=text("Name", max_length=120),
        role=_role(),
    )

    def decide(values: dict[str, Any]) -> Change:
        password, now = users.make_password(), clock.now()
        hashed = users.hash_password(password)
        outcome = ActionResult(f"Password of {values['email']}", back, password, _LOST_BY_PERSON)

        def change() -> ActionResult:
            users.create_user(**values, password_hash=hashed, now=now)
            return outcome

        return change

    back = reverse("admin:bursar_user_changelist")
    says = "A password is made and shown once, on the next page."
    return ActionForm("Add a person", says, back, form, "Add", decide)


def _person(key: str) -> User:
    return get_object_or_404(User, pk=number_of(key))


@require_auth(roles.PEOPLE_WRITE)
def person(request: HttpRequest, key: str) -> ActionForm:
    """Change somebody's role, or whether they may sign in."""
    found = _person(key)
    form = form_of(
        request,
        role=_role(found.role),
        active=forms.BooleanField(
            label="May sign in",
            required=False,
            initial=found.is_active,
            widget=widgets.UnfoldBooleanWidget(),
        ),
    )

    def decide(values: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            users.change(
                email=found.email, role=values["role"], is_active=values["active"], now=now
            )
            return ActionResult(f"{found.name} is changed.")

        return change

    says = "What the role allows is in force with the next click of that person."
    if count := found.keys.filter(revoked_at__isnull=True).count():
        says += (
            f" API keys of theirs: {count}. They lose what the new role does not allow, and are "
            "refused while the person may not sign in; rotate them first to take them over."
        )
    return ActionForm(f"Change {found.name}", says, page_of("user", key), form, "Change", decide)


@require_auth(roles.PEOPLE_WRITE)
def password(request: HttpRequest, key: str) -> ActionForm:
    """Make a new password for somebody."""
    found = _person(key)

    def decide(_: dict[str, Any]) -> Change:
        new_password, now = users.make_password(), clock.now()
        hashed = users.hash_password(new_password)
        outcome = ActionResult(f"Password of {found.email}", back, new_password, _LOST_BY_PERSON)

        def change() -> ActionResult:
            users.change(email=found.email, password_hash=hashed, now=now)
            totp.disable(email=found.email, now=now)
            return outcome

        return change

    back = page_of("user", key)
    says = "It is shown once, on the next page. Their second factor is forgotten too."
    return ActionForm(
        f"New password for {found.name}",
        says,
        back,
        form_of(request),
        "Make it",
        decide,
        danger=True,
    )


def own_second_factor(request: HttpRequest, _: str) -> ActionForm:
    """Set up one-time codes for oneself."""
    me = request.user
    assert isinstance(me, User)
    form = form_of(request, code=text("The code the app shows now", max_length=8))

    def picture() -> str:
        return totp.qr_code_svg(run_in_transaction(lambda: totp.begin_enrollment(email=me.email)))

    def decide(values: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            totp.confirm_enrollment(email=me.email, token=values["code"].strip(), now=now)
            return ActionResult("From now on you sign in with a code too.")

        return change

    return ActionForm(
        "Second factor",
        "Scan this with an authenticator app, then enter the code it shows.",
        reverse("admin:index"),
        form,
        "Switch on",
        decide,
        picture=picture,
    )
