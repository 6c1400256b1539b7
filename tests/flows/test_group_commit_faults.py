"""Group commit when the disk is full, the connection breaks, or nobody knows what happened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connections

from bursar import errors, group_commit, settings
from tests import databases, group_commit_batches
from tests.conftest import Database

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize("database", ["postgres"], indirect=True)


@pytest.fixture
def journal() -> group_commit_batches.Journal:
    return group_commit_batches.Journal()


@pytest.fixture
def commits(
    database: Database, journal: group_commit_batches.Journal
) -> Iterator[group_commit.GroupCommit]:
    group_commit_batches.execute("CREATE TABLE note (id bigint PRIMARY KEY, text text NOT NULL)")
    group = group_commit.GroupCommit(watch=journal)
    yield group
    group.close(timeout_seconds=group_commit_batches.PATIENCE_SECONDS)


def kinds(results: list[object]) -> list[object]:
    return [type(result) if isinstance(result, Exception) else result for result in results]


# The disk is full


@only_sqlite
def test_a_full_database_keeps_what_was_acknowledged(commits: group_commit.GroupCommit) -> None:
    [(pages,)] = commits.run_blocking(lambda: group_commit_batches.execute("PRAGMA page_count"))
    commits.run_blocking(
        lambda: group_commit_batches.execute(f"PRAGMA max_page_count = {pages + 20}")
    )

    results = group_commit_batches.together(
        commits, [group_commit_batches.Note(n, "x" * 1000) for n in range(200)]
    )

    acknowledged = [result for result in results if isinstance(result, int)]
    refused = [result for result in results if not isinstance(result, int)]
    assert {type(result) for result in refused} == {errors.RetryableError}
    assert 40 < len(acknowledged) < 100
    assert group_commit_batches.notes() == acknowledged

    commits.run_blocking(
        lambda: group_commit_batches.execute(f"PRAGMA max_page_count = {pages + 2000}")
    )
    assert commits.run_blocking(group_commit_batches.Note(999, "x" * 1000)) == 999


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk needs root and mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)],
        capture_output=True,
        check=False,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_what_was_acknowledged(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    with databases.connected(settings.load(home=small_disk, database_url=None)):
        group_commit_batches.execute(
            "CREATE TABLE note (id bigint PRIMARY KEY, text text NOT NULL)"
        )
        commits = group_commit.GroupCommit()
        results: list[object] = []
        for start in range(0, 1000, 50):
            members = [group_commit_batches.Note(n, "x" * 1000) for n in range(start, start + 50)]
            results += group_commit_batches.together(commits, members)
            if not all(isinstance(result, int) for result in results):
                break

        acknowledged = [result for result in results if isinstance(result, int)]
        refused = [result for result in results if not isinstance(result, int)]
        assert {type(result) for result in refused} == {errors.RetryableError}
        assert len(acknowledged) > 50
        assert group_commit_batches.notes() == acknowledged

        ballast.unlink()
        assert commits.run_blocking(group_commit_batches.Note(5000, "x" * 1000)) == 5000
        assert group_commit_batches.notes() == [*acknowledged, 5000]
        commits.close()


# SQLite answers COMMIT, or BEGIN, with an error


class FailingFile(sqlite3.Connection):
    """A connection whose next COMMIT fails with *error*, after or instead of committing."""

    error = ""
    commits_first = False

    def commit(self) -> None:
        name, FailingFile.error = FailingFile.error, ""
        if name and not self.commits_first:
            raise _sqlite_error(name)
        super().commit()
        if name:
            raise _sqlite_error(name)


def _sqlite_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"made to fail with {name}")
    error.sqlite_errorname = name
    return error


@only_sqlite
@pytest.mark.parametrize("commits_first", [True, False])
def test_an_input_output_error_at_commit_leaves_the_outcome_unknown(
    commits: group_commit.GroupCommit, monkeypatch: pytest.MonkeyPatch, commits_first: bool
) -> None:
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "factory", FailingFile)
    monkeypatch.setattr(FailingFile, "commits_first", commits_first)
    members = [group_commit_batches.Note(1), group_commit_batches.Note(2)]

    def breaking() -> None:
        FailingFile.error = "SQLITE_IOERR_FSYNC"

    results = group_commit_batches.together(commits, [*members, breaking])

    assert kinds(results) == [errors.OutcomeUnknown] * 3
    assert [member.runs for member in members] == [1, 1]
    assert group_commit_batches.notes() == ([1, 2] if commits_first else [])
    assert commits.run_blocking(group_commit_batches.Note(3)) == 3


@only_sqlite
@pytest.mark.parametrize("name", ["SQLITE_FULL", "SQLITE_BUSY"])
def test_a_commit_that_sqlite_refuses_is_run_again(
    commits: group_commit.GroupCommit, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "factory", FailingFile)
    members = [group_commit_batches.Note(1), group_commit_batches.Note(2)]

    def breaking() -> None:
        # Twice: with the others, and alone.
        FailingFile.error = name

    assert kinds(group_commit_batches.together(commits, [*members, breaking])) == [
        1,
        2,
        errors.RetryableError,
    ]
    assert [member.runs for member in members] == [2, 2]
    assert group_commit_batches.notes() == [1, 2]


@only_sqlite
def test_a_lock_held_by_another_process_is_waited_for_and_then_refused(
    commits: group_commit.GroupCommit, database: Database
) -> None:
    connections.settings["default"]["OPTIONS"]["timeout"] = 0.05
    member = group_commit_batches.Note(1)
    other = sqlite3.connect(database.settings.sqlite_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(errors.RetryableError):
        commits.run_blocking(member)

    assert member.runs == 0
    other.execute("ROLLBACK")
    other.close()
    assert commits.run_blocking(member) == 1


# The connection to PostgreSQL breaks


class Wire:
    """
    A loopback proxy before the server, which can cut the connection at COMMIT.

    *cut* is `before` (COMMIT never arrives), `after` (it is carried out, the answer is lost) or
    empty; it holds for one connection.
    """

    def __init__(self, server_path: str) -> None:
        self._server_path = server_path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut = ""
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        for end in [self._listener, *self._clients]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(group_commit_batches.PATIENCE_SECONDS)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                thread = threading.Thread(target=self._carry, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server_path)
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if ready is client and b"COMMIT" in data and self.cut:
                        cut, self.cut = self.cut, ""
                        if cut == "after":
                            server.sendall(data)
                            assert b"COMMIT" in server.recv(65536)
                        return
                    (server if ready is client else client).sendall(data)


@pytest.fixture
def wire(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The writer of the test reaches PostgreSQL through this."""
    chosen = connections.settings["default"]
    proxy = Wire(f"{chosen['HOST']}/.s.PGSQL.5432")
    connections["default"].close()
    monkeypatch.setitem(chosen, "HOST", "127.0.0.1")
    monkeypatch.setitem(chosen, "PORT", str(proxy.port))
    monkeypatch.setitem(chosen, "OPTIONS", {"sslmode": "disable", "gssencmode": "disable"})
    yield proxy
    proxy.close()


