"""Monitors that users add in the back office: validated, restricted to public addresses, audited."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from bursar import errors, group_commit, logs
from bursar.access import audit_log
from bursar.dashboard.config import monitors, ssrf
from bursar.dashboard.config.monitors import HttpMonitorConfig, InvalidMonitorConfig, InvalidValue
from bursar.dashboard.models import Monitor

USER_MONITORS_MAX: Final = 500

log = logs.get(__name__)


class MonitorNotFound(errors.NotFound):
    """There is no monitor of that name or key."""

    code = "monitor_not_found"


class AddressNotPublic(errors.ValidationError):
    """The address is not public; private addresses are allowed in the configuration file only."""

    code = "address_not_public"


def validate_config(table: Mapping[str, Any]) -> HttpMonitorConfig:
    """
    Validate the configuration of a user-defined monitor.

    A host name is resolved, and its addresses are checked, at every call and not here.

    :raises InvalidMonitorConfig: with the field as `param`.
    :raises AddressNotPublic: if the host is an IP address that is not public.
    """
    try:
        api = monitors.parse_http_monitor(table, is_user_defined=True)
    except InvalidValue as invalid:
        raise InvalidMonitorConfig(invalid.reason, param=invalid.field) from None
    host = urlsplit(api.url).hostname or ""
    if _is_ip_address(host) and not ssrf.is_public(host):
        raise AddressNotPublic(f"{host} is not a public address", param="url")
    return api


def save(*, name: str, config: Mapping[str, Any], active: bool, now: datetime) -> Monitor:
    """
    Create or update the monitor *name*; an equal configuration is no change.

    Needs an open transaction.

    :raises InvalidMonitorConfig: as `validate_config`, and beyond `USER_MONITORS_MAX`.
    :raises AddressNotPublic: as `validate_config`.
    """
    group_commit.require_transaction()
    if not monitors.NAME.fullmatch(name):
        raise InvalidMonitorConfig(monitors.NAME_RULE, param="name")
    api = validate_config(config)
    existing = Monitor.objects.filter(name=name).first()
    if existing is None and Monitor.objects.count() >= USER_MONITORS_MAX:
        raise InvalidMonitorConfig(f"at most {USER_MONITORS_MAX} monitors", param="name")
    after = {"config": dict(config), "active": active}
    if existing is not None and _audited(existing) == after:
        return existing
    audit_log.record(
        action="monitor.save",
        subject=name,
        now=now,
        before=_audited(existing) if existing is not None else {},
        after=after,
    )
    values = {
        "url": api.url,
        "interval_seconds": api.interval_seconds,
        "config": dict(config),
        "active": active,
        "changed_at": now,
    }
    monitor, _ = Monitor.objects.update_or_create(
        name=name,
        defaults=values,
        create_defaults={**values, "created_at": now, "created_by": audit_log.actor()},
    )
    return monitor


def remove(*, name: str, now: datetime) -> None:
    """
    Delete the monitor *name*; its history expires with its age. Needs an open transaction.

    :raises MonitorNotFound: if there is none.
    """
    group_commit.require_transaction()
    monitor = Monitor.objects.filter(name=name).first()
    if monitor is None:
        raise MonitorNotFound(f"monitor {name!r} not found")
    audit_log.record(action="monitor.remove", subject=name, now=now, before=_audited(monitor))
    monitor.delete()


def load_active() -> dict[str, HttpMonitorConfig]:
    """Return the active monitors by name, without those that are no longer valid."""
    configs = {}
    for row in Monitor.objects.filter(active=True).order_by("name"):
        try:
            configs[row.name] = validate_config(row.config)
        except errors.ValidationError as error:  # stored by a version with other rules
            log.warning("monitor_skipped", monitor=row.name, error=error)
    return configs


def _audited(row: Monitor) -> dict[str, object]:
    return {"config": row.config, "active": row.active}


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
