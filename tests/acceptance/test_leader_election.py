"""Two real processes on PostgreSQL: one watches, is killed, and the other goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bursar.dashboard.models import Alert, LeaderLease, SourceState
from tests.conftest import Database

#: The lease is 15 s, looked for every 5; the rest is for a busy machine.
PATIENCE_SECONDS = 120
#: Nobody listens there, so that it is told at once, as failed.
WATCHED = '[apis.nobody]\nurl = "http://127.0.0.1:9/"\ninterval_seconds = 10\n'


@contextmanager
def served(told: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bursar", "serve", "--port", "0"]
    environment = os.environ | {"BURSAR_MONITORS": str(told)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def until(seq: int, *, token: str = "") -> tuple[str, int]:
    """Wait until a state later than *seq* is written by another than *token*; by whom, and which."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        lease, state = LeaderLease.objects.first(), SourceState.objects.first()
        if (
            lease is not None
            and state is not None
            and lease.token != token
            and state.sequence > seq
        ):
            return lease.token, state.sequence
        time.sleep(0.2)
    raise AssertionError(f"nothing was written after {seq}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_when_the_one_that_watches_is_killed_the_other_goes_on(
    database: Database, tmp_path: Path
) -> None:
    told = tmp_path / "watch.toml"
    told.write_text(WATCHED)
    with ExitStack() as processes:
        first = processes.enter_context(served(told))
        leader, seq = until(0)
        processes.enter_context(served(told))
        first.send_signal(signal.SIGKILL)
        first.wait(20)
        successor, later = until(seq, token=leader)
        assert (successor != leader, later > seq) == (True, True)
        state = SourceState.objects.get()
        assert (state.key, state.state, state.last_success_at) == ("api:nobody", "failed", None)
        numbers = list(Alert.objects.order_by("sequence").values_list("sequence", flat=True))
        assert numbers == [*range(1, len(numbers) + 1)]