@only_postgres
@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_connection_cut_at_commit_leaves_the_outcome_unknown(
    wire: Wire, commits: group_commit.GroupCommit, journal: group_commit_batches.Journal, cut: str
) -> None:
    members = [group_commit_batches.Note(number) for number in range(5)]

    def arm() -> None:
        wire.cut = cut

    results = group_commit_batches.together(commits, [*members, arm])

    assert kinds(results) == [errors.OutcomeUnknown] * 6
    assert len({id(result) for result in results}) == 6
    assert [member.runs for member in members] == [1] * 5
    assert journal.steps[3:] == [("begin", 6), ("commit", 6)]
    assert group_commit_batches.notes() == (list(range(5)) if cut == "after" else [])
    assert commits.run_blocking(group_commit_batches.Note(100)) == 100


@only_postgres
def test_without_a_server_nothing_happens(wire: Wire, commits: group_commit.GroupCommit) -> None:
    wire.close()
    members = [group_commit_batches.Note(1), group_commit_batches.Note(2)]

    async def main() -> list[Any]:
        tasks = await group_commit_batches.queued(commits, members)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert kinds(asyncio.run(main())) == [errors.RetryableError] * 2
    assert [member.runs for member in members] == [0, 0]


def terminate_own_backend() -> None:
    """Let another connection end the one of this thread, and wait until it has gone."""
    [(pid,)] = group_commit_batches.execute("SELECT pg_backend_pid()")
    chosen = connections.settings["default"]
    with psycopg.connect(
        dbname=chosen["NAME"], user=chosen["USER"], host=chosen["HOST"], autocommit=True
    ) as other:
        [gone] = other.execute("SELECT pg_terminate_backend(%s, 30000)", [pid]).fetchall()
        assert gone == (True,)


