"""A stage for the watcher: a real API on loopback, and a clock that a test moves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bursar import group_commit
from bursar.dashboard.config import config_file
from bursar.dashboard.fetching.fetcher import Fetcher
from bursar.dashboard.live_state import LiveState, SourceStatus
from bursar.dashboard.models import Alert
from bursar.dashboard.monitor_scheduler import MonitorScheduler

T = TypeVar("T")

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Server:
    """An HTTP server that answers what it is told to, and counts; *requests* are their first lines."""

    def __init__(self) -> None:
        self.port = 0
        self.status = 200
        self.told: Any = {}
        self.headers: list[str] = []
        self.connections = 0
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                told = (line.partition(": ") for line in head[1:] if line)
                headers = {name.lower(): value for name, _, value in told}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((head[0], headers, body))
                data = json.dumps(self.told).encode()
                lines = [f"HTTP/1.1 {self.status} X", f"Content-Length: {len(data)}", *self.headers]
                writer.write("\r\n".join([*lines, "", ""]).encode() + data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server on a free port."""
    made = Server()
    listening = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()


class Stage:
    """A watcher under a clock of the test's own."""

    def __init__(self, toml: str, *, alone: bool = True) -> None:
        self.seconds = 0.0
        self.board = LiveState()
        self.gathering = Fetcher(hedging=False, processes=1, now=self.now)
        self.file = config_file.parse(toml, name="watch.toml")
        self.watcher = self.another(board=self.board, alone=alone)

    def another(
        self, *, board: LiveState, alone: bool = False, toml: str | None = None
    ) -> MonitorScheduler:
        """One more process, as it were."""
        file = self.file if toml is None else config_file.parse(toml, name="watch.toml")
        return MonitorScheduler(
            file=file,
            live=board,
            fetcher=self.gathering,
            is_only_process=alone,
            now=self.now,
            monotonic=lambda: self.seconds,
        )

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    async def pass_by(self, seconds: float = 60.0, *, times: int = 1) -> None:
        """Let time go by, and everything that is due be asked and written."""
        for _ in range(times):
            self.seconds += seconds
            await self.watcher.tick()
            await self.watcher.wait_for_checks()
            await self.watcher.tick()

    def view(self, key: str) -> SourceStatus:
        found = self.board.get(key)
        assert found is not None, [view.key for view in self.board.statuses()]
        return found


@contextlib.asynccontextmanager
async def staged(toml: str, *, alone: bool = True) -> AsyncIterator[Stage]:
    """A stage with a watcher that is ended properly."""
    stage = Stage(toml, alone=alone)
    async with stage.gathering:
        try:
            yield stage
        finally:
            await stage.watcher.stop()


async def read(query: Callable[[], T]) -> T:
    """What *query* finds, read on the writer's thread."""
    return await group_commit.commits.run(query)


async def alerts() -> list[tuple[str, int, str, str, str]]:
    """All alerts: of what, which, from, to, and the state it was in."""
    columns = ("source_key", "sequence", "previous_level", "new_level", "state")
    return await read(
        lambda: list(Alert.objects.order_by("source_key", "sequence").values_list(*columns))
    )
