"""Saved traffic reports in the back office: permissions, and escaped text."""

from __future__ import annotations

import html as html_module
import re

import pytest

from bursar import settings
from bursar.access.roles import Role
from bursar.accesslog.output import html, saved_reports
from tests import accesslogs
from tests.conftest import Database
from tests.flows.admin.office import Office, office

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def _keep(name: str) -> None:
    saved_reports.save(accesslogs.hostile(), name=name, folder=settings.current.home / "traffic")


def test_reports_are_listed_and_shown_in_a_frame_that_may_do_nothing(database: Database) -> None:
    developer = office(Role.DEVELOPER)
    assert "No saved reports" in developer.get("/traffic/").text
    for name in ("april", "own"):
        _keep(name)
    page = developer.get("/traffic/").text
    assert re.findall(r'href="/admin/traffic/(\w+)/"', page) == ["own", "april"]
    shown = developer.get("/traffic/april/").text
    frame = re.search(r'<iframe [^>]* sandbox srcdoc="([^"]*)"></iframe>', shown)
    assert frame is not None
    assert html_module.unescape(frame[1]) == html.render(accesslogs.hostile()).decode()
    assert "<script>document.title" not in shown


def test_what_is_no_report_is_not_found(database: Database) -> None:
    _keep("own")
    folder = settings.current.home / "traffic"
    (folder / "half.json").write_text("[")
    (folder / "odd.json").write_text('{"totals": 3}')
    developer = office(Role.DEVELOPER)
    for name in ("none", "half", "odd", "..%2Fown"):
        assert developer.get(f"/traffic/{name}/").status_code == 404, name


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT, Role.FINANCE])
def test_reports_are_for_those_who_look_after_the_machine(database: Database, role: Role) -> None:
    _keep("own")
    person = office(role)
    assert "/admin/traffic/" not in person.get("/").text
    assert [person.get(path).status_code for path in ("/traffic/", "/traffic/own/")] == [403, 403]
    assert Office().get("/traffic/own/").status_code == 302