@only_postgres
def test_a_backend_terminated_before_commit_costs_nobody_anything(
    commits: group_commit.GroupCommit,
) -> None:
    members = [group_commit_batches.Note(number) for number in range(4)]
    runs = 0

    def once_unlucky() -> str:
        nonlocal runs
        runs += 1
        if runs == 1:
            terminate_own_backend()
        group_commit_batches.execute("INSERT INTO note (id, text) VALUES (50, '')")
        return "lucky"

    results = group_commit_batches.together(commits, [*members[:2], once_unlucky, *members[2:]])

    assert results == [0, 1, "lucky", 2, 3]
    assert runs == 2
    assert group_commit_batches.notes() == [0, 1, 2, 3, 50]


@only_postgres
def test_a_member_that_always_loses_its_connection_is_given_up(
    commits: group_commit.GroupCommit,
) -> None:
    runs = 0

    def unlucky() -> None:
        nonlocal runs
        runs += 1
        terminate_own_backend()
        group_commit_batches.execute("SELECT 1")

    results = group_commit_batches.together(
        commits, [group_commit_batches.Note(1), unlucky, group_commit_batches.Note(2)]
    )

    assert kinds(results) == [1, errors.RetryableError, 2]
    # Once among the others, and three times alone.
    assert runs == 4
    assert group_commit_batches.notes() == [1, 2]


@only_postgres
def test_a_connection_lost_while_idle_is_replaced(commits: group_commit.GroupCommit) -> None:
    [(pid,)] = commits.run_blocking(lambda: group_commit_batches.execute("SELECT pg_backend_pid()"))
    assert group_commit_batches.execute("SELECT pg_terminate_backend(%s, 30000)", pid) == [(True,)]

    assert group_commit_batches.together(
        commits, [group_commit_batches.Note(1), group_commit_batches.Note(2)]
    ) == [1, 2]
    assert group_commit_batches.notes() == [1, 2]


@only_postgres
def test_a_connection_lost_with_the_error_swallowed_is_still_noticed(
    commits: group_commit.GroupCommit,
) -> None:
    runs = 0

    def sloppy() -> str:
        nonlocal runs
        runs += 1
        if runs == 1:
            terminate_own_backend()
        with contextlib.suppress(OperationalError):
            group_commit_batches.execute("INSERT INTO note (id, text) VALUES (50, '')")
        return "all well"

    assert group_commit_batches.together(commits, [group_commit_batches.Note(1), sloppy]) == [
        1,
        "all well",
    ]
    assert group_commit_batches.notes() == [1, 50]


@only_postgres
def test_a_deadlock_is_run_again(commits: group_commit.GroupCommit) -> None:
    runs = 0

    def once_unlucky() -> int:
        nonlocal runs
        runs += 1
        if runs == 1:
            group_commit_batches.execute("DO $$ BEGIN RAISE 'dead' USING ERRCODE = '40P01'; END $$")
        return runs

    assert commits.run_blocking(once_unlucky) == 2


@only_postgres
def test_a_lack_of_resources_is_no_fault_of_the_member(commits: group_commit.GroupCommit) -> None:
    def unlucky() -> None:
        group_commit_batches.execute("DO $$ BEGIN RAISE 'full' USING ERRCODE = '53100'; END $$")

    assert kinds(
        group_commit_batches.together(commits, [group_commit_batches.Note(1), unlucky])
    ) == [
        1,
        errors.RetryableError,
    ]


# Whatever else breaks


@pytest.mark.parametrize(
    ("step", "answer", "kept"),
    [
        ("begin", errors.OutcomeUnknown, []),
        ("commit", errors.RetryableError, []),
        ("committed", errors.OutcomeUnknown, [1]),
        ("rolled_back", errors.OutcomeUnknown, []),
    ],
)
def test_a_watch_that_raises_leaves_nobody_waiting(
    commits: group_commit.GroupCommit,
    journal: group_commit_batches.Journal,
    step: str,
    answer: type[Exception],
    kept: list[int],
) -> None:
    def explode() -> None:
        raise ArithmeticError("the watch is broken")

    def fail() -> None:
        raise LookupError("no")

    commits.run_blocking(lambda: None)
    journal.on = {step: explode}
    with pytest.raises(answer) as caught:
        commits.run_blocking(fail if step == "rolled_back" else group_commit_batches.Note(1))
    assert type(caught.value.__cause__) is ArithmeticError

    journal.on = {}
    assert commits.run_blocking(group_commit_batches.Note(2)) == 2
    assert group_commit_batches.notes() == [*kept, 2]
