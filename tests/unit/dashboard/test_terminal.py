"""The board in the terminal: worst first, what fits, and no text that does more than show itself."""

from __future__ import annotations

import io
from datetime import timedelta

from rich.console import Console

from bursar.dashboard.live_state import Measurement
from bursar.dashboard.views import terminal
from tests import dashboard_factory


def printed(shown: object, *, width: int = 200) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=20)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_board_worst_first() -> None:
    views = [
        dashboard_factory.view(
            "a", title="A", measurements=(Measurement(name="n", value=1234.5, unit="EUR"),)
        ),
        dashboard_factory.view(
            "b", title="B", state="failed", measurements=(), last_success_at=None, reason="refused"
        ),
        dashboard_factory.view(
            "c",
            title="C",
            state="warning",
            sparkline=(),
            measurements=(Measurement(name="n", value="slow", level="warning"),),
        ),
    ]
    found = terminal.select(views)
    lines = printed(
        terminal.render_dashboard(found, now=dashboard_factory.AT + timedelta(seconds=40))
    )
    assert lines[0] == "Dashboard: 1 failed, 1 warning, 1 ok"
    assert [line.split() for line in lines[3:]] == [
        ["failed", "Currencies", "B", "▁█▅", "never", "refused"],
        ["warning", "Currencies", "C", "slow", "40", "s", "ago", "n", "slow:", "warning"],
        ["ok", "Currencies", "A", "1,234.5", "EUR", "▁█▅", "40", "s", "ago"],
    ]


def test_what_is_chosen() -> None:
    views = dashboard_factory.many(100)
    trouble = terminal.select(views, failing=True)
    assert {view.state for view in trouble} == {"failed", "critical", "stale", "warning"}
    mail = terminal.select(views, group="Mail")
    assert {view.group for view in mail} == {"Mail"}
    assert len(terminal.select(views)) == 100


def test_what_does_not_fit_is_counted() -> None:
    lines = printed(
        terminal.render_dashboard(dashboard_factory.many(500), now=dashboard_factory.AT, rows_max=5)
    )
    assert (len(lines), lines[-1]) == (9, "495 more")


def test_an_empty_board_and_one_that_nobody_watches() -> None:
    assert printed(terminal.render_dashboard([], now=dashboard_factory.AT)) == [
        "Dashboard: no monitors yet"
    ]
    late = dashboard_factory.AT + timedelta(seconds=91)
    lines = printed(terminal.render_dashboard([dashboard_factory.view()], now=late))
    assert lines[-1] == "No recent checks. Is `bursar serve` running?"


def test_texts_that_mean_harm_show_themselves() -> None:
    views = [
        dashboard_factory.view(title=text, group=text, reason=text)
        for text in dashboard_factory.HOSTILE
    ]
    told = "\n".join(
        printed(terminal.render_dashboard(views, now=dashboard_factory.AT), width=2_000)
    )
    assert not any(letter in told for letter in ("\x1b", "\x00", "\u202e"))
    assert "\\u202eevil" in told


def test_it_goes_on_until_it_is_interrupted() -> None:
    read, waits = (
        iter([[dashboard_factory.view()], [dashboard_factory.view(state="failed")]]),
        iter([None]),
    )

    def sleep() -> None:
        if next(waits, "over") == "over":
            raise KeyboardInterrupt

    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=20)
    terminal.follow(
        lambda: next(read), console=console, now=lambda: dashboard_factory.AT, sleep=sleep
    )
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    assert told.index("1 ok") < told.index("1 failed")
