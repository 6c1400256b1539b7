"""All who wait share one COMMIT, and each gets an answer of its own, after it."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction

from bursar import errors, group_commit
from tests import group_commit_batches
from tests.conftest import Database

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")


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


class Refusal(errors.Conflict):
    """What a rule of the house says to a member."""


def raising(error: BaseException) -> group_commit_batches.Member:
    def member() -> None:
        raise error

    return member


def committed(size: int) -> list[tuple[str, int]]:
    return [("begin", size), ("commit", size), ("committed", size)]


def rolled_back(size: int) -> list[tuple[str, int]]:
    return [("begin", size), ("rolled_back", size)]


def test_a_batch_is_one_transaction(
    commits: group_commit.GroupCommit, journal: group_commit_batches.Journal
) -> None:
    members = [group_commit_batches.Note(number) for number in range(100)]

    assert group_commit_batches.together(commits, members) == list(range(100))

    assert journal.steps == committed(1) + committed(100)
    assert journal.batches[1] == members
    assert [member.runs for member in members] == [1] * 100
    assert group_commit_batches.notes() == list(range(100))


def test_a_lone_member_is_a_batch_of_its_own(
    commits: group_commit.GroupCommit, journal: group_commit_batches.Journal
) -> None:
    for number in range(3):
        assert commits.run_blocking(group_commit_batches.Note(number)) == number

    assert journal.steps == committed(1) * 3
    assert group_commit_batches.notes() == [0, 1, 2]


def test_a_batch_has_a_greatest_size(
    database: Database, journal: group_commit_batches.Journal
) -> None:
    commits = group_commit.GroupCommit(batch_max=4, watch=journal)

    results = group_commit_batches.together(commits, [functools.partial(int, n) for n in range(10)])
    commits.close()

    assert results == list(range(10))
    assert journal.steps == committed(1) + committed(4) * 2 + committed(2)


def test_nobody_is_answered_and_nothing_seen_before_commit(
    commits: group_commit.GroupCommit, journal: group_commit_batches.Journal
) -> None:
    tasks: list[asyncio.Task[int]] = []
    seen: list[tuple[list[bool], list[int]]] = []

    def look() -> None:
        with ThreadPoolExecutor(1) as other:
            seen.append(
                ([task.done() for task in tasks], other.submit(group_commit_batches.notes).result())
            )

    async def main() -> None:
        async with group_commit_batches.held(commits):
            tasks.extend(
                await group_commit_batches.queued(
                    commits, [group_commit_batches.Note(number) for number in range(2)]
                )
            )
        await asyncio.gather(*tasks)

    commits.run_blocking(lambda: None)
    journal.on = {"commit": look, "committed": look}
    asyncio.run(main())

    # The first two looks are at the batch of the one who holds.
    assert seen == [([False, False], [])] * 3 + [([False, False], [0, 1])]


def test_the_culprit_fails_alone_and_the_others_share_their_commits(
    commits: group_commit.GroupCommit, journal: group_commit_batches.Journal
) -> None:
    members = [group_commit_batches.Note(number) for number in range(6)]
    refusal = Refusal("no")
    runs = 0

    def bad() -> None:
        nonlocal runs
        runs += 1
        group_commit_batches.execute("INSERT INTO note (id, text) VALUES (99, '')")
        raise refusal

    results = group_commit_batches.together(commits, [*members[:4], bad, *members[4:]])

    assert results == [0, 1, 2, 3, refusal, 4, 5]
    assert journal.steps == (
        committed(1) + rolled_back(7) + committed(4) + rolled_back(1) + committed(2)
    )
    assert [member.runs for member in members] == [2, 2, 2, 2, 1, 1]
    assert runs == 2
    assert group_commit_batches.notes() == [0, 1, 2, 3, 4, 5]


def test_many_culprits_each_fail_alone(commits: group_commit.GroupCommit) -> None:
    members = [
        raising(Refusal(str(number))) if number % 7 == 0 else group_commit_batches.Note(number)
        for number in range(200)
    ]

    results = group_commit_batches.together(commits, members)

    good = [number for number in range(200) if number % 7]
    assert [result for result in results if not isinstance(result, Refusal)] == good
    assert [str(results[number]) for number in range(0, 200, 7)] == [
        str(number) for number in range(0, 200, 7)
    ]
    assert group_commit_batches.notes() == good


def test_of_two_equal_keys_in_one_batch_the_first_wins(commits: group_commit.GroupCommit) -> None:
    results = group_commit_batches.together(
        commits,
        [group_commit_batches.Note(1), group_commit_batches.Note(1), group_commit_batches.Note(2)],
    )

    assert results[0] == 1
    assert type(results[1]) is IntegrityError
    assert results[2] == 2
    assert group_commit_batches.notes() == [1, 2]


def test_a_member_that_swallows_a_database_error_is_not_taken_for_a_success(
    commits: group_commit.GroupCommit,
) -> None:
    def sloppy() -> str:
        try:
            with transaction.atomic(savepoint=False):
                group_commit_batches.execute("INSERT INTO note (id, text) VALUES (1, '')")
        except IntegrityError:
            return "all well"
        return "no conflict"

    results = group_commit_batches.together(
        commits, [group_commit_batches.Note(1), sloppy, group_commit_batches.Note(2)]
    )

    assert [results[0], type(results[1]), results[2]] == [
        1,
        transaction.TransactionManagementError,
        2,
    ]
    assert group_commit_batches.notes() == [1, 2]


def test_an_aborted_transaction_is_blamed_on_who_aborted_it(
    commits: group_commit.GroupCommit, database: Database
) -> None:
    def sloppy() -> str:
        try:
            group_commit_batches.execute("INSERT INTO note (id, text) VALUES (1, '')")
        except IntegrityError:
            return "all well"
        return "no conflict"

    results = group_commit_batches.together(
        commits, [group_commit_batches.Note(1), sloppy, group_commit_batches.Note(2)]
    )

    # PostgreSQL turns the whole transaction down; SQLite takes back the statement only.
    expected = {"sqlite": "all well", "postgres": transaction.TransactionManagementError}
    said = results[1] if isinstance(results[1], str) else type(results[1])
    assert [results[0], said, results[2]] == [1, expected[database.name], 2]
    assert group_commit_batches.notes() == [1, 2]


def test_a_foreign_key_checked_at_commit_is_blamed_on_its_member(
    commits: group_commit.GroupCommit, journal: group_commit_batches.Journal
) -> None:
    group_commit_batches.execute(
        "CREATE TABLE reply (note_id bigint NOT NULL"
        " REFERENCES note (id) DEFERRABLE INITIALLY DEFERRED)"
    )

    def reply() -> None:
        group_commit_batches.execute("INSERT INTO reply (note_id) VALUES (77)")

    results = group_commit_batches.together(
        commits, [group_commit_batches.Note(1), reply, group_commit_batches.Note(2)]
    )

    assert [results[0], type(results[1]), results[2]] == [1, IntegrityError, 2]
    refused = [("begin", 1), ("commit", 1), ("rolled_back", 1)]
    assert journal.steps == [
        *committed(1),
        *[("begin", 3), ("commit", 3), ("rolled_back", 3)],
        *committed(1),
        *refused,
        *committed(1),
    ]
    assert group_commit_batches.notes() == [1, 2]
    assert group_commit_batches.execute("SELECT count(*) FROM reply") == [(0,)]


@pytest.mark.parametrize("error", [KeyboardInterrupt("stop"), SystemExit(3), GeneratorExit()])
def test_the_thread_outlives_whatever_a_member_raises(
    commits: group_commit.GroupCommit, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        commits.run_blocking(raising(error))

    assert caught.value is error
    assert commits.run_blocking(group_commit_batches.Note(1)) == 1


def test_stop_iteration_does_not_leave_its_waiter_waiting(
    commits: group_commit.GroupCommit,
) -> None:
    results = group_commit_batches.together(
        commits, [raising(StopIteration(5)), group_commit_batches.Note(1)]
    )

    assert [type(results[0]), str(results[0]), results[1]] == [
        RuntimeError,
        "the member raised StopIteration(5)",
        1,
    ]


def test_too_many_waiting_members_are_turned_away(
    database: Database, journal: group_commit_batches.Journal
) -> None:
    commits = group_commit.GroupCommit(pending_max=5, watch=journal)

    async def main() -> list[Any]:
        async with group_commit_batches.held(commits):
            tasks = await group_commit_batches.queued(commits, [lambda: "done"] * 5)
            with pytest.raises(group_commit.WriteQueueFull) as caught:
                await commits.run(lambda: "never")
            assert caught.value.after_seconds == 1.0
        return [*await asyncio.gather(*tasks), await commits.run(lambda: "later")]

    results = asyncio.run(main())
    commits.close()

    assert results == ["done"] * 5 + ["later"]
    assert journal.steps == committed(1) + committed(5) + committed(1)


def test_a_caller_inside_a_transaction_is_refused(
    commits: group_commit.GroupCommit, journal: group_commit_batches.Journal
) -> None:
    with transaction.atomic(), pytest.raises(group_commit.NestedTransaction):
        commits.run_blocking(group_commit_batches.Note(1))

    assert journal.steps == []


def test_a_member_may_not_wait_for_another(commits: group_commit.GroupCommit) -> None:
    with pytest.raises(group_commit.NestedTransaction):
        commits.run_blocking(lambda: commits.run_blocking(group_commit_batches.Note(1)))
    with pytest.raises(group_commit.NestedTransaction):
        commits.run_blocking(lambda: asyncio.run(commits.run(group_commit_batches.Note(1))))

    assert group_commit_batches.notes() == []


def test_closing_commits_what_is_queued_and_refuses_the_rest(
    commits: group_commit.GroupCommit, journal: group_commit_batches.Journal
) -> None:
    async def main() -> list[Any]:
        async with group_commit_batches.held(commits):
            tasks = await group_commit_batches.queued(
                commits, [group_commit_batches.Note(number) for number in range(20)]
            )
            with pytest.raises(TimeoutError):
                commits.close(timeout_seconds=0.01)
            with pytest.raises(errors.RetryableError):
                await commits.run(group_commit_batches.Note(99))
        await asyncio.to_thread(commits.close)
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == list(range(20))
    commits.close()

    assert journal.steps == committed(1) + committed(20)
    assert group_commit_batches.notes() == list(range(20))


def test_closing_closes_the_connection(
    commits: group_commit.GroupCommit, database: Database
) -> None:
    commits.run_blocking(group_commit_batches.Note(1))
    connections["default"].close()
    commits.close()

    if database.name == "sqlite":
        # The last connection to go takes the write-ahead log along.
        assert [path.name for path in database.settings.home.iterdir()] == ["bursar.sqlite3"]
    else:
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        until = threading.Event()
        while group_commit_batches.execute(others) != [(0,)]:  # a backend takes a moment to leave
            until.wait(0.01)


def test_closing_before_the_first_member_starts_nothing(database: Database) -> None:
    commits = group_commit.GroupCommit()
    commits.close()

    with pytest.raises(errors.RetryableError):
        commits.run_blocking(lambda: None)


def test_a_cancelled_waiter_is_committed_all_the_same(commits: group_commit.GroupCommit) -> None:
    async def main() -> list[Any]:
        async with group_commit_batches.held(commits):
            tasks = await group_commit_batches.queued(
                commits, [group_commit_batches.Note(1), group_commit_batches.Note(2)]
            )
            tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(main())

    assert [type(results[0]), results[1]] == [asyncio.CancelledError, 2]
    assert group_commit_batches.notes() == [1, 2]


def test_a_loop_that_is_gone_does_not_stop_the_others(commits: group_commit.GroupCommit) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert leave.wait(group_commit_batches.PATIENCE_SECONDS)

    with ThreadPoolExecutor(1) as other:
        holding = other.submit(commits.run_blocking, hold)
        assert entered.wait(group_commit_batches.PATIENCE_SECONDS)
        loop = asyncio.new_event_loop()
        abandoned = loop.create_task(commits.run(group_commit_batches.Note(1)))
        loop.run_until_complete(asyncio.sleep(0))
        abandoned.cancel()
        loop.run_until_complete(asyncio.gather(abandoned, return_exceptions=True))
        loop.close()
        leave.set()
        holding.result()

    assert commits.run_blocking(group_commit_batches.Note(2)) == 2
    assert group_commit_batches.notes() == [1, 2]


def test_thousands_from_one_loop_and_many_threads_all_land_once(
    commits: group_commit.GroupCommit, journal: group_commit_batches.Journal
) -> None:
    members = [group_commit_batches.Note(number) for number in range(3_600)]

    async def from_one_loop() -> list[int]:
        return await asyncio.gather(*(commits.run(member) for member in members[:2_000]))

    with ThreadPoolExecutor(16) as threads:
        waiting = [threads.submit(commits.run_blocking, member) for member in members[2_000:]]
        results = asyncio.run(from_one_loop())
        results += [future.result() for future in waiting]

    assert results == list(range(3_600))
    assert [member.runs for member in members] == [1] * 3_600
    assert sum(size for what, size in journal.steps if what == "committed") == 3_600
    assert group_commit_batches.notes() == list(range(3_600))


def test_a_member_sees_the_context_of_who_handed_it_in(commits: group_commit.GroupCommit) -> None:
    async def main() -> list[str]:
        async def ask(name: str) -> str:
            request_id.set(name)
            return await commits.run(request_id.get)

        return await asyncio.gather(*(ask(name) for name in "abc"))

    assert asyncio.run(main()) == ["a", "b", "c"]


def test_writing_needs_a_transaction(commits: group_commit.GroupCommit) -> None:
    with pytest.raises(RuntimeError):
        group_commit.require_transaction()

    commits.run_blocking(group_commit.require_transaction)
