"""Screenshots of a fresh demonstration's back office and dashboard: `scripts/screenshots`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.acceptance import driving

WIDTH, HEIGHT = 1280, 800
BYTES_MAX = 200_000
#: Orders come in for so long before the pictures are taken.
WARM_UP_SECONDS = 20


def main(folder: Path) -> None:
    """Serve a demonstration in a home of its own, sign in, and write one PNG for each page."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bursar-screenshots-") as home:
        command = [sys.executable, "-m", "bursar", "demo", "--port", "0", "--counterpart-port", "0"]
        environment = {**os.environ, "BURSAR_HOME": home, "COLUMNS": "120"}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True
        ) as demonstration:
            try:
                address, password = _sign_in_of(demonstration)
                time.sleep(WARM_UP_SECONDS)
                _shoot(folder, address, password)
            finally:
                demonstration.terminate()
    for picture in sorted(folder.glob("*.png")):
        size = picture.stat().st_size
        print(f"{picture}: {size} bytes")
        if size > BYTES_MAX:
            sys.exit(f"{picture} is larger than {BYTES_MAX} bytes")


def _sign_in_of(demonstration: subprocess.Popen[str]) -> tuple[str, str]:
    assert demonstration.stdout is not None
    address = ""
    for line in demonstration.stdout:
        if match := re.search(r"(http://\S+?)/admin/", line):
            address = match[1]
        if match := re.search(r"admin@example\.com\s+(\S+)", line):
            return address, match[1]
    sys.exit("the demonstration ended before it served")


def _shoot(folder: Path, address: str, password: str) -> None:
    with driving.browsing(address) as (browser, _):
        page: Any = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"{address}/admin/")
        page.fill("[name=username]", "admin@example.com")
        page.fill("[name=password]", password)
        page.press("[name=password]", "Enter")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=folder / "back-office.png")
        page.goto(f"{address}/dashboard")
        driving.becomes(page, "document.querySelectorAll('article, .tile').length > 0")
        page.screenshot(path=folder / "dashboard.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
