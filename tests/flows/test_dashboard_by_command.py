"""`bursar dashboard`: what the watcher wrote, as a table or as JSON."""

from __future__ import annotations

import json

import pytest

from bursar.dashboard import state_store
from bursar.dashboard.evaluation import MonitorState
from bursar.dashboard.thresholds import AlertState
from tests import dashboard_factory
from tests.conftest import Database
from tests.flows.test_command_line import Terminal, terminal
from tests.shop import commit

__all__ = ["terminal"]


@pytest.fixture(autouse=True)
def kept(database: Database) -> None:
    """One source that is well and one that is not, as the watcher writes them."""
    views = [
        dashboard_factory.view("a"),
        dashboard_factory.view("b", title="Labels", group="Mail", state="stale"),
    ]
    known = [
        MonitorState(status=each, alert_state=AlertState(), monitored_since=dashboard_factory.AT)
        for each in views
    ]
    commit(lambda: state_store.save(known, first=1))


def test_the_dashboard_is_printed_worst_first(terminal: Terminal) -> None:
    told = terminal.run("dashboard", "--once")
    assert "Dashboard: 1 stale, 1 ok" in told
    assert told.index("Labels") < told.index("Exchange rates")


def test_the_dashboard_as_json_is_what_the_api_tells(terminal: Terminal) -> None:
    told = json.loads(terminal.run("dashboard", "--json"))
    assert [(each["key"], each["state"]) for each in told["data"]] == [("b", "stale"), ("a", "ok")]
    assert told["data"][1]["measurements"] == [
        {"name": "EUR/USD", "value": 1.0831, "unit": "USD", "level": "ok", "decimals": None}
    ]


def test_only_what_is_asked_for(terminal: Terminal) -> None:
    told = json.loads(terminal.run("dashboard", "--json", "--failing"))
    assert [each["key"] for each in told["data"]] == ["b"]
    told = json.loads(terminal.run("dashboard", "--json", "--group", "Currencies"))
    assert [each["key"] for each in told["data"]] == ["a"]
