"""
Serves the dashboard for the benchmark of its page, with simulated sources that change constantly.

Every source changes once in `interval_seconds`; one of them, `probe`, changes ten times a second and
tells as its reading when it did, in milliseconds, without the first digits. Its only argument is JSON; it prints
its address and the key of a session once it serves, and ends when its standard input does.
"""

# The environment is set before Bursar is imported:
# ruff: noqa: E402

from __future__ import annotations

import dataclasses
import json
import os
import random
import socket
import sys
import threading
import time

from benchmarks import metering

TASK = metering.task()
os.environ["BURSAR_HOME"] = TASK["folder"]
os.environ["BURSAR_LOG_LEVEL"] = "ERROR"

import uvicorn

from bursar.cli import bootstrap
from bursar.dashboard import live_state
from bursar.dashboard.live_state import Measurement, SourceStatus, State

PROBE_SECONDS = 0.1
#: The page shortens larger numbers.
MODULUS = 100_000_000
GROUPS = 10
STATES: tuple[State, ...] = ("ok", "warning", "critical", "failed")


def main() -> None:
    bootstrap.start()
    from bursar import clock
    from bursar.api import app

    shown, draw = live_state.current(), random.Random(2026)

    def view(number: int, before: SourceStatus | None) -> SourceStatus:
        value, now = draw.lognormvariate(5, 0.4), clock.now()
        state = draw.choices(STATES, [97, 1, 1, 1])[0]
        return SourceStatus(
            key=f"source-{number}",
            title=f"Source {number}",
            group=f"Group {number % GROUPS}",
            kind="api",
            state=state,
            last_success_at=now,
            state_since=now,
            reason="" if state == "ok" else "slow",
            measurements=(
                Measurement(name="latency", value=value, unit="ms"),
                Measurement(name="queue", value=float(draw.randrange(50))),
            ),
            duration_seconds=value / 1000,
            interval_seconds=TASK["interval_seconds"],
            sparkline=(
                (*before.sparkline, value)
                if before
                else tuple(draw.lognormvariate(5, 0.4) for _ in range(60))
            )[-60:],
        )

    def move() -> None:
        number, pause = 0, TASK["interval_seconds"] / TASK["sources"]
        while True:
            time.sleep(pause)
            shown.put(view(number, shown.get(f"source-{number}")))
            number = (number + 1) % TASK["sources"]

    def probe() -> None:
        one = dataclasses.replace(view(0, None), key="probe", title="Probe", group="A", state="ok")
        while True:
            reading = Measurement(name="at", value=float(round(time.time() * 1000) % MODULUS))
            shown.put(
                dataclasses.replace(one, measurements=(reading,), last_success_at=clock.now())
            )
            time.sleep(PROBE_SECONDS)

    for number in range(TASK["sources"]):
        shown.put(view(number, None))
    server = uvicorn.Server(
        uvicorn.Config(app.create_app(), http="httptools", lifespan="off", log_config=None)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for run in (move, probe):
            threading.Thread(target=run, daemon=True).start()
        threading.Thread(target=_end_with_input, args=[server], daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        print(json.dumps({"address": address, "session": _session()}), flush=True)
        server.run(sockets=[listener])


def _session() -> str:
    """The key of a session of somebody who may see the dashboard."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from bursar import clock, group_commit
    from bursar.access import sessions, users
    from bursar.access.models import User

    email, now = "viewer@example.com", clock.now()
    group_commit.commits.run_blocking(
        lambda: users.create_user(email=email, name="V", role="viewer", password_hash="!", now=now)
    )
    person, kept = User.objects.get(email=email), sessions.SessionStore()
    kept[SESSION_KEY] = str(person.pk)
    kept[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    kept[HASH_SESSION_KEY] = person.get_session_auth_hash()
    kept.save()
    return str(kept.session_key)


def _end_with_input(server: uvicorn.Server) -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
