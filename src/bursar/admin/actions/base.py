"""Types of actions, and helpers that build their forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from unfold import widgets


@dataclass(frozen=True, slots=True)
class ActionResult:
    """
    The result of a change: *message* is shown to the user who submitted the form.

    *secret* is shown once and never stored; *recovery_hint* says what to do if nobody copied it.
    *return_url* is the page to redirect to; empty: the form's `return_url`.
    """

    message: str
    return_url: str = ""
    secret: str = field(default="", repr=False)
    recovery_hint: str = ""


#: A member of a grouped commit: it may run more than once, and commits once.
Change = Callable[[], ActionResult]


@dataclass(frozen=True, slots=True)
class ActionForm:
    """
    The confirmation form of one action: *title* and *description* say what it will do.

    *prepare_change* takes the cleaned values, writes nothing, and returns the change, which commits
    at most once per form. Ids, times and secrets are created in it; preconditions are checked in the
    change. *return_url* is the page to redirect to. *image* renders an SVG.
    """

    title: str
    description: str
    return_url: str
    form: forms.Form
    label: str
    prepare_change: Callable[[dict[str, Any]], Change]
    danger: bool = False
    image: Callable[[], str] | None = None


ActionFormFactory = Callable[[HttpRequest, str], ActionForm]


def text_field(label: str, *, required: bool = True, rows: int = 0, **more: Any) -> forms.CharField:
    """Build a text field; a text area of *rows* lines where *rows* is not 0."""
    widget = (
        widgets.UnfoldAdminTextareaWidget({"rows": rows})
        if rows
        else widgets.UnfoldAdminTextInputWidget()
    )
    return forms.CharField(label=label, required=required, widget=widget, **more)


def build_form(request: HttpRequest, **fields: forms.Field) -> forms.Form:
    """Build a form of *fields*, bound to the data of a POST."""
    form_class = type("ActionDataForm", (forms.Form,), fields)
    form: forms.Form = form_class(request.POST or None, label_suffix="")
    return form


def detail_url(model: str, key: object) -> str:
    """Return the URL of a row's page."""
    return reverse(f"admin:bursar_{model}_change", args=[quote(str(key))])


def parse_id(key: str) -> int | None:
    """Return a numeric primary key; None, which matches no row, if *key* is not a number."""
    return int(key) if key.isdecimal() else None
