"""A flaky API: every call fails with a given chance, by a seeded plan that all columns meet."""

from __future__ import annotations

import contextlib
import http.server
import json
import random
import threading
from collections.abc import Iterator
from typing import Any

from benchmarks.stories.scenes import Scene, Task


def plan(task: Task) -> dict[int, list[bool]]:
    """Which attempt of which call fails."""
    dice = random.Random(task["seed"])
    return {n: [dice.random() < task["chance"] for _ in range(20)] for n in range(task["calls"])}


@contextlib.contextmanager
def flaky(task: Task) -> Iterator[Task]:
    """Serve `/rates/N` on loopback; 503 where the plan says so."""
    plans = plan(task)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one packet

        def setup(self) -> None:
            super().setup()
            self.seen = dict.fromkeys(plans, 0)  # each column has one connection

        def do_GET(self) -> None:
            number = int(self.path.rpartition("/")[2])
            failed = plans[number][self.seen[number] % 20]
            self.seen[number] += 1
            body = b"" if failed else json.dumps({"amount": number * 7 % 1_000}).encode()
            self.send_response(503 if failed else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base's name)
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"port": server.server_address[1]}
        server.shutdown()


def _task(chance: float, calls: int) -> Task:
    return {"chance": chance, "calls": calls, "seed": 2026}


SCENE = Scene(
    story=2,
    title="a flaky API, and retry logic in one place",
    guide_says="5 % of calls fail; with retries 12 % of failures became 2 %; 12 copies became one",
    columns={
        "before": "try/except in each place",
        "guide": "a decorator with backoff",
        "ours": "@retry of bursar.decorators",
    },
    tasks={"5 % fail": _task(0.05, 10_000), "12 % fail": _task(0.12, 10_000)},
    quick={"5 % fail": _task(0.05, 1_500), "12 % fail": _task(0.12, 1_500)},
    setup=flaky,
)
