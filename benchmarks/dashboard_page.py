"""
The dashboard's page with 500 constantly changing sources, in headless Chromium.

*First paint* is from the start of the navigation, in a browser without a cache, until something is
seen, and until all tiles are; *update* is from the moment a source changes in the server until the
frame that shows it; *memory* is what a collected heap of JavaScript holds, watched for ten minutes
(`--minutes`). There is no peer: the bars are those of the issue. Without a Chromium nothing is
measured, which is said.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import ROOT
from benchmarks.records import Plan, Record

SOURCES, INTERVAL_SECONDS = 500, 30.0
ROUNDS, QUICK_ROUNDS = 7, 2
UPDATES, QUICK_UPDATES = 300, 30
MINUTES, QUICK_MINUTES = 10.0, 0.1
#: The first while is not counted: code is compiled, and lists grow to their size.
WARM_SECONDS, LOOKS = 10.0, 20
WAIT_SECONDS_MAX = 300.0
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

#: Notes the first frame with every tile, and for each change of the probe the time until its frame.
WATCH = """
window.delays = [];
const later = (done) => requestAnimationFrame(() => { const c = new MessageChannel(); c.port1.onmessage = done; c.port2.postMessage(0); });
new MutationObserver((_, self) => {
  if (document.querySelectorAll(".tile").length < COUNT) return;
  self.disconnect();
  later(() => { window.painted = performance.now(); });
  const value = document.querySelector("[data-key=probe] .value");
  new MutationObserver(() => {
    const at = Number(value.textContent.replace(/[^0-9]/g, ""));
    later(() => window.delays.push((Date.now() % 1e8) - at));
  }).observe(value, { characterData: true, childList: true, subtree: true });
}).observe(document, { childList: true, subtree: true });
"""


def run(plan: Plan, console: Console) -> list[Record]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        console.print("dashboard-page: no Chromium is installed; nothing is measured")
        return []
    from playwright.sync_api import sync_playwright

    with _served() as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",
                "--disable-background-networking",
                "--enable-precise-memory-info",
            ],
        )
        rounds = plan.rounds or (QUICK_ROUNDS if plan.quick else ROUNDS)
        paints = [_paint(browser, served) for _ in range(rounds + 1)][1:]  # the first is cold
        updates = plan.calls or (QUICK_UPDATES if plan.quick else UPDATES)
        minutes = plan.minutes or (QUICK_MINUTES if plan.quick else MINUTES)
        delays, looks = _stay(browser, served, updates=updates, minutes=minutes)
        browser.close()
    records = [*_painted(paints), *_updated(delays), *_held(looks)]
    console.print(_table(records, minutes))
    return records


@contextmanager
def _served() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="bursar-dashboard-") as folder:
        task = {"folder": folder, "sources": SOURCES - 1, "interval_seconds": INTERVAL_SECONDS}
        command = [sys.executable, "-m", "benchmarks.dashboard_page_server", json.dumps(task)]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            yield json.loads(server.stdout.readline())
            server.stdin.close()
            server.wait(20)


def _opened(browser: Any, served: dict[str, str]) -> Any:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    session = {"name": "bursar_session", "value": served["session"], "url": served["address"]}
    context.add_cookies([session])
    page = context.new_page()
    page.add_init_script(WATCH.replace("COUNT", str(SOURCES)))
    page.goto(f"{served['address']}/dashboard")
    _wait(page, "window.painted !== undefined")
    return page


def _wait(page: Any, condition: str) -> None:
    """Ask from here: what playwright would evaluate in the page, the page's policy forbids."""
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not page.evaluate(condition):
        if time.monotonic() > until:
            raise TimeoutError(condition)
        page.wait_for_timeout(50)


def _paint(browser: Any, served: dict[str, str]) -> dict[str, float]:
    page = _opened(browser, served)
    painted: dict[str, float] = page.evaluate(
        "({first: performance.getEntriesByName('first-contentful-paint')[0].startTime,"
        " whole: window.painted})"
    )
    page.context.close()
    return painted


def _stay(
    browser: Any, served: dict[str, str], *, updates: int, minutes: float
) -> tuple[list[float], list[dict[str, float]]]:
    page = _opened(browser, served)
    _wait(page, f"window.delays.length >= {updates}")
    delays: list[float] = page.evaluate("window.delays")
    page.wait_for_timeout(min(WARM_SECONDS, minutes * 60) * 1_000)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    looks, began = [_look(page, devtools, 0.0)], time.monotonic()
    for _ in range(LOOKS):
        page.wait_for_timeout(minutes * 60_000 / LOOKS)
        looks.append(_look(page, devtools, (time.monotonic() - began) / 60))
    assert page.locator("#connection").get_attribute("data-live") == "true"
    page.context.close()
    return delays, looks


def _look(page: Any, devtools: Any, minute: float) -> dict[str, float]:
    page.evaluate("window.delays.length = 0")  # ours, not the page's
    devtools.send("HeapProfiler.collectGarbage")
    told = {m["name"]: m["value"] for m in devtools.send("Performance.getMetrics")["metrics"]}
    return {"minute": minute, "heap": told["JSHeapUsedSize"] / 1e6, "nodes": told["Nodes"]}


def _record(measure: str, unit: str, value: float) -> Record:
    return Record(benchmark="dashboard-page", measure=measure, unit=unit, value=value)


def _painted(paints: list[dict[str, float]]) -> Iterator[Record]:
    yield _record("first paint", "ms", statistics.median(each["first"] for each in paints))
    yield _record("all tiles painted", "ms", statistics.median(each["whole"] for each in paints))
    yield _record("all tiles painted, slowest", "ms", max(each["whole"] for each in paints))


def _updated(delays: list[float]) -> Iterator[Record]:
    yield _record("updates", "updates", len(delays))
    yield _record("update, median", "ms", statistics.median(delays))
    yield _record("update, P99", "ms", statistics.quantiles(delays, n=100)[98])
    yield _record("update, slowest", "ms", max(delays))


def _held(looks: list[dict[str, float]]) -> Iterator[Record]:
    minutes, heaps = [each["minute"] for each in looks], [each["heap"] for each in looks]
    slope = statistics.linear_regression(minutes, heaps).slope
    yield _record("watched", "min", minutes[-1])
    yield _record("heap, first", "MB", heaps[0])
    yield _record("heap, last", "MB", heaps[-1])
    yield _record("heap, highest", "MB", max(heaps))
    yield _record("heap, growth", "MB/min", slope)
    yield _record("nodes, first", "nodes", looks[0]["nodes"])
    yield _record("nodes, last", "nodes", looks[-1]["nodes"])


def _table(records: list[Record], minutes: float) -> Table:
    table = Table(
        title=f"The dashboard's page with {SOURCES} live sources, {minutes:g} minutes",
        title_justify="left",
    )
    table.add_column("what", no_wrap=True)
    table.add_column("value", justify="right")
    for record in records:
        table.add_row(record.measure, f"{record.value:,.4g} {record.unit}")
    return table
