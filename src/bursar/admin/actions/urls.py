"""
Which decisions there are, and how one is asked and taken.

The one-time token of the form is the idempotency key of the change, claimed in the change's own
commit: a form that is sent twice, also at the same time, decides once and shows the first result.
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
from bursar.admin.actions.base import ActionForm, ActionResult, Ask
from bursar.admin.middleware import run_in_transaction

#: By the name in the address. Those without a key make something new.
DECISIONS: dict[str, Ask] = {
    "refund": payments.refund,
    "approve": payments.approve,
    "reject": payments.reject,
    "capture": payments.capture,
    "cancel": payments.cancel,
    "resolve": payments.resolve,
    "retry": payments.retry,
    "rotate": access.rotate,
    "revoke": access.revoke,
    "person": access.person,
    "password": access.password,
    "change_watch": monitors.change,
    "remove_watch": monitors.remove,
}
NEW: dict[str, Ask] = {
    "key": access.key,
    "add_person": access.add_person,
    "second_factor": access.own_second_factor,
    "watch": monitors.add,
}


def urls(site: Any) -> list[URLPattern]:
    """The addresses of all decisions, on *site*."""

    def view(name: str, ask: Ask) -> Any:
        return site.admin_view(lambda request, key="": action_view(site, request, name, ask, key))

    with_key = [
        path(f"decide/{name}/<path:key>/", view(name, ask), name=f"decide_{name}")
        for name, ask in DECISIONS.items()
    ]
    return with_key + [
        path(f"decide/{name}/", view(name, ask), name=f"decide_{name}") for name, ask in NEW.items()
    ]


@dataclass(frozen=True, slots=True)
class FormRequest:
    """One request for the form of *action* on *subject*, by a person who is signed in."""

    site: Any
    request: HttpRequest
    action: str
    subject: str
    now: datetime

    @property
    def person_id(self) -> int:
        """The person of the session."""
        person = self.request.user
        assert isinstance(person, User)
        return person.pk

    @property
    def caller(self) -> str:
        """Whose idempotency keys the tokens are; no caller of the API has this name."""
        return f"form:{self.person_id}"

    @property
    def fingerprint(self) -> str:
        """What the form says, by content: every field but the tokens."""
        ignored = {form_tokens.FIELD, "csrfmiddlewaretoken"}
        sent = sorted((name, each) for name, each in self.request.POST.lists())
        fields = [each for each in sent if each[0] not in ignored]
        return ids.digest(self.action, self.subject, json.dumps(fields))

    def new_token(self) -> str:
        """A token for a form that was not sent yet."""
        return form_tokens.issue(
            person_id=self.person_id, action=self.action, subject=self.subject, now=self.now
        )

    def idempotency_key(self) -> str:
        """The key in the token that was sent. Raises what `form_tokens.idempotency_key_of` does."""
        return form_tokens.idempotency_key_of(
            self.request.POST.get(form_tokens.FIELD, ""),
            person_id=self.person_id,
            action=self.action,
            subject=self.subject,
            now=self.now,
        )


def action_view(site: Any, request: HttpRequest, action: str, ask: Ask, key: str) -> HttpResponse:
    """Show the form, or take the decision: once per form, however often it is sent."""
    sent = FormRequest(site, request, action, key, clock.now())
    try:
        asked = ask(request, key)
    except Http404:
        # The change itself may have removed the object.
        if (repeated := _find_repeated(sent)) is None:
            raise
        return _show_repeated(sent, repeated)
    if request.method != "POST":
        return _show_form(sent, asked, sent.new_token())
    try:
        idempotency_key = sent.idempotency_key()
    except (form_tokens.FormTokenRefused, form_tokens.FormExpired) as error:
        return _show_form(sent, asked, sent.new_token(), error)
    token = request.POST[form_tokens.FIELD]
    if not asked.form.is_valid():
        return _show_form(sent, asked, token)
    try:
        return _decide(sent, asked, idempotency_key)
    except errors.IdempotencyKeyReused as error:
        refused = _already_sent(sent, idempotency_key) or error
        return _show_form(sent, asked, sent.new_token(), refused)
    except errors.BursarError as error:
        # The token stays: nothing was written, or nobody knows and the same form finds it out.
        return _show_form(sent, asked, token, error)


def _decide(sent: FormRequest, asked: ActionForm, idempotency_key: str) -> HttpResponse:
    change = asked.decide(asked.form.cleaned_data)
    fingerprint, outcomes = sent.fingerprint, list[ActionResult]()

    def make() -> StoredResponse:
        outcomes.append(change())
        return _stored(outcomes[-1], asked.back)

    stored = run_in_transaction(
        lambda: idempotency.run_once(
            caller=sent.caller,
            key=idempotency_key,
            fingerprint=fingerprint,
            now=sent.now,
            make=make,
        )
    )
    if stored.replayed:
        return _show_repeated(sent, stored)
    outcome = outcomes[-1]
    back = outcome.back or asked.back
    if outcome.secret:
        return _show_secret(sent, outcome.message, back, secret=outcome.secret)
    messages.success(sent.request, outcome.message)
    return HttpResponseRedirect(back)


def _stored(outcome: ActionResult, form_back: str) -> StoredResponse:
    """What is kept of an outcome: never its secret."""
    body = {
        "message": outcome.message,
        "back": outcome.back or form_back,
        "lost_secret": outcome.lost_secret,
    }
    return StoredResponse(200 if outcome.secret else 302, json.dumps(body).encode("ascii"))


def _find_repeated(sent: FormRequest) -> StoredResponse | None:
    """The answer to the same form, sent before; None without one."""
    if sent.request.method != "POST":
        return None
    try:
        found = idempotency.find(caller=sent.caller, key=sent.idempotency_key())
    except (form_tokens.FormTokenRefused, form_tokens.FormExpired):
        return None
    return found[1] if found is not None and found[0] == sent.fingerprint else None


def _already_sent(sent: FormRequest, idempotency_key: str) -> errors.BursarError | None:
    found = idempotency.find(caller=sent.caller, key=idempotency_key)
    if found is None:
        return None
    first = json.loads(found[1].body)["message"]
    return form_tokens.FormAlreadySent(
        f"This form was sent before with other values, and was carried out then: {first} "
        "Nothing more was changed now. To decide this too, check the form and send it again."
    )


def _show_repeated(sent: FormRequest, stored: StoredResponse) -> HttpResponse:
    """The first result again, told apart so that nobody takes it for a second one."""
    first = json.loads(stored.body)
    message, back = first["message"], first["back"]
    if first["lost_secret"]:
        return _show_secret(sent, message, back, lost_secret=first["lost_secret"])
    messages.info(sent.request, f"Sent more than once, carried out once: {message}")
    return HttpResponseRedirect(back)


def _show_secret(
    sent: FormRequest, title: str, back: str, *, secret: str = "", lost_secret: str = ""
) -> HttpResponse:
    context = {
        **sent.site.each_context(sent.request),
        "title": title,
        "secret": secret,
        "lost_secret": lost_secret,
        "back": back,
    }
    return TemplateResponse(sent.request, "bursar/told_once.html", context)


def _show_form(
    sent: FormRequest, asked: ActionForm, token: str, refused: errors.BursarError | None = None
) -> HttpResponse:
    context = {
        **sent.site.each_context(sent.request),
        "title": asked.title,
        "asked": asked,
        "picture": asked.picture() if asked.picture else "",
        "refused": refused,
        "form_token_field": form_tokens.FIELD,
        "form_token": token,
    }
    status = 200 if refused is None else refused.status or 500
    return TemplateResponse(sent.request, "bursar/decide.html", context, status=status)
