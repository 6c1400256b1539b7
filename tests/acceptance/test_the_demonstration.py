"""`bursar demo` as a newcomer sees it: it says where to look, that works, and Ctrl+C stops it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from bursar import settings
from bursar.payments.models import Payment
from tests import databases
from tests.acceptance import driving


@pytest.mark.timeout(150)
def test_what_it_prints_works_and_its_books_close(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving.chromium()
    command = [sys.executable, "-u", "-m", "bursar", "demo", "--port", "0"]
    environment = os.environ | {"COLUMNS": "200"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as demo:
        assert demo.stdout is not None
        told = ""
        while "curl -H" not in told:
            line = demo.stdout.readline()
            assert line, told
            told += line
        address = re.search(r"http://127\.0\.0\.1:\d+", told)
        password = re.search(r"admin@example\.com +(\S+)", told)
        assert address is not None
        assert password is not None
        with driving.browsing(address[0]) as (chromium, watch):
            page = chromium.new_page()
            watch(page)
            page.goto(f"{address[0]}/admin/")
            page.fill("[name=username]", "admin@example.com")
            page.fill("[name=password]", password[1])
            page.click("button:has-text('Sign in')")
            page.wait_for_selector("text=Volume, last 14 days")
            time.sleep(10)  # orders come in
            page.goto(f"{address[0]}/admin/bursar/payment/")
            assert page.locator("#result_list tbody tr").count() >= 20
        began = time.monotonic()
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(20) == 0
        assert time.monotonic() - began < 10
    assert re.search(r"left in the queue|the queue is empty", rest)
    verified = subprocess.run(
        [sys.executable, "-m", "bursar", "verify"], capture_output=True, text=True, check=False
    )
    assert "all hold" in verified.stdout, verified.stdout
    with databases.connected(settings.load(home=home, database_url=None)):
        seen = Counter(Payment.objects.values_list("status", flat=True))
    assert {"captured", "declined", "authorized"} <= set(seen)
