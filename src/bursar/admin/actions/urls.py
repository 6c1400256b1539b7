"""
Registry of the actions, and the view that shows and runs them.

The one-time token of the form is the idempotency key of the change, claimed in the change's own
commit: a form submitted twice, even concurrently, runs once and shows the first result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from bursar import clock, errors, ids
from bursar.access import idempotency
from bursar.access.idempotency import StoredResponse
from bursar.access.models import User
from bursar.admin.actions import access, form_tokens, monitors, payments
from bursar.admin.actions.base import ActionForm, ActionFormFactory, ActionResult
from bursar.admin.middleware import run_in_transaction

#: Actions on one object, by their name in the URL.
OBJECT_ACTIONS: dict[str, ActionFormFactory] = {
    "refund_payment": payments.refund_payment,
    "approve_refund": payments.approve_refund,
    "reject_refund": payments.reject_refund,
    "capture_payment": payments.capture_payment,
    "cancel_payment": payments.cancel_payment,
    "resolve_review": payments.resolve_review,
    "retry_job": payments.retry_job,
    "rotate_api_key": access.rotate_api_key,
    "revoke_api_key": access.revoke_api_key,
    "update_user": access.update_user,
    "reset_password": access.reset_password,
    "edit_monitor": monitors.change,
    "delete_monitor": monitors.remove,
}
#: Actions without an object: those that create one, and that on the own account.
GLOBAL_ACTIONS: dict[str, ActionFormFactory] = {
    "create_api_key": access.create_api_key,
    "create_user": access.create_user,
    "set_up_mfa": access.set_up_mfa,
    "create_monitor": monitors.add,
}


def urls(site: Any) -> list[URLPattern]:
    """Return the URL patterns of all actions on *site*."""

    def view(name: str, build: ActionFormFactory) -> Any:
        return site.admin_view(lambda request, key="": action_view(site, request, name, build, key))

    with_key = [
        path(f"actions/{name}/<path:key>/", view(name, build), name=f"action_{name}")
        for name, build in OBJECT_ACTIONS.items()
    ]
    return with_key + [
        path(f"actions/{name}/", view(name, build), name=f"action_{name}")
        for name, build in GLOBAL_ACTIONS.items()
    ]


@dataclass(frozen=True, slots=True)
class FormRequest:
    """A request for the form of *action* on *subject*, by a signed-in user."""

    site: Any
    request: HttpRequest
    action: str
    subject: str
    now: datetime

    @property
    def user_id(self) -> int:
        """Return the id of the signed-in user."""
        user = self.request.user
        assert isinstance(user, User)
        return user.pk

    @property
    def caller(self) -> str:
        """Return the caller that owns the idempotency keys; no caller of the API has this name."""
        return f"form:{self.user_id}"

    @property
    def fingerprint(self) -> str:
        """Return a digest of the submitted fields, without the tokens."""
        ignored = {form_tokens.FIELD, "csrfmiddlewaretoken"}
        submitted = sorted((name, each) for name, each in self.request.POST.lists())
        fields = [each for each in submitted if each[0] not in ignored]
        return ids.digest(self.action, self.subject, json.dumps(fields))

    def new_token(self) -> str:
        """Issue a token for a new form."""
        return form_tokens.issue(
            user_id=self.user_id, action=self.action, subject=self.subject, now=self.now
        )

    def idempotency_key(self) -> str:
        """Return the key in the submitted token. Raises as `form_tokens.idempotency_key_of` does."""
        return form_tokens.idempotency_key_of(
            self.request.POST.get(form_tokens.FIELD, ""),
            user_id=self.user_id,
            action=self.action,
            subject=self.subject,
            now=self.now,
        )


def action_view(
    site: Any, request: HttpRequest, action: str, build: ActionFormFactory, key: str
) -> HttpResponse:
    """Show the form of an action or, on POST, run it: once per form, however often submitted."""
    form_request = FormRequest(site, request, action, key, clock.now())
    try:
        form = build(request, key)
    except Http404:
        # The change itself may have deleted the object.
        if (stored := _find_repeated(form_request)) is None:
            raise
        return _show_repeated(form_request, stored)
    if request.method != "POST":
        return _show_form(form_request, form, form_request.new_token())
    try:
        idempotency_key = form_request.idempotency_key()
    except (form_tokens.InvalidFormToken, form_tokens.FormExpired) as error:
        return _show_form(form_request, form, form_request.new_token(), error)
    token = request.POST[form_tokens.FIELD]
    if not form.form.is_valid():
        return _show_form(form_request, form, token)
    try:
        return _run_change(form_request, form, idempotency_key)
    except errors.IdempotencyKeyReused as error:
        conflict = _find_conflict(form_request, idempotency_key) or error
        return _show_form(form_request, form, form_request.new_token(), conflict)
    except errors.BursarError as error:
        # The token stays: either nothing was written, or the outcome is unknown and a resubmission
        # returns it.
        return _show_form(form_request, form, token, error)


def _run_change(form_request: FormRequest, form: ActionForm, idempotency_key: str) -> HttpResponse:
    change = form.prepare_change(form.form.cleaned_data)
    fingerprint, outcomes = form_request.fingerprint, list[ActionResult]()

    def make() -> StoredResponse:
        outcomes.append(change())
        return _serialize_result(outcomes[-1], form.return_url)

    stored = run_in_transaction(
        lambda: idempotency.run_once(
            caller=form_request.caller,
            key=idempotency_key,
            fingerprint=fingerprint,
            now=form_request.now,
            make=make,
        )
    )
    if stored.replayed:
        return _show_repeated(form_request, stored)
    outcome = outcomes[-1]
    return_url = outcome.return_url or form.return_url
    if outcome.secret:
        return _show_secret(form_request, outcome.message, return_url, secret=outcome.secret)
    messages.success(form_request.request, outcome.message)
    return HttpResponseRedirect(return_url)


def _serialize_result(outcome: ActionResult, form_return_url: str) -> StoredResponse:
    """Return what is stored of a result: never its secret."""
    body = {
        "message": outcome.message,
        "return_url": outcome.return_url or form_return_url,
        "recovery_hint": outcome.recovery_hint,
    }
    return StoredResponse(200 if outcome.secret else 302, json.dumps(body).encode("ascii"))


def _find_repeated(form_request: FormRequest) -> StoredResponse | None:
    """Return the result of the same form submitted before; None without one."""
    if form_request.request.method != "POST":
        return None
    try:
        match = idempotency.find(caller=form_request.caller, key=form_request.idempotency_key())
    except (form_tokens.InvalidFormToken, form_tokens.FormExpired):
        return None
    return match[1] if match is not None and match[0] == form_request.fingerprint else None


def _find_conflict(form_request: FormRequest, idempotency_key: str) -> errors.BursarError | None:
    match = idempotency.find(caller=form_request.caller, key=idempotency_key)
    if match is None:
        return None
    first = json.loads(match[1].body)["message"]
    return form_tokens.FormAlreadySent(
        f"This form was already submitted with other values, and that was carried out: {first} "
        "Nothing else was changed. To submit these values as well, check the form and submit it again."
    )


def _show_repeated(form_request: FormRequest, stored: StoredResponse) -> HttpResponse:
    """Show the first result, marked as such so that nobody takes it for a second one."""
    first = json.loads(stored.body)
    message, return_url = first["message"], first["return_url"]
    if first["recovery_hint"]:
        return _show_secret(form_request, message, return_url, recovery_hint=first["recovery_hint"])
    messages.info(form_request.request, f"Submitted more than once, carried out once: {message}")
    return HttpResponseRedirect(return_url)


def _show_secret(
    form_request: FormRequest,
    title: str,
    return_url: str,
    *,
    secret: str = "",
    recovery_hint: str = "",
) -> HttpResponse:
    context = {
        **form_request.site.each_context(form_request.request),
        "title": title,
        "secret": secret,
        "recovery_hint": recovery_hint,
        "return_url": return_url,
    }
    return TemplateResponse(form_request.request, "bursar/secret.html", context)


def _show_form(
    form_request: FormRequest, form: ActionForm, token: str, error: errors.BursarError | None = None
) -> HttpResponse:
    context = {
        **form_request.site.each_context(form_request.request),
        "title": form.title,
        "action_form": form,
        "image": form.image() if form.image else "",
        "action_error": error,
        "form_token_field": form_tokens.FIELD,
        "form_token": token,
    }
    status = 200 if error is None else error.status or 500
    return TemplateResponse(form_request.request, "bursar/action.html", context, status=status)
