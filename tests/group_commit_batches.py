"""Batches of a known composition, and a journal of what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from django.db import connections

from bursar import group_commit

#: Long enough for any machine; only a deadlock waits so long.
PATIENCE_SECONDS = 60.0

Member = Callable[[], Any]


class Journal:
    """A `watch` that notes each step with the number of members, and calls what a test adds."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int]] = []
        self.batches: list[Sequence[Member]] = []
        self.on: dict[str, Callable[[], object]] = {}

    def __call__(self, what: str, members: Sequence[Member]) -> None:
        self.steps.append((what, len(members)))
        if what == "committed":
            self.batches.append(members)
        if what in self.on:
            self.on[what]()


@contextlib.asynccontextmanager
async def held(commits: group_commit.GroupCommit) -> AsyncIterator[None]:
    """Keep the writer thread busy, so that what is handed in meanwhile becomes one batch."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert leave.wait(PATIENCE_SECONDS)

    holding = asyncio.create_task(commits.run(hold))
    assert await asyncio.to_thread(entered.wait, PATIENCE_SECONDS)
    try:
        yield
    finally:
        leave.set()
    await holding


async def queued(
    commits: group_commit.GroupCommit, members: Sequence[Member]
) -> list[asyncio.Task[Any]]:
    """Hand *members* in, in this order; returns their tasks."""
    tasks = [asyncio.create_task(commits.run(member)) for member in members]
    # Tasks start in the order they were made: after this each of them waits for its answer.
    await asyncio.sleep(0)
    return tasks


def together(commits: group_commit.GroupCommit, members: Sequence[Member]) -> list[Any]:
    """Run *members* as one batch; returns their results and exceptions."""

    async def main() -> list[Any]:
        async with held(commits):
            tasks = await queued(commits, members)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(main())


def execute(statement: str, *values: str | int) -> list[Any]:
    """Run one statement on this thread's connection; returns its rows, if it has any."""
    with connections["default"].cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


class Note:
    """A member that inserts one row, and counts how often it was run."""

    def __init__(self, number: int, text: str = "") -> None:
        self.number = number
        self.text = text
        self.runs = 0

    def __call__(self) -> int:
        self.runs += 1
        execute("INSERT INTO note (id, text) VALUES (%s, %s)", self.number, self.text)
        return self.number


def notes() -> list[int]:
    """The numbers of all notes that a new connection sees, in order."""
    connections["default"].close()
    return [number for (number,) in execute("SELECT id FROM note ORDER BY id")]
