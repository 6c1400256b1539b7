"""What a decision is, and the small parts of its form."""

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
    What a change did: *message* tells it to the person who sent the form.

    *secret* is shown once and stored nowhere; *lost_secret* says what to do if nobody copied it.
    *back* is the page that the person is led to; empty: the one of the form.
    """

    message: str
    back: str = ""
    secret: str = field(default="", repr=False)
    lost_secret: str = ""


#: A member of a grouped commit: it may be run again, and is committed once.
Change = Callable[[], ActionResult]


@dataclass(frozen=True, slots=True)
class ActionForm:
    """
    One decision before it is taken: *title* and *says* tell what will happen, *back* is where it
    leads.

    *decide* takes the form's values, writes nothing, and returns the change, which runs at most
    once per form: ids, times and secrets are made before, what must hold is checked inside it.
    *picture* makes an SVG.
    """

    title: str
    says: str
    back: str
    form: forms.Form
    label: str
    decide: Callable[[dict[str, Any]], Change]
    danger: bool = False
    picture: Callable[[], str] | None = None


Ask = Callable[[HttpRequest, str], ActionForm]


def text(label: str, *, required: bool = True, rows: int = 0, **more: Any) -> forms.CharField:
    """A field for a text, of *rows* lines where that is more than one."""
    widget = (
        widgets.UnfoldAdminTextareaWidget({"rows": rows})
        if rows
        else widgets.UnfoldAdminTextInputWidget()
    )
    return forms.CharField(label=label, required=required, widget=widget, **more)


def form_of(request: HttpRequest, **fields: forms.Field) -> forms.Form:
    """A form of *fields*, filled in by a POST."""
    made = type("DecisionForm", (forms.Form,), fields)
    form: forms.Form = made(request.POST or None, label_suffix="")
    return form


def page_of(model: str, key: object) -> str:
    """The address of a row's page."""
    return reverse(f"admin:bursar_{model}_change", args=[quote(str(key))])


def number_of(key: str) -> int | None:
    """The key of a row whose keys are numbers; None, which no row has, if *key* is none."""
    return int(key) if key.isdecimal() else None
