"""Detail pages of user-defined monitors and of alerts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

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
from bursar.dashboard.evaluation import DURATION_SECONDS
from bursar.dashboard.measurement_format import format_value
from bursar.dashboard.models import Alert, Monitor, SourceState

_HISTORY: Final = timedelta(days=14)
_DAY_SECONDS: Final = 86_400


def monitor_state(row: Monitor) -> DisplayValue:
    """Return the state of a monitor on the dashboard; "off" if it is not active."""
    if not row.active:
        return format_status("off")
    current = _source_state(row)
    return format_status("waiting" if current is None else current.state)


def _source_state(row: Monitor) -> SourceState | None:
    return SourceState.objects.filter(key=f"api:{row.name}").first()


def monitor_page(row: Monitor) -> DetailPage:
    """Return the page of a monitor: configuration, measurements, daily history and alerts."""
    config, current = row.config, _source_state(row)
    measurements = current.measurements if current is not None else []
    auth = str(config.get("auth", "none"))
    return DetailPage(
        title=str(config.get("title") or row.name),
        status=monitor_state(row),
        reason=current.reason if current is not None else "",
        details=[
            ("Name", row.name),
            ("URL", row.url),
            ("Check interval", format_age(row.interval_seconds)),
            ("Authentication", auth if auth == "none" else f"{auth}: {_secret(row.url)}"),
            (
                "Last success",
                format_datetime(current.last_success_at) if current is not None else "Never",
            ),
            ("Added", format_datetime(row.created_at)),
            ("Added by", row.created_by),
            ("Last changed", format_datetime(row.changed_at)),
        ],
        tables=[
            DetailTable(
                "Measurements",
                ["Measurement", "Value", "Level"],
                _measurements(measurements),
                empty="No measurements yet.",
                numeric=["Value"],
            ),
            DetailTable(
                "Daily history",
                ["Day (UTC)", "Measurement", "Minimum", "Mean", "Maximum", "Checks"],
                _daily_history(f"api:{row.name}", measurements),
                empty="No history yet.",
                numeric=["Minimum", "Mean", "Maximum", "Checks"],
            ),
            DetailTable(
                "Alerts",
                ["Raised", "Previous level", "New level", "Reason"],
                _alerts(f"api:{row.name}"),
                empty="No alerts.",
            ),
        ],
        buttons=permitted_buttons(
            (True, roles.MONITORS_WRITE, "Edit", "edit_monitor", "primary", row.pk),
            (True, roles.MONITORS_WRITE, "Delete", "delete_monitor", "danger", row.pk),
        ),
    )


def _secret(url: str) -> str:
    """Return the name of the secret, and whether it is set; never its value."""
    variable = http_api.secret_variable(url)
    folder = settings.current.secrets_dir
    is_set = variable in os.environ or (folder is not None and (folder / variable).is_file())
    return f"{variable} ({'set' if is_set else 'not set'})"


def _measurements(measurements: Sequence[Mapping[str, Any]]) -> list[tuple[DisplayValue, ...]]:
    return [
        (
            str(each["name"]),
            _number(each["value"], each["decimals"], str(each["unit"])),
            format_status(str(each["level"])),
        )
        for each in measurements
    ]


def _number(value: Any, decimals: int | None, unit: str = "") -> str:
    return format_value(value, unit=unit, decimals=decimals)


def _daily_history(
    key: str, measurements: Sequence[Mapping[str, Any]]
) -> list[tuple[DisplayValue, ...]]:
    since = clock.now() - _HISTORY
    decimals = {str(each["name"]): each["decimals"] for each in measurements}
    return [
        (
            f"{bucket.starts_at:%Y-%m-%d}",
            "check duration (s)" if series == DURATION_SECONDS else series,
            _number(bucket.min, decimals.get(series)),
            _number(bucket.mean, decimals.get(series)),
            _number(bucket.max, decimals.get(series)),
            f"{bucket.count:,}",
        )
        for series in history.list_series(source_key=key)
        for bucket in history.read(
            source_key=key, series=series, step_seconds=_DAY_SECONDS, since=since
        )
    ]


def _alerts(key: str) -> list[tuple[DisplayValue, ...]]:
    rows = Alert.objects.filter(source_key=key).order_by("-sequence")[:ROWS_MAX]
    return [
        (
            link(row, format_datetime(row.raised_at)),
            format_status(row.previous_level),
            format_status(row.new_level),
            row.reason or "-",
        )
        for row in rows
    ]


def alert_page(row: Alert) -> DetailPage:
    """Return the page of an alert: its content, and the delivery by each channel."""
    name = row.source_key.removeprefix("api:")
    is_user_defined = Monitor.objects.filter(name=name).exists()
    return DetailPage(
        title=f"{row.title}: {row.previous_level} to {row.new_level}",
        status=format_status(row.new_level),
        reason=row.reason,
        details=[
            ("Monitor", link_to("monitor", name) if is_user_defined else row.source_key),
            ("Sequence", str(row.sequence)),
            ("State", format_status(row.state)),
            ("Raised", format_datetime(row.raised_at)),
            ("Webhook", _delivery(row.webhook)),
            ("E-mail", _delivery(row.email)),
            ("ID", row.pk),
        ],
        tables=[
            DetailTable(
                "Measurements",
                ["Measurement", "Value", "Level"],
                _measurements(row.measurements),
                empty="No measurements.",
                numeric=["Value"],
            )
        ],
    )


def _delivery(status: str) -> DisplayValue:
    return {
        creation.OFF: "not configured",
        creation.SENT: format_status("sent"),
        creation.WAITING: format_status("waiting"),
    }[status]
