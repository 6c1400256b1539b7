"""An API is entered, changed and removed in the back office; what is wrong is told on the form."""

from __future__ import annotations

import html

import pytest

from bursar import clock
from bursar.access.models import AuditEntry
from bursar.access.roles import Role
from bursar.dashboard import history
from bursar.dashboard.history import HistoryPoint
from bursar.dashboard.models import Alert, Monitor, SourceState
from tests.conftest import Database
from tests.flows.admin.office import office
from tests.shop import commit

FORM = {
    "name": "rates",
    "title": "Rates <b>",
    "group": "",
    "url": "https://api.example.com/v1",
    "interval_seconds": "30",
    "stale_after_seconds": "0",
    "auth": "bearer",
    "header": "",
    "username": "",
    "active": "on",
    "values": 'name = "EUR/USD", path = "rates.USD", warning_below = 1.05\n\n'
    'name = "status", path = "s", expected = "say \\"ok\\""',
}
DECLARED = {
    "title": "Rates <b>",
    "url": "https://api.example.com/v1",
    "interval_seconds": 30,
    "auth": "bearer",
    "values": [
        {"name": "EUR/USD", "path": "rates.USD", "warning_below": 1.05},
        {"name": "status", "path": "s", "expected": 'say "ok"'},
    ],
}


def test_an_api_is_entered_changed_and_removed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = office(Role.DEVELOPER)
    assert me.send("/actions/create_monitor/", **FORM).status_code == 302
    row = Monitor.objects.get()
    assert (row.config, row.active) == (DECLARED, True)
    assert row.created_by == "user:developer@example.com"

    monkeypatch.setenv("BURSAR_MONITOR_SECRET_API_EXAMPLE_COM", "s3cret")
    page = me.get("/bursar/monitor/rates/change/").text
    assert "bearer: BURSAR_MONITOR_SECRET_API_EXAMPLE_COM (set)" in page
    assert "Rates &lt;b&gt;" in page
    assert "s3cret" not in page
    shown = html.unescape(me.get("/actions/edit_monitor/rates/").text)
    assert 'name = "status", path = "s", expected = "say \\"ok\\""' in shown

    changed = {**FORM, "auth": "none", "values": "", "active": ""}
    changed.pop("name")
    changed.pop("active")
    assert me.send("/actions/edit_monitor/rates/", **changed).status_code == 302
    row.refresh_from_db()
    assert (row.active, row.config) == (
        False,
        {key: DECLARED[key] for key in ("title", "url", "interval_seconds")},
    )
    assert me.send("/actions/delete_monitor/rates/").status_code == 302
    assert Monitor.objects.count() == 0
    done = AuditEntry.objects.filter(subject="rates").order_by("pk")
    assert [entry.action for entry in done] == ["monitor.save", "monitor.save", "monitor.remove"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"url": "https://127.0.0.1/"}, "127.0.0.1 is not a public address"),
        ({"url": "https://[::1]/"}, "::1 is not a public address"),
        ({"url": "http://api.example.com/"}, "a secret is sent over https only"),
        ({"url": "ftp://api.example.com/"}, "must be an address such as https://"),
        ({"name": "No Spaces"}, "must be 1 to 60 lowercase letters, digits, - or _"),
        ({"auth": "header"}, 'with auth = "header", and only then'),
        ({"values": 'name = "a"'}, "object missing required field `path`"),
        ({"values": 'name = "a", path = "["'}, "invalid JMESPath expression"),
        ({"values": "name: a"}, "line 1: "),
        ({"values": 'name = "a", path = "b" }\nx = { y = 1'}, "line 1: "),
        ({"values": 'name = "a", path = "b", secret = "c"'}, "object contains unknown field"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(
    database: Database, change: dict[str, str], told: str
) -> None:
    answer = office(Role.DEVELOPER).send("/actions/create_monitor/", **{**FORM, **change})
    assert answer.status_code == 422
    assert told in html.unescape(answer.text)
    assert Monitor.objects.count() == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_name_is_taken_once(database: Database) -> None:
    me = office(Role.ADMIN)
    assert me.send("/actions/create_monitor/", **FORM).status_code == 302
    again = me.send("/actions/create_monitor/", **{**FORM, "title": "Other"})
    assert "monitor rates already exists" in again.text
    assert Monitor.objects.get().config["title"] == "Rates <b>"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_pages_show_what_was_told_and_alerted(database: Database) -> None:
    me = office(Role.ADMIN)
    me.send("/actions/create_monitor/", **FORM)
    commit(_told)
    page = me.get("/bursar/monitor/rates/change/").text
    for text in ("HTTP 503", "1.25 USD", "Critical", ">2</td>", "EUR/USD"):
        assert text in page, text
    page = me.get("/bursar/alert/alr_1/change/").text
    for text in ("Rates: ok to critical", "HTTP 503", "not configured", "Sent"):
        assert text in page, text
    assert "HTTP 503" in office(Role.VIEWER).get("/bursar/alert/").text


def _told() -> None:
    now = clock.now()
    measurement = {
        "name": "EUR/USD",
        "value": 1.25,
        "unit": "USD",
        "level": "critical",
        "decimals": None,
    }
    SourceState.objects.create(
        key="api:rates",
        title="Rates",
        group_name="APIs",
        kind="api",
        state="stale",
        last_success_at=now,
        state_since=now,
        monitored_since=now,
        interval_seconds=60.0,
        sequence=1,
        measurements=[measurement],
        reason="HTTP 503",
    )
    Alert.objects.create(
        id="alr_1",
        source_key="api:rates",
        sequence=1,
        title="Rates",
        previous_level="ok",
        new_level="critical",
        state="stale",
        raised_at=now,
        webhook="off",
        email="sent",
        reason="HTTP 503",
        measurements=[measurement],
    )
    history.add(
        HistoryPoint(source_key="api:rates", series="EUR/USD", at=now, value=value)
        for value in (1.0, 2.0)
    )
