"""HTML pages: the dashboard, which its script fills, and the public status page."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from bursar.accesslog.output import formatting
from bursar.dashboard.live_state import SourceStatus, State

#: The scripts and styles of the pages; they load nothing from other hosts.
STATIC: Final = Path(__file__).parent / "static"
#: No inline scripts or styles, and no conversion of text to script (Trusted Types).
CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

_DASHBOARD: Final = (STATIC / "dashboard.html").read_text("utf-8")
_STATUS: Final = (STATIC / "status.html").read_text("utf-8")
#: The public text of each state, worst first. A warning is internal.
_PUBLIC: Final[dict[State, str]] = {
    "failed": "Outage",
    "critical": "Degraded",
    "stale": "Unknown",
    "warning": "Operational",
    "ok": "Operational",
}
#: The headline of the status page, by the text of the worst state.
_HEADLINES: Final = {
    "Outage": "Some systems are down",
    "Degraded": "Some systems are degraded",
    "Unknown": "The status of some systems is unknown",
    "Operational": "All systems operational",
}
_WORST_FIRST: Final = list(_PUBLIC)


def dashboard_page(*, mode: str) -> str:
    """Return the page of the dashboard without tiles; *mode* is test or live."""
    return _DASHBOARD.replace("{mode}", html.escape(mode))


def status_page(statuses: Iterable[SourceStatus], *, groups: Collection[str], now: datetime) -> str:
    """Return the public page: title and public state of each monitor in *groups*, without values."""
    by_group: dict[str, list[SourceStatus]] = {group: [] for group in groups}
    for status in statuses:
        if status.group in by_group:
            by_group[status.group].append(status)
    listed = [status for each in by_group.values() for status in each]
    worst = min(listed, key=lambda status: _WORST_FIRST.index(status.state), default=None)
    headline = "No status available yet" if worst is None else _HEADLINES[_PUBLIC[worst.state]]
    return (
        _STATUS.replace("{state}", "none" if worst is None else _class(worst))
        .replace("{headline}", headline)
        .replace("{at}", f"{now:%Y-%m-%dT%H:%M:%SZ}")
        .replace("{utc}", f"{now:%Y-%m-%d %H:%M} UTC")
        .replace("{groups}", "".join(_group(*each) for each in by_group.items() if each[1]))
    )


def _group(name: str, statuses: list[SourceStatus]) -> str:
    rows = "".join(
        f'<li class="s-{_class(status)}"><span dir="auto">{_text(status.title)}</span>'
        f"<strong>{_PUBLIC[status.state]}</strong></li>"
        for status in statuses
    )
    return f'<section><h2 dir="auto">{_text(name)}</h2><ul role="list">{rows}</ul></section>'


def _class(status: SourceStatus) -> State:
    """Return the state for the CSS class, which reveals no more than the public text."""
    return "ok" if status.state == "warning" else status.state


def _text(text: str) -> str:
    return html.escape(formatting.visible(text))
