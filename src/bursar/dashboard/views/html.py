"""The pages: the shell of the dashboard, which its script fills, and the public status page."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from bursar.accesslog.output import formatting
from bursar.dashboard.live_state import SourceStatus, State

#: What the pages load: scripts and styles of their own, and nothing from anywhere else.
STATIC: Final = Path(__file__).parent / "static"
#: No script or style in the page itself, and no text that a script could turn into one.
CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

_BOARD: Final = (STATIC / "board.html").read_text("utf-8")
_STATUS: Final = (STATIC / "status.html").read_text("utf-8")
#: What the public is told of a state, worst first: a threshold is nobody's business but ours.
_PUBLIC: Final[dict[State, str]] = {
    "failed": "Not working",
    "critical": "Impaired",
    "stale": "Not known",
    "warning": "Working",
    "ok": "Working",
}
_WORST_FIRST: Final = list(_PUBLIC)


def board(*, mode: str) -> str:
    """The page of the dashboard, without a tile; *mode* is the installation's."""
    return _BOARD.replace("{mode}", html.escape(mode))


def status(views: Iterable[SourceStatus], *, groups: Collection[str], now: datetime) -> str:
    """The public page: of each source in *groups* its title and a word, and not one number."""
    shown: dict[str, list[SourceStatus]] = {group: [] for group in groups}
    for view in views:
        if view.group in shown:
            shown[view.group].append(view)
    listed = [view for each in shown.values() for view in each]
    worst = min(listed, key=lambda view: _WORST_FIRST.index(view.state), default=None)
    return (
        _STATUS.replace("{state}", "none" if worst is None else _class(worst))
        .replace("{words}", _overall(worst))
        .replace("{at}", f"{now:%Y-%m-%dT%H:%M:%SZ}")
        .replace("{utc}", f"{now:%H:%M} UTC")
        .replace("{groups}", "".join(_group(*each) for each in shown.items() if each[1]))
    )


def _overall(worst: SourceStatus | None) -> str:
    if worst is None:
        return "Nothing is known yet"
    told = _PUBLIC[worst.state]
    return {"Working": "Everything works", "Not known": "Not all is known"}.get(
        told, "Something does not work" if worst.state == "failed" else "Something is impaired"
    )


def _group(name: str, views: list[SourceStatus]) -> str:
    rows = "".join(
        f'<li class="s-{_class(view)}"><span dir="auto">{_text(view.title)}</span>'
        f"<strong>{_PUBLIC[view.state]}</strong></li>"
        for view in views
    )
    return f'<section><h2 dir="auto">{_text(name)}</h2><ul role="list">{rows}</ul></section>'


def _class(view: SourceStatus) -> State:
    """The state that the page's source tells, no more than its words do."""
    return "ok" if view.state == "warning" else view.state


def _text(text: str) -> str:
    return html.escape(formatting.visible(text))
