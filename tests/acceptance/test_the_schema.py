"""
Schemathesis on the complete API, served by a separate process: every check, every phase.

It generates valid and invalid requests from /openapi.json, passes ids from one response to the next
request, and looks for crashes and for responses that do not match the description.
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
from bursar.api import app
from tests.conftest import Database
from tests.shop import Shop, commit

#: A request that matches its schema may still be rejected: an unsupported currency, a reused key (422),
#: a changed object (412). NUL is rejected in any text (400), which a schema cannot express.
CONFIG = """
[generation]
allow-x00 = false

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "401", "403", "404", "409", "412", "422", "503"]
"""
#: A reused idempotency key is rejected at once, so each valid request gets its own.
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
    paths = app.create_app().openapi()["paths"].values()
    count = sum(len(operations) for operations in paths)
    assert count > 20
    assert f"Selected: {count}/{count}" in done.stdout
