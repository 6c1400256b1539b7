"""
The made-up APIs, in a process of their own: prints its port, then answers as the plan says.

Which board is asked is told in the path, or in a header beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import cast

import uvloop

from benchmarks.dashboard_plan import HEADER, Board
from benchmarks.machine import ROOT

BODY = b'{"name": "an API of the benchmark", "value": 1234.5, "unit": "EUR", "open": [1, 2, 3]}'
ANSWERS = {
    status: (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode()
    + BODY
    for status in (200, 503)
}

NAMED = re.compile(rf"(?im)^{HEADER}: *(\S+)")

_calls: Counter[tuple[str, ...]] = Counter()


class Api(asyncio.Protocol):
    """One connection, one call at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._read.endswith(b"\r\n\r\n"):
            return
        head = self._read.decode()
        self._read = b""
        _, *parts = head.split(" ", 2)[1].split("/")
        if len(parts) == 1:
            named = NAMED.search(head)
            assert named is not None
            parts = [*named[1].split("/"), *parts]
        profile, seed, count, _, number = parts
        attempt = Board(profile, int(seed), int(count)).plan()[int(number)][_calls[*parts]]
        _calls[*parts] += 1
        if not attempt.hangs:
            asyncio.get_running_loop().call_later(
                attempt.seconds, self._answer, ANSWERS[attempt.status]
            )

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


@contextlib.contextmanager
def running() -> Iterator[int]:
    """Run the server for the block; yields its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.dashboard_server"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().removeprefix("port="))
        finally:
            process.terminate()


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Api, "0.0.0.0", 0, backlog=4_096)
    print(f"port={server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
