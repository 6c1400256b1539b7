"""APIs that people enter in the back office: checked like the file's, guarded, and audited."""

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

ENTERED_MAX: Final = 500

log = logs.get(__name__)


class UnknownSource(errors.NotFound):
    """No API of that name was entered."""

    code = "monitor_not_found"


class AddressNotPublic(errors.ValidationError):
    """The address is not one of the public internet; private ones are for the file only."""

    code = "address_not_public"


def checked(told: Mapping[str, Any]) -> HttpMonitorConfig:
    """
    Check what somebody entered.

    :raises BadSource: naming the field; :raises AddressRefused: if the host is an address that is
        refused. A name is looked up when it is asked, each time.
    """
    try:
        api = monitors.api(told, entered=True)
    except InvalidValue as wrong:
        raise InvalidMonitorConfig(wrong.reason, param=wrong.field) from None
    host = urlsplit(api.url).hostname or ""
    if _is_address(host) and not ssrf.is_public(host):
        raise AddressNotPublic(f"{host} is not a public address", param="url")
    return api


def save(*, name: str, told: Mapping[str, Any], active: bool, now: datetime) -> Monitor:
    """
    Enter an API, or change the one of that name; the same again changes nothing.

    :raises BadSource: as `checked` does, and beyond `ENTERED_MAX`; :raises AddressRefused: as there.
    """
    group_commit.require_transaction()
    if not monitors.NAME.fullmatch(name):
        raise InvalidMonitorConfig("small letters, digits, - and _, at most 60", param="name")
    api = checked(told)
    before = Monitor.objects.filter(name=name).first()
    if before is None and Monitor.objects.count() >= ENTERED_MAX:
        raise InvalidMonitorConfig(f"at most {ENTERED_MAX} APIs", param="name")
    after = {"declaration": dict(told), "active": active}
    if before is not None and _told(before) == after:
        return before
    audit_log.record(
        action="source.save",
        subject=name,
        now=now,
        before=_told(before) if before is not None else {},
        after=after,
    )
    values = {
        "url": api.url,
        "interval_seconds": api.interval_seconds,
        "declaration": dict(told),
        "active": active,
        "changed_at": now,
    }
    saved, _ = Monitor.objects.update_or_create(
        name=name,
        defaults=values,
        create_defaults={**values, "created_at": now, "created_by": audit_log.actor()},
    )
    return saved


def remove(*, name: str, now: datetime) -> None:
    """
    Watch it no more; its history goes with its age.

    :raises UnknownSource: if there is none.
    """
    group_commit.require_transaction()
    before = Monitor.objects.filter(name=name).first()
    if before is None:
        raise UnknownSource(f"no API {name!r} was entered")
    audit_log.record(action="source.remove", subject=name, now=now, before=_told(before))
    before.delete()


def active() -> dict[str, HttpMonitorConfig]:
    """The APIs that were entered and are active; one that is right no longer is left out."""
    found = {}
    for row in Monitor.objects.filter(active=True).order_by("name"):
        try:
            found[row.name] = checked(row.declaration)
        except errors.ValidationError as error:  # by the rules of a newer version
            log.warning("source_left_out", source=row.name, error=error)
    return found


def _told(row: Monitor) -> dict[str, object]:
    return {"declaration": row.declaration, "active": row.active}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
