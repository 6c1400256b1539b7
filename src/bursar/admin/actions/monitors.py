"""Actions on user-defined monitors: add, edit, delete."""

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

_DESCRIPTION = (
    "Bursar sends GET requests to the URL and reads values from the JSON response. The host must be "
    "on the public internet. Secrets are not entered here: the host decides which variable is sent, "
    "and the page of the monitor names that variable."
)
_VALUES_HELP = (
    'One value per line, such as: name = "EUR/USD", path = "rates.USD", unit = "USD", '
    "warning_below = 1.05, critical_below = 1.0. A path is a JMESPath expression."
)
_AUTH = {
    "none": "None",
    "bearer": "Bearer token",
    "header": "Custom header",
    "basic": "Basic (user name and password)",
}


def _fields(config: dict[str, Any], *, active: bool) -> dict[str, forms.Field]:
    number = widgets.UnfoldAdminIntegerFieldWidget
    return {
        "title": text_field(
            "Title", required=False, max_length=120, initial=config.get("title", "")
        ),
        "group": text_field(
            "Group", required=False, max_length=80, initial=config.get("group", "")
        ),
        "url": text_field("URL", max_length=2000, initial=config.get("url", "")),
        "interval_seconds": forms.IntegerField(
            label="Check interval (seconds)",
            min_value=INTERVAL_SECONDS_MIN,
            max_value=INTERVAL_SECONDS_MAX,
            initial=config.get("interval_seconds", 60),
            widget=number(),
        ),
        "stale_after_seconds": forms.IntegerField(
            label="Alert after (seconds)",
            min_value=0,
            required=False,
            max_value=10 * INTERVAL_SECONDS_MAX,
            initial=config.get("stale_after_seconds", 0),
            help_text="Time without a successful check. 0: three check intervals.",
            widget=number(),
        ),
        "auth": forms.ChoiceField(
            label="Authentication",
            choices=list(_AUTH.items()),
            initial=config.get("auth", "none"),
            widget=widgets.UnfoldAdminSelectWidget(),
        ),
        "header": text_field(
            "Header",
            required=False,
            max_length=60,
            initial=config.get("header", ""),
            help_text="Only for a custom header: its name, such as X-Api-Key.",
        ),
        "username": text_field(
            "User name",
            required=False,
            max_length=100,
            initial=config.get("username", ""),
            help_text="Only for basic authentication.",
        ),
        "values": text_field(
            "Values",
            required=False,
            rows=8,
            initial=_format_values(config.get("values", [])),
            help_text=_VALUES_HELP,
            max_length=10_000,
        ),
        "active": forms.BooleanField(
            label="Active", required=False, initial=active, widget=widgets.UnfoldBooleanWidget()
        ),
    }


def _format_values(values: list[dict[str, Any]]) -> str:
    return "\n".join(
        ", ".join(f"{name} = {_format_toml(value)}" for name, value in each.items())
        for each in values
    )


def _format_toml(value: Any) -> str:
    if not isinstance(value, str):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parse_form(form: dict[str, Any]) -> dict[str, Any]:
    """Return the form as a table of the configuration file, without empty fields."""
    config = {
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
        config["auth"] = form["auth"]
    values = [
        _parse_value(line, number)
        for number, line in enumerate(form["values"].splitlines(), 1)
        if line.strip()
    ]
    return {**config, "values": values} if values else config


def _parse_value(line: str, number: int) -> dict[str, Any]:
    try:
        document = tomllib.loads(f"value = {{ {line.strip().rstrip(',')} }}")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidMonitorConfig(f"line {number}: {error}", param="values") from None
    value = document.pop("value")
    if document or not isinstance(value, dict):
        raise InvalidMonitorConfig(f"line {number}: must be one value", param="values")
    return value


def _save(name: str, form: dict[str, Any], *, is_new: bool) -> Change:
    config, now = _parse_form(form), clock.now()

    def change() -> ActionResult:
        if is_new and Monitor.objects.filter(name=name).exists():
            raise InvalidMonitorConfig(f"monitor {name} already exists", param="name")
        user_monitors.save(name=name, config=config, active=form["active"], now=now)
        if config.get("auth") and form["active"]:
            variable = http_api.secret_variable(config["url"])
            return ActionResult(f"Monitor {name} saved. Its secret is read from {variable}.")
        return ActionResult(
            f"Monitor {name} saved." if form["active"] else f"Monitor {name} saved, not active."
        )

    return change


@require_auth(roles.MONITORS_WRITE)
def add(request: HttpRequest, _: str) -> ActionForm:
    """Add a monitor."""
    name = text_field("Name", max_length=60, help_text="Lowercase letters, digits, - and _.")
    form = build_form(request, name=name, **_fields({}, active=True))

    def prepare_change(values: dict[str, Any]) -> Change:
        return _save(values["name"], values, is_new=True)

    back = reverse("admin:bursar_monitor_changelist")
    return ActionForm("Add monitor", _DESCRIPTION, back, form, "Save", prepare_change)


@require_auth(roles.MONITORS_WRITE)
def change(request: HttpRequest, key: str) -> ActionForm:
    """Edit a monitor."""
    row = get_object_or_404(Monitor, pk=key)
    form = build_form(request, **_fields(row.config, active=row.active))
    return ActionForm(
        f"Edit monitor {row.name}",
        _DESCRIPTION,
        detail_url("monitor", key),
        form,
        "Save",
        lambda values: _save(key, values, is_new=False),
    )


@require_auth(roles.MONITORS_WRITE)
def remove(request: HttpRequest, key: str) -> ActionForm:
    """Delete a monitor."""
    row = get_object_or_404(Monitor, pk=key)

    def prepare_change(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            user_monitors.remove(name=key, now=now)
            return ActionResult(f"Monitor {row.name} deleted.")

        return change

    description = (
        "The monitor disappears from the dashboard within seconds. Its alerts are kept; its history "
        "expires as usual."
    )
    back = reverse("admin:bursar_monitor_changelist")
    return ActionForm(
        f"Delete monitor {row.name}",
        description,
        back,
        build_form(request),
        "Delete",
        prepare_change,
        danger=True,
    )
