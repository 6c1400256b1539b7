"""The dashboard as people see it: live, by keyboard, at two widths, in both colour schemes."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from typing import Any

import pytest

from bursar import clock, ids, settings
from bursar.access import api_keys
from bursar.access.roles import DASHBOARD_READ, Role
from bursar.api import app
from bursar.dashboard import history, live_state
from bursar.dashboard.live_state import LiveState, Measurement
from tests import dashboard_factory
from tests.acceptance import driving
from tests.conftest import Database
from tests.flows.admin import office
from tests.shop import commit

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> LiveState:
    """A board of sources, some of whose texts mean harm."""
    made = LiveState()
    monkeypatch.setattr(live_state, "_current", made)
    for view in dashboard_factory.many(60, at=clock.now()):
        made.put(view)
    for number, text in enumerate(dashboard_factory.HOSTILE):
        made.put(
            dashboard_factory.view(
                f"evil-{number}",
                title=text,
                group=text,
                reason=text,
                state="failed",
                measurements=(Measurement(name=text, value=text, unit=text),),
            )
        )
    return made


@pytest.fixture
def address(database: Database, shown: LiveState, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The dashboard, served."""
    # Playwright keeps an event loop on this thread, where Django would refuse to read.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    driving.chromium()
    public = settings.current.model_copy(
        update={"status_page_groups": f"Mail,{dashboard_factory.GROUPS[0]}"}
    )
    monkeypatch.setattr(settings, "current", public)
    with driving.served_here(app.create_app()) as served:
        yield served


def opened(browser: Any, watch: Any, address: str, *, width: int, scheme: str = "light") -> Any:
    """A page of somebody signed in, in New York."""
    context = browser.new_context(
        viewport={"width": width, "height": 740},
        color_scheme=scheme,
        timezone_id="America/New_York",
        locale="en-US",
    )
    session = {"name": "bursar_session", "value": office.session(Role.VIEWER), "url": address}
    context.add_cookies([session])
    page = context.new_page()
    watch(page)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"{address}/dashboard")
    page.wait_for_selector("#connection[data-live=true]")
    return page


def test_tiles_change_as_sources_do(address: str, shown: LiveState) -> None:
    with driving.browsing(address) as (browser, watch):
        page = opened(browser, watch, address, width=1280)
        tile = page.locator("[data-key=fx]")
        shown.put(
            dashboard_factory.view("fx", state_since=clock.now(), last_success_at=clock.now())
        )
        tile.wait_for()
        assert tile.locator(".value").inner_text() == "1.0831"
        shown.put(dashboard_factory.view("fx", state="failed", reason="no response within 2.5 s"))
        page.wait_for_selector("[data-key=fx][data-state=failed]")
        assert tile.locator(".note").inner_text() == "no response within 2.5 s"
        assert page.locator("#announcements").inner_text() == "Exchange rates: Failed"
        shown.put(
            dashboard_factory.view(
                "fx", measurements=(Measurement(name="EUR/USD", value=1.25, unit="USD"),)
            )
        )
        page.wait_for_selector("[data-key=fx][data-state=ok]")
        assert tile.locator(".value").inner_text() == "1.25"
        shown.remove("fx")
        tile.wait_for(state="detached")
        # Who comes back after a while is told what was missed.
        page.evaluate("Object.defineProperty(document, 'hidden', {value: true, writable: true})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        shown.put(dashboard_factory.view("fx", title="Missed"))
        page.evaluate("document.hidden = false")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_selector("[data-key=fx] >> text=Missed")


def test_by_keyboard_alone(address: str, shown: LiveState) -> None:
    focused = "document.activeElement.dataset.key ?? document.activeElement.id"
    with driving.browsing(address) as (browser, watch):
        page = opened(browser, watch, address, width=1280)
        page.keyboard.press("/")
        assert page.evaluate(focused) == "text"
        page.keyboard.type("mail")
        expected = sum(view.group == "Mail" for view in shown.statuses())
        assert page.locator(".tile:visible").count() == expected
        assert page.url.endswith("/dashboard#text=mail")
        page.keyboard.press("ArrowDown")
        first = page.evaluate(focused)
        page.keyboard.press("ArrowRight")
        second = page.evaluate(focused)
        assert second != first
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(focused) == first
        page.keyboard.press("End")
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        # It goes on changing while it is open.
        shown.put(
            dashboard_factory.view(
                first, title="Mail", group="Mail", state="critical", reason="full"
            )
        )
        page.wait_for_selector("dialog[data-state=critical] .reason:text-is('full')")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog:not([open])", state="attached")
        assert page.evaluate(focused) == first
        page.keyboard.press("Escape")
        assert page.locator(".tile:visible").count() == page.locator(".tile").count() == 65
        assert page.url.endswith("/dashboard")


def test_times_are_the_viewers_and_history_is_drawn(address: str, shown: LiveState) -> None:
    now = clock.now()
    points = [
        history.HistoryPoint(source_key="fx", series="EUR/USD", at=now, value=v) for v in (1.0, 2.0)
    ]
    commit(lambda: history.add(points))
    shown.put(dashboard_factory.view("fx"))
    with driving.browsing(address) as (browser, watch):
        page = opened(browser, watch, address, width=1280)
        page.click("[data-key=fx]")
        page.wait_for_selector("dialog .caption:text-is('Mean, minimum and maximum')")
        assert page.locator("dialog .since").inner_text() == "since 2026-11-26 07:00 EST"
        assert page.locator("dialog .max").inner_text() == "2"
        assert page.locator("dialog .band").get_attribute("d").startswith("M")
        page.click("dialog [data-range=year]")
        page.wait_for_selector("dialog [data-range=year][aria-pressed=true]")
        page.select_option("dialog .series", "duration_seconds")
        page.wait_for_selector("dialog .caption:text-is('No data for this range yet')")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_every_part_is_whole_and_accessible(address: str, width: int, scheme: str) -> None:
    """Nothing wider than the screen, nothing serious for axe, nothing run that a text brought."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with driving.browsing(address) as (browser, watch):
        page = opened(browser, watch, address, width=width, scheme=scheme)
        bad = _seen(axe, page, "board", width)
        assert page.locator("#tiles img, #tiles script, #tiles svg[onload]").count() == 0
        page.click("[data-key=evil-2]")
        page.wait_for_selector("dialog[open] .caption:text-is('No data for this range yet')")
        bad += _seen(axe, page, "detail", width)
        page.goto(f"{address}/status")
        bad += _seen(axe, page, "status", width)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(18, 22, 28)" if scheme == "dark" else "rgb(246, 247, 249)")
    assert bad == []


def _seen(axe: Any, page: Any, part: str, width: int) -> list[str]:
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    bad = [f"{part}: {one['id']} {one['nodes'][0]['html'][:150]}" for one in found]
    if page.evaluate("document.documentElement.scrollWidth") > width:
        bad.append(f"{part}: wider than the screen")
    return bad


def test_serving_ends_although_somebody_looks(database: Database) -> None:
    """The stream ends as a whole answer does, which one that was cut does not."""
    token, key_id = api_keys.make_token(), ids.new(ids.API_KEY)
    commit(
        lambda: api_keys.create(
            key_id=key_id, token=token, name="x", scopes=[DASHBOARD_READ], now=clock.now()
        )
    )
    with contextlib.ExitStack() as after:
        with driving.serving() as address:
            listener = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
            after.callback(listener.close)
            headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
            listener.request("GET", "/v1/dashboard", headers=headers)
            stream = after.enter_context(listener.getresponse())
            assert stream.readline() == b"retry: 1000\n"
        assert b"event: snapshot" in stream.read()
