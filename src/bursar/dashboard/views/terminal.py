"""The dashboard in the terminal, worst state first: printed once, or live."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bursar.accesslog.output import formatting
from bursar.dashboard.live_state import Measurement, SourceStatus, State
from bursar.dashboard.measurement_format import format_value

#: The style of each state, worst first.
STYLES: Final[dict[State, str]] = {
    "failed": "bold white on red",
    "critical": "bold red",
    "stale": "magenta",
    "warning": "yellow",
    "ok": "green",
}
_ORDER: Final = list(STYLES)
#: The lines of title, header and footer.
_FRAME_LINES: Final = 7
_SPARKLINE_WIDTH: Final = 16
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
#: If no source had a check for so many intervals, the scheduler is not running.
_MISSED_INTERVALS_MAX: Final = 3


def select(
    statuses: Iterable[SourceStatus], *, failing: bool = False, group: str = ""
) -> list[SourceStatus]:
    """Return the statuses of *group* (all if empty), worst first; with *failing* those not `ok`."""
    matches = [
        status
        for status in statuses
        if group in ("", status.group) and not (failing and status.state == "ok")
    ]
    return sorted(matches, key=lambda each: (_ORDER.index(each.state), each.group, each.title))


def follow(
    read: Callable[[], Sequence[SourceStatus]],
    *,
    console: Console,
    now: Callable[[], datetime],
    sleep: Callable[[], None],
) -> None:
    """Show the result of *read*, refreshed after every *sleep*, until Ctrl+C, cut to the screen."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            rows = max(1, console.height - _FRAME_LINES)
            live.update(render_dashboard(read(), now=now(), rows_max=rows), refresh=True)
            sleep()


def render_dashboard(
    statuses: Sequence[SourceStatus], *, now: datetime, rows_max: int | None = None
) -> Group:
    """Return the dashboard as a table of at most *rows_max* rows, with the number of the others."""
    counts = Counter(status.state for status in statuses)
    summary = ", ".join(f"{counts[state]} {state}" for state in STYLES if counts[state])
    table = Table(
        title=Text(f"Dashboard: {summary or 'no monitors yet'}", style="bold"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for column in ("state", "group", "monitor", "value", "trend", "updated", "reason"):
        table.add_column(
            column,
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if column in {"value", "updated"} else "left",
        )
    for status in statuses[:rows_max]:
        table.add_row(*_row(status, now))
    lines: list[RenderableType] = [table] if statuses else [Text(str(table.title))]
    if rows_max is not None and len(statuses) > rows_max:
        lines.append(Text(f"{len(statuses) - rows_max:,} more"))
    if statuses and all(_is_outdated(status, now) for status in statuses):
        lines.append(Text("No recent checks. Is `bursar serve` running?", style="bold red"))
    return Group(*lines)


def _row(status: SourceStatus, now: datetime) -> list[Text]:
    first = next(iter(status.measurements), None)
    failing = [each for each in status.measurements if each.level != "ok"]
    reason = status.reason or ", ".join(
        f"{each.name} {_value(each)}: {each.level}" for each in failing
    )
    last_success_at = status.last_success_at
    return [
        Text(status.state, style=STYLES[status.state]),
        Text(formatting.visible(status.group)),
        Text(formatting.visible(status.title)),
        Text("" if first is None else _value(first)),
        Text(render_sparkline(status.sparkline), style="blue"),
        Text("never" if last_success_at is None else f"{format_age(now - last_success_at)} ago"),
        Text(formatting.visible(reason)),
    ]


def _value(measurement: Measurement) -> str:
    text = format_value(measurement.value, unit=measurement.unit, decimals=measurement.decimals)
    return formatting.visible(text)


def render_sparkline(points: Sequence[float]) -> str:
    """Return the latest points as block characters of eight heights."""
    latest = points[-_SPARKLINE_WIDTH:]
    if not latest:
        return ""
    low, high = min(latest), max(latest)
    step = (high - low) / (len(_BLOCKS) - 1)
    return "".join(_BLOCKS[round((point - low) / step) if step else 0] for point in latest)


def format_age(age: timedelta) -> str:
    """Return *age* in its largest unit of which there are at least two."""
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _is_outdated(status: SourceStatus, now: datetime) -> bool:
    last = status.last_success_at or status.state_since
    return (now - last).total_seconds() > _MISSED_INTERVALS_MAX * status.interval_seconds
