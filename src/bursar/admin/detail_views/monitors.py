"""Pages of APIs that people entered, and of alerts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from bursar import clock, settings
from bursar.access import roles
from bursar.admin.formatting import (
    DetailPage,
    DetailTable,
    DisplayValue,
    format_age,
    format_datetime,
    format_status,
    link,
    link_to,
)
from bursar.admin.permissions import permitted_buttons
from bursar.admin.queries import ROWS_MAX
from bursar.dashboard import history
from bursar.dashboard.alerts import creation
from bursar.dashboard.checks import http_api
from bursar.dashboard.models import Alert, Monitor, SourceState


def api_state(row: Monitor) -> DisplayValue:
    """How it is, as the board has it."""
    if not row.active:
        return format_status("off")
    found = SourceState.objects.filter(key=f"api:{row.name}").first()
    return format_status("waiting" if found is None else found.state)


def watched_api(row: Monitor) -> DetailPage:
    """An API: how it is asked, what it told, and what people were told of it."""
    key, told = f"api:{row.name}", row.declaration
    found = SourceState.objects.filter(key=key).first()
    auth = str(told.get("auth", "none"))
    return DetailPage(
        title=str(told.get("title") or row.name),
        status=api_state(row),
        reason=found.reason if found is not None else "",
        details=[
            ("name", row.name),
            ("address", row.url),
            ("every", format_age(row.interval_seconds)),
            ("asked with", auth if auth == "none" else f"{auth}: {_secret(row.url)}"),
            ("told last", format_datetime(found.as_of) if found is not None else "never"),
            ("entered", format_datetime(row.created_at)),
            ("by", row.created_by),
            ("changed", format_datetime(row.changed_at)),
        ],
        tables=[
            DetailTable(
                "What it told",
                ["value", "is", "level"],
                _readings(found.readings if found is not None else []),
            ),
            DetailTable(
                "Its days", ["day", "value", "lowest", "mean", "highest", "read"], _days(key)
            ),
            DetailTable("What people were told", ["when", "was", "became", "why"], _alerts(key)),
        ],
        buttons=permitted_buttons(
            (True, roles.MONITORS_WRITE, "Change", "edit_monitor", "primary", row.pk),
            (True, roles.MONITORS_WRITE, "Remove", "delete_monitor", "danger", row.pk),
        ),
    )


def _secret(url: str) -> str:
    """Which secret is sent, and whether it is there: never what it is."""
    variable = http_api.secret_of_host(url)
    folder = settings.current.secrets_dir
    there = variable in os.environ or (folder is not None and (folder / variable).is_file())
    return f"{variable} ({'set' if there else 'not set'})"


def _readings(readings: Sequence[Mapping[str, Any]]) -> list[tuple[DisplayValue, ...]]:
    return [
        (
            str(each["name"]),
            _number(each["value"], str(each["unit"])),
            format_status(str(each["level"])),
        )
        for each in readings
    ]


def _number(value: Any, unit: str = "") -> str:
    shown = "no value" if value is None else f"{value:.10g}" if isinstance(value, float) else value
    return f"{shown} {unit}".strip()


def _days(key: str) -> list[tuple[DisplayValue, ...]]:
    since, day = clock.now() - timedelta(days=14), 86_400
    return [
        (
            f"{span.at:%Y-%m-%d}",
            series,
            _number(span.low),
            _number(span.mean),
            _number(span.high),
            f"{span.count:,} times",
        )
        for series in history.series_of(source_key=key)
        for span in history.read(source_key=key, series=series, step_seconds=day, since=since)
    ]


def _alerts(key: str) -> list[tuple[DisplayValue, ...]]:
    rows = Alert.objects.filter(source_key=key).order_by("-number")[:ROWS_MAX]
    return [
        (
            link(row, format_datetime(row.raised_at)),
            format_status(row.before),
            format_status(row.after),
            row.reason or "-",
        )
        for row in rows
    ]


def alert(row: Alert) -> DetailPage:
    """What people were told, and by which channels."""
    entered = Monitor.objects.filter(name=row.source_key.removeprefix("api:")).exists()
    source = link_to("monitor", row.source_key.removeprefix("api:")) if entered else ""
    return DetailPage(
        title=f"{row.title}: {row.before} to {row.after}",
        status=format_status(row.after),
        reason=row.reason,
        details=[
            ("source", source or row.source_key),
            ("number", str(row.number)),
            ("it was", format_status(row.state)),
            ("raised", format_datetime(row.raised_at)),
            *(
                (channel, _delivery(getattr(row, channel)))
                for channel in (creation.WEBHOOK, creation.EMAIL)
            ),
            ("id", row.pk),
        ],
        tables=[DetailTable("What it told", ["value", "is", "level"], _readings(row.readings))],
    )


def _delivery(told: str) -> DisplayValue:
    return {
        creation.OFF: "not set up",
        creation.SENT: format_status("sent"),
        creation.WAITING: format_status("waiting"),
    }[told]
