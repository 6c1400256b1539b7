"""Permissions in the back office: the scopes of the signed-in user, and the buttons they allow."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse

from bursar.access.models import User
from bursar.admin.formatting import ActionButton
from bursar.decorators import Unauthenticated, current_principal


def scopes_of(request: HttpRequest) -> frozenset[str]:
    """Return the scopes of the signed-in user; none for anybody else."""
    user = request.user
    return user.scopes if isinstance(user, User) else frozenset()


def permitted_buttons(*candidates: tuple[bool, str, str, str, str, object]) -> list[ActionButton]:
    """
    Return the buttons whose condition holds and whose scope the user has.

    A candidate is (condition, scope, label, action, tone, key of the object).
    """
    try:
        allowed = current_principal().scopes
    except Unauthenticated:
        allowed = frozenset()
    return [
        ActionButton(label, reverse(f"admin:action_{action}", args=[key] if key else []), tone)
        for condition, scope, label, action, tone, key in candidates
        if condition and scope in allowed
    ]
