"""The board in the terminal: worst first, once or for as long as somebody looks."""

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

#: Worst first, each with its colour; the word says it too.
STYLES: Final[dict[State, str]] = {
    "failed": "bold white on red",
    "critical": "bold red",
    "stale": "magenta",
    "warning": "yellow",
    "ok": "green",
}
_ORDER: Final = list(STYLES)
#: Lines that are none of the table's: its title, head and foot.
_LINES_BESIDE: Final = 7
_SPARK_LETTERS: Final = 16
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
#: So many intervals without news, of any source at all: nobody watches.
_SILENT: Final = 3


def chosen(
    views: Iterable[SourceStatus], *, trouble: bool = False, group: str = ""
) -> list[SourceStatus]:
    """The views of *group*, or all, worst first; with *trouble* only what is not `ok`."""
    found = [
        view for view in views if group in ("", view.group) and not (trouble and view.state == "ok")
    ]
    return sorted(found, key=lambda view: (_ORDER.index(view.state), view.group, view.title))


def follow(
    read: Callable[[], Sequence[SourceStatus]],
    *,
    console: Console,
    now: Callable[[], datetime],
    sleep: Callable[[], None],
) -> None:
    """Show what *read* gives, again after every *sleep*, until Ctrl+C; only what fits is shown."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            rows = max(1, console.height - _LINES_BESIDE)
            live.update(board(read(), now=now(), rows_max=rows), refresh=True)
            sleep()


def board(views: Sequence[SourceStatus], *, now: datetime, rows_max: int | None = None) -> Group:
    """The board as a table of at most *rows_max* rows; what is left out is counted."""
    counts = Counter(view.state for view in views)
    told = ", ".join(f"{counts[state]} {state}" for state in STYLES if counts[state])
    table = Table(
        title=Text(f"Dashboard: {told or 'nothing is watched yet'}", style="bold"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for column in ("state", "group", "source", "reading", "lately", "as of", "why"):
        right = column in {"reading", "as of"}
        table.add_column(
            column, no_wrap=True, overflow="ellipsis", justify="right" if right else "left"
        )
    for view in views[:rows_max]:
        table.add_row(*_row(view, now))
    lines: list[RenderableType] = [table] if views else [Text(str(table.title))]
    if rows_max is not None and len(views) > rows_max:
        lines.append(Text(f"and {len(views) - rows_max:,} more"))
    if views and all(_is_silent(view, now) for view in views):
        lines.append(Text("nothing is new: is `bursar serve` running?", style="bold red"))
    return Group(*lines)


def _row(view: SourceStatus, now: datetime) -> list[Text]:
    first = next(iter(view.readings), None)
    beyond = [each for each in view.readings if each.level != "ok"]
    why = view.reason or ", ".join(f"{each.name} {_value(each)}: {each.level}" for each in beyond)
    return [
        Text(view.state, style=STYLES[view.state]),
        Text(formatting.visible(view.group)),
        Text(formatting.visible(view.title)),
        Text("" if first is None else _value(first)),
        Text(spark(view.spark), style="blue"),
        Text("never" if view.as_of is None else f"{age(now - view.as_of)} ago"),
        Text(formatting.visible(why)),
    ]


def _value(reading: Measurement) -> str:
    value = reading.value
    if value is None:
        told = "none"
    elif isinstance(value, str):
        told = formatting.visible(value)
    else:
        told = f"{value:,.2f}" if abs(value) >= 100 else f"{value:,.4f}"
        told = told.rstrip("0").rstrip(".")
    return f"{told} {formatting.visible(reading.unit)}".strip()


def spark(points: Sequence[float]) -> str:
    """The newest points as blocks of eight heights."""
    newest = points[-_SPARK_LETTERS:]
    if not newest:
        return ""
    low, high = min(newest), max(newest)
    step = (high - low) / (len(_BLOCKS) - 1)
    return "".join(_BLOCKS[round((point - low) / step) if step else 0] for point in newest)


def age(since: timedelta) -> str:
    """How long ago, in its largest unit."""
    seconds = max(0, int(since.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _is_silent(view: SourceStatus, now: datetime) -> bool:
    newest = view.as_of or view.since
    return (now - newest).total_seconds() > _SILENT * view.interval_seconds
