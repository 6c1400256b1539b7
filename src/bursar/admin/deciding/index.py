"""Which decisions there are, and how one is asked and taken."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from bursar import errors
from bursar.admin.deciding import access, money, watched
from bursar.admin.deciding.asking import Ask, ToldOnce

#: By the name in the address. Those without a key make something new.
DECISIONS: dict[str, Ask] = {
    "refund": money.refund,
    "approve": money.approve,
    "reject": money.reject,
    "capture": money.capture,
    "cancel": money.cancel,
    "resolve": money.resolve,
    "retry": money.retry,
    "rotate": access.rotate,
    "revoke": access.revoke,
    "person": access.person,
    "password": access.password,
    "change_watch": watched.change,
    "remove_watch": watched.remove,
}
NEW: dict[str, Ask] = {
    "key": access.key,
    "add_person": access.add_person,
    "second_factor": access.own_second_factor,
    "watch": watched.add,
}


def urls(site: Any) -> list[URLPattern]:
    """The addresses of all decisions, on *site*."""

    def view(ask: Ask) -> Any:
        return site.admin_view(lambda request, key="": answer(site, request, ask, key))

    with_key = [
        path(f"decide/{name}/<path:key>/", view(ask), name=f"decide_{name}")
        for name, ask in DECISIONS.items()
    ]
    return with_key + [
        path(f"decide/{name}/", view(ask), name=f"decide_{name}") for name, ask in NEW.items()
    ]


def answer(site: Any, request: HttpRequest, ask: Ask, key: str) -> HttpResponse:
    """Show the form, or take the decision."""
    asked = ask(request, key)
    refused: errors.BursarError | None = None
    if request.method == "POST" and asked.form.is_valid():
        try:
            done = asked.decide(asked.form.cleaned_data)
        except ToldOnce as told:
            context = {**site.each_context(request), "title": told.what, "told": told}
            return TemplateResponse(request, "bursar/told_once.html", context)
        except errors.BursarError as error:
            refused = error
        else:
            messages.success(request, done)
            return HttpResponseRedirect(asked.back)
    context = {
        **site.each_context(request),
        "title": asked.title,
        "asked": asked,
        "refused": refused,
    }
    status = 200 if refused is None else refused.status or 500
    return TemplateResponse(request, "bursar/decide.html", context, status=status)
