"""The traffic report's page in a real browser: it asks for nothing, runs nothing, fits a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bursar.accesslog.output import html
from tests import accesslogs
from tests.acceptance import driving


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
@pytest.mark.parametrize("hostile", [False, True])
def test_the_page_asks_for_nothing_and_runs_nothing(
    tmp_path: Path, hostile: bool, width: int, scheme: str
) -> None:
    page_file = tmp_path / "report.html"
    report = accesslogs.hostile() if hostile else accesslogs.usual()
    page_file.write_bytes(html.render(report))
    address = page_file.as_uri()
    asked: list[str] = []
    with driving.browsing(address) as (browser, watch):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page = context.new_page()
        watch(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: asked.append(dialog.message))
        page.goto(address)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") in {"SUMMARY", "DIV"}
        assert page.title() == "Traffic report"
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("main img, main script").count() == 0
        assert page.locator("h1").is_visible()
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(18, 22, 28)" if scheme == "dark" else "rgb(246, 247, 249)")
    assert asked == [address]
