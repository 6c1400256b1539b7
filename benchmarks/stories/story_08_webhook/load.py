"""
A provider that delivers, as a process of its own: so many webhooks, so many at a time.

    python -m benchmarks.stories.story_08_webhook.load URL DELIVERIES AT_ONCE

All requests are made and signed before the clock starts. It prints one line of JSON: how many were
answered with 200, requests a second, and the 99th percentile of the time to a response.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import uvicorn

KEY = b"whsec_of_the_story"
Request = tuple[dict[str, str], bytes]


def requests(count: int) -> list[Request]:
    """Signed events, each with an id of its own."""
    from bursar.providers import standard_webhooks

    now, made = datetime.now(UTC), []
    for number in range(count):
        event = {"id": f"evt_{number:08}", "type": "charge.captured", "object": {"amount": number}}
        body = json.dumps(event).encode()
        headers = standard_webhooks.sign_headers(KEY, event_id=str(event["id"]), at=now, body=body)
        made.append(({**headers, "Content-Type": "application/json"}, body))
    return made


async def deliver(url: str, todo: list[Request], at_once: int) -> dict[str, float]:
    """Deliver all of *todo*."""
    took: list[float] = []
    good = 0

    async def one(session: aiohttp.ClientSession) -> None:
        nonlocal good
        while todo:
            headers, body = todo.pop()
            began = time.perf_counter()
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                good += response.status == 200
            took.append(time.perf_counter() - began)

    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector) as session:
        # What everybody does once (connections, a provider object) is not what is compared.
        measured, todo[:] = todo[at_once:], todo[:at_once]
        await asyncio.gather(*(one(session) for _ in range(at_once)))
        todo[:] = measured
        took.clear()
        began = time.perf_counter()
        await asyncio.gather(*(one(session) for _ in range(at_once)))
        seconds = time.perf_counter() - began
    p99 = sorted(took)[int(len(took) * 0.99)]
    return {"answered": good, "requests a second": len(took) / seconds, "P99 ms": 1e3 * p99}


def put_under_load(app: Any, task: dict[str, Any], path: str) -> dict[str, float]:
    """Serve *app* with uvicorn on loopback in a thread, and deliver to *path* of it."""
    config = uvicorn.Config(
        app, port=0, http="httptools", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}{path}"
    command = [sys.executable, "-m", __name__, url, str(task["deliveries"]), str(task["at_once"])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    server.should_exit = True
    thread.join(10)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    url, count, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(asyncio.run(deliver(url, requests(count), at_once))))


if __name__ == "__main__":
    main()
