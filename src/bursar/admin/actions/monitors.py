"""Decisions about which APIs are watched."""

from __future__ import annotations

import tomllib
from typing import Any

from django import forms
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold import widgets

from bursar import clock
from bursar.access import roles
from bursar.admin.actions.base import (
    ActionForm,
    ActionResult,
    Change,
    build_form,
    detail_url,
    text_field,
)
from bursar.dashboard.checks import http_api
from bursar.dashboard.config import user_monitors
from bursar.dashboard.config.monitors import InvalidMonitorConfig
from bursar.dashboard.models import INTERVAL_SECONDS_MAX, INTERVAL_SECONDS_MIN, Monitor
from bursar.decorators import require_auth

_SAYS = (
    "It is asked by GET, and answers JSON. Its host must be on the public internet. A secret is not "
    "entered here: the host decides which variable is sent to it, and its page names that variable."
)
_LINES = (
    'One value a line, such as: name = "EUR/USD", path = "rates.USD", unit = "USD", '
    "warning_below = 1.05, critical_below = 1.0. A path is a JMESPath expression."
)
_AUTH = ("none", "bearer", "header", "basic")


def _fields(told: dict[str, Any], *, active: bool) -> dict[str, forms.Field]:
    number = widgets.UnfoldAdminIntegerFieldWidget
    return {
        "title": text_field("Title", required=False, max_length=120, initial=told.get("title", "")),
        "group": text_field("Group", required=False, max_length=80, initial=told.get("group", "")),
        "url": text_field("Address", max_length=2000, initial=told.get("url", "")),
        "interval_seconds": forms.IntegerField(
            label="Asked every so many seconds",
            min_value=INTERVAL_SECONDS_MIN,
            max_value=INTERVAL_SECONDS_MAX,
            initial=told.get("interval_seconds", 60),
            widget=number(),
        ),
        "stale_after_seconds": forms.IntegerField(
            label="People are told after so many seconds of silence",
            min_value=0,
            required=False,
            max_value=10 * INTERVAL_SECONDS_MAX,
            initial=told.get("stale_after_seconds", 0),
            help_text="0: three intervals.",
            widget=number(),
        ),
        "auth": forms.ChoiceField(
            label="Sends its secret as",
            choices=[(name, name) for name in _AUTH],
            initial=told.get("auth", "none"),
            widget=widgets.UnfoldAdminSelectWidget(),
        ),
        "header": text_field(
            "Header",
            required=False,
            max_length=60,
            initial=told.get("header", ""),
            help_text="With header: its name, such as X-Api-Key.",
        ),
        "username": text_field(
            "User",
            required=False,
            max_length=100,
            initial=told.get("username", ""),
            help_text="With basic.",
        ),
        "values": text_field(
            "Values",
            required=False,
            rows=8,
            initial=_lines(told.get("values", [])),
            help_text=_LINES,
            max_length=10_000,
        ),
        "active": forms.BooleanField(
            label="Watched", required=False, initial=active, widget=widgets.UnfoldBooleanWidget()
        ),
    }


def _lines(values: list[dict[str, Any]]) -> str:
    return "\n".join(
        ", ".join(f"{name} = {_toml(value)}" for name, value in each.items()) for each in values
    )


def _toml(value: Any) -> str:
    if not isinstance(value, str):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _declared(form: dict[str, Any]) -> dict[str, Any]:
    """What the form tells, as a table of the file would; what is empty is left out."""
    told = {
        name: form[name]
        for name in (
            "title",
            "group",
            "url",
            "interval_seconds",
            "stale_after_seconds",
            "header",
            "username",
        )
        if form[name]
    }
    if form["auth"] != "none":
        told["auth"] = form["auth"]
    values = [
        _value(line, number)
        for number, line in enumerate(form["values"].splitlines(), 1)
        if line.strip()
    ]
    return {**told, "values": values} if values else told


def _value(line: str, number: int) -> dict[str, Any]:
    try:
        told = tomllib.loads(f"value = {{ {line.strip().rstrip(',')} }}")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidMonitorConfig(
            f"line {number} of the values: {error}", param="values"
        ) from None
    value = told.pop("value")
    if told or not isinstance(value, dict):
        raise InvalidMonitorConfig(f"line {number} of the values is more than one", param="values")
    return value


def _save(name: str, form: dict[str, Any], *, is_new: bool) -> Change:
    told, now = _declared(form), clock.now()

    def change() -> ActionResult:
        if is_new and Monitor.objects.filter(name=name).exists():
            raise InvalidMonitorConfig(f"{name} is there already: change it", param="name")
        user_monitors.save(name=name, told=told, active=form["active"], now=now)
        if told.get("auth") and form["active"]:
            secret = http_api.secret_of_host(told["url"])
            return ActionResult(f"{name} is watched; its secret is {secret}.")
        return ActionResult(
            f"{name} is {'watched' if form['active'] else 'kept, and not watched'}."
        )

    return change


@require_auth(roles.MONITORS_WRITE)
def add(request: HttpRequest, _: str) -> ActionForm:
    """Watch an API."""
    name = text_field("Name", max_length=60, help_text="Small letters, digits, - and _.")
    form = build_form(request, name=name, **_fields({}, active=True))

    def decide(values: dict[str, Any]) -> Change:
        return _save(values["name"], values, is_new=True)

    back = reverse("admin:bursar_monitor_changelist")
    return ActionForm("Watch an API", _SAYS, back, form, "Watch it", decide)


@require_auth(roles.MONITORS_WRITE)
def change(request: HttpRequest, key: str) -> ActionForm:
    """Change how an API is watched."""
    row = get_object_or_404(Monitor, pk=key)
    form = build_form(request, **_fields(row.declaration, active=row.active))
    return ActionForm(
        f"Change {row.name}",
        _SAYS,
        detail_url("monitor", key),
        form,
        "Change",
        lambda values: _save(key, values, is_new=False),
    )


@require_auth(roles.MONITORS_WRITE)
def remove(request: HttpRequest, key: str) -> ActionForm:
    """Watch an API no more."""
    row = get_object_or_404(Monitor, pk=key)

    def decide(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            user_monitors.remove(name=key, now=now)
            return ActionResult(f"{row.name} is watched no more.")

        return change

    says = "It leaves the board within seconds. Its history goes with its age; alerts stay."
    back = reverse("admin:bursar_monitor_changelist")
    return ActionForm(
        f"Remove {row.name}", says, back, build_form(request), "Remove", decide, danger=True
    )
