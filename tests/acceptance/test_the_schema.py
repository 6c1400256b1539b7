"""
Schemathesis over the whole API, served by a process of its own: every check, every phase.

It makes up requests from the description at /openapi.json, right ones and wrong ones, follows ids
from one answer into the next call, and looks for crashes and for answers that are not as described.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar import clock, ids
from bursar.access import api_keys, roles
from tests.conftest import Database
from tests.shop import Shop, commit

#: What is right by its shape may still be refused: a currency nobody knows, a key used before (422),
#: a thing changed meanwhile (412). NUL is refused in any text (400), which a schema cannot say.
CONFIG = """
[generation]
allow-x00 = false

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "401", "403", "404", "409", "412", "422", "503"]
"""
#: A key that was used before is refused at once, so each request gets one of its own.
HOOKS = """
import itertools
import schemathesis

numbers = itertools.count()

@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta.generation.mode.name == "POSITIVE" and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"key-{next(numbers)}"
"""
EXAMPLES = 4


@pytest.fixture
def address(database: Database) -> Iterator[str]:
    """`bursar serve` with a worker, on the test's own database."""
    environment = os.environ | {"BURSAR_API_RATE_LIMIT": "10000000"}
    command = [sys.executable, "-m", "bursar", "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip().removeprefix("serving ")
        server.terminate()
        server.wait(20)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_request_breaks_the_api_or_its_description(
    shop: Shop, address: str, tmp_path: Path
) -> None:
    shop.refund(shop.paid(), 100)
    shop.run_jobs()
    token, key_id = api_keys.make_token(), ids.new(ids.API_KEY)
    commit(
        lambda: api_keys.create(
            key_id=key_id, token=token, name="all", scopes=roles.KEY_SCOPES, now=clock.now()
        )
    )
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG, encoding="ascii")
    (tmp_path / "hooks.py").write_text(HOOKS, encoding="ascii")
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        str(program),
        "--config-file",
        str(config),
        "run",
        f"{address}/openapi.json",
        "--header",
        f"Authorization: Bearer {token}",
        "--checks",
        "all",
        "--max-examples",
        str(EXAMPLES),
        "--seed",
        "2026",
        "--continue-on-failure",
        "--no-color",
        "--generation-database",
        "none",
    ]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=140,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "hooks"},
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert "Selected: 23/23" in done.stdout
