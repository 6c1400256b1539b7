"""The getting-started page, block by block, as a newcomer would type it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "getting-started.md"
BLOCKS = dict(re.findall(r"```\w+ (\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.timeout(90)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl, which is not here")
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    assert set(BLOCKS) == {"setup", "curl", "python", "verify"}
    programs = str(Path(sys.executable).parent)
    environment = os.environ | {
        "BURSAR_HOME": str(tmp_path / "shop"),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }

    def shell(block: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", block],
            env=environment,
            text=True,
            capture_output=True,
            timeout=60,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    key = re.search(r"bk_test_[\w-]{43}", shell(BLOCKS["setup"]))
    assert key is not None
    command = [sys.executable, "-m", "bursar", "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        environment["URL"] = server.stdout.readline().strip().removeprefix("serving ")
        environment["KEY"] = key[0]
        order = json.loads(shell(BLOCKS["curl"]))
        assert (order["payment_status"], order["total"]["amount"]) == ("paid", 1000)
        script = tmp_path / "refund.py"
        script.write_text(BLOCKS["python"], encoding="utf-8")
        told = shell(f"{sys.executable} {script}")
        server.send_signal(signal.SIGINT)
        rest = server.stdout.read()
        assert server.wait(20) == 0
    assert told == "succeeded {'amount': 500, 'currency': 'EUR'}\n"
    assert told.strip() in PAGE.read_text(encoding="utf-8")
    assert "the queue is empty" in rest
    assert "all hold" in shell(BLOCKS["verify"])
