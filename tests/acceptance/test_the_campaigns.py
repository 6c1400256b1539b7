"""The fault campaigns stay alive: a few real kills, judged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_few_real_kills_leave_both_books_equal(tmp_path):
    report = tmp_path / "campaign.json"
    # A process of its own: what it forks must have no threads, and pytest may have some.
    done = subprocess.run(
        [sys.executable, "-m", "campaigns", "charge", "--tiny", "--seed", "7", "--json", report],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    (scenario,) = told["scenarios"]
    assert (told["passed"], scenario["findings"], scenario["missed"]) == (True, [], [])
    assert told["kills"] >= 3
    assert re.fullmatch(r"[0-9a-f]{40}\+?|unknown", told["commit"])
    assert (told["seed"], datetime.fromisoformat(told["date"]).utcoffset()) == (7, timedelta(0))
    assert scenario["counts"]["orders"] == scenario["counts"]["acknowledged"]
