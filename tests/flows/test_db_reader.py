"""Reads on threads of their own: how many at once, in whose context, and which connections are left."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from django import db
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from bursar import sql
from bursar.db_reader import DatabaseThreadPool
from tests.conftest import Database

T = TypeVar("T")


def _in_pool(work: Callable[[DatabaseThreadPool], Awaitable[T]], *, threads: int) -> T:
    pool = DatabaseThreadPool(threads=threads, name="test-read")
    try:
        return asyncio.run(_await(work(pool)))
    finally:
        pool.close()


async def _await(work: Awaitable[T]) -> T:
    return await work


def _connection() -> BaseDatabaseWrapper:
    sql.row("SELECT 1")
    return connections["default"]


def test_no_more_reads_run_at_once_than_there_are_threads(database: Database) -> None:
    lock, both = threading.Lock(), threading.Barrier(2, timeout=30)
    running = most = 0

    def read() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()  # for another one, so that one thread alone will not do
        with lock:
            running -= 1

    async def work(pool: DatabaseThreadPool) -> None:
        await asyncio.gather(*(pool.run(read) for _ in range(6)))

    _in_pool(work, threads=2)
    assert most == 2


def test_a_read_sees_the_context_of_its_caller(database: Database) -> None:
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller")

    async def work(pool: DatabaseThreadPool) -> tuple[str, str]:
        async def ask(name: str) -> str:
            caller.set(name)
            return await pool.run(caller.get)

        first, second = await asyncio.gather(ask("ana"), ask("ben"))
        return first, second

    assert _in_pool(work, threads=1) == ("ana", "ben")


def test_closing_the_pool_closes_the_connections_of_its_threads(database: Database) -> None:
    async def work(pool: DatabaseThreadPool) -> BaseDatabaseWrapper:
        connection = await pool.run(_connection)
        assert connection is not connections["default"]
        assert connection.connection is not None
        return connection

    assert _in_pool(work, threads=1).connection is None


def test_a_read_after_one_that_broke_the_connection_has_a_new_one(database: Database) -> None:
    async def work(pool: DatabaseThreadPool) -> tuple[object, object]:
        connection = await pool.run(_connection)
        broken = connection.connection
        with pytest.raises(db.Error):
            await pool.run(lambda: sql.row("SELECT nothing FROM nowhere"))
        await pool.run(_connection)
        return broken, connection.connection

    broken, new = _in_pool(work, threads=1)
    assert new is not None
    assert new is not broken
