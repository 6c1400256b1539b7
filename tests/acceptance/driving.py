"""A real browser, where there is one: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

#: Debian's and Ubuntu's names of it.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Where the browser is; a test that needs it is skipped, and says so, without."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip("there is no Chromium here: the pages are not looked at")
    return found


@contextmanager
def serving(**environment: str) -> Iterator[str]:
    """`bursar serve` as a process of its own on the test's database; yields its address."""
    command = [sys.executable, "-m", "bursar", "serve", "--port", "0"]
    with subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip().removeprefix("serving ")
        finally:
            server.terminate()
            server.wait(20)


@contextmanager
def served_here(app: Any) -> Iterator[str]:
    """*app* served by a thread of this process, so that a test can move what it shows."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, http="httptools", lifespan="off", log_config=None)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            app.state.streams.close()
            server.should_exit = True
            thread.join(20)


@contextmanager
def browsing(address: str, *, refusals: str = "") -> Iterator[Any]:
    """
    A browser; on the way out nothing may have gone wrong in any of its pages.

    An answer of status *refusals* is expected, which the browser's console tells as an error.
    """
    from playwright.sync_api import sync_playwright

    wrong: list[str] = []

    def watch(page: Any) -> None:
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda r: (
                None
                if r.url.startswith((address, "data:", "blob:"))
                else wrong.append(f"foreign: {r.url}")
            ),
        )

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        browser.on("context", lambda context: context.on("page", watch))
        yield browser, watch
        browser.close()
    assert [told for told in wrong if not (refusals and refusals in told)] == []


def becomes(page: Any, condition: str, *, timeout_seconds: float = 10) -> bool:
    """Whether the script *condition* holds in *page*, now or before the time is over."""
    from playwright.sync_api import TimeoutError as TooLate

    try:
        page.wait_for_function(condition, timeout=timeout_seconds * 1_000)
    except TooLate:
        return False
    return True
