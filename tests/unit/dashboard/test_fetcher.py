"""Boards in virtual time: who is asked when, how often, and what each tile says."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from bursar import errors
from bursar.dashboard.fetching import fetcher
from bursar.dashboard.fetching.results import FetchResult, FetchStatus
from bursar.dashboard.fetching.sources import CoroutineSource, SourceUnavailable
from bursar.providers import circuit_breaker
from tests import event_loop_clock

BEGAN = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)


def _now() -> datetime.datetime:
    return BEGAN + datetime.timedelta(seconds=asyncio.get_running_loop().time())


def _gathering(**more: Any) -> fetcher.Fetcher:
    return fetcher.Fetcher(now=_now, random=lambda: 1.0, **more)


def scripted(key: str, *steps: float | BaseException, **more: Any) -> CoroutineSource[str]:
    """A source whose n-th attempt takes so many seconds, or fails so; the last step repeats."""
    left = list(steps)

    async def ask() -> str:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, BaseException):
            raise step
        await asyncio.sleep(step)
        return f"{key}!"

    return CoroutineSource(key=key, function=ask, **more)


def gathered(
    sources: Iterable[CoroutineSource[Any]], *, deadline_seconds: float = 3.0, **more: Any
) -> tuple[dict[str, FetchResult[Any]], float]:
    """The tiles of one board, and how long it took."""

    async def main() -> tuple[dict[str, FetchResult[Any]], float]:
        async with _gathering(**more) as gathering:
            tiles = await gathering.fetch_all(list(sources), deadline_seconds=deadline_seconds)
            return tiles, asyncio.get_running_loop().time()

    return event_loop_clock.run(main())


def test_a_board_takes_as_long_as_its_slowest_source() -> None:
    tiles, seconds = gathered(scripted(str(n), n / 1_000) for n in range(500))
    assert list(tiles) == [str(n) for n in range(500)]
    assert {tile.state for tile in tiles.values()} == {FetchStatus.OK}
    assert tiles["7"].value == "7!"
    assert tiles["7"].as_of == BEGAN + datetime.timedelta(seconds=0.007)
    assert seconds == pytest.approx(0.499)


def test_the_guides_board_of_twenty_takes_its_slowest_instead_of_their_sum() -> None:
    tiles, seconds = gathered(scripted(str(n), 0.22 + n * 0.36 / 19) for n in range(20))
    assert seconds == pytest.approx(0.58)
    assert sum(tile.seconds for tile in tiles.values()) == pytest.approx(8.0)


def test_no_source_is_a_board_at_once() -> None:
    assert gathered([]) == ({}, 0.0)


def test_two_sources_of_one_key_are_refused() -> None:
    with pytest.raises(ValueError, match="two sources have the same key"):
        gathered([scripted("a", 1), scripted("a", 1)])


def test_at_the_deadline_every_source_has_a_tile() -> None:
    tiles, seconds = gathered([scripted("quick", 1), scripted("hangs", 3_600)], deadline_seconds=2)
    assert seconds == 2
    assert (tiles["quick"].state, tiles["quick"].seconds) == (FetchStatus.OK, 1)
    assert tiles["hangs"] == FetchResult(
        key="hangs",
        state=FetchStatus.FAILED,
        value=None,
        as_of=None,
        seconds=2,
        reason="no response within 2 s",
        attempts=1,
    )


def test_a_source_has_a_deadline_of_its_own() -> None:
    late = scripted("late", 3_600, timeout_seconds=0.5, attempt_seconds=9)
    tiles, seconds = gathered([late, scripted("other", 1)])
    assert seconds == 1
    assert (tiles["late"].reason, tiles["late"].seconds) == ("no response within 0.5 s", 0.5)


def test_tiles_are_told_as_they_land() -> None:
    told: list[str] = []

    async def main() -> None:
        async with _gathering() as gathering:
            sources = [scripted("slow", 2), scripted("quick", 1), scripted("gone", OSError())]
            await gathering.fetch_all(
                sources, deadline_seconds=3, on_result=lambda tile: told.append(tile.key)
            )

    event_loop_clock.run(main())
    assert told == ["gone", "quick", "slow"]


def test_a_listener_that_fails_is_told_to_the_caller_and_nothing_goes_on() -> None:
    def listen(tile: FetchResult[Any]) -> None:
        raise LookupError(tile.key)

    async def main() -> int:
        async with _gathering() as gathering:
            with pytest.raises(LookupError, match="a"):
                await gathering.fetch_all(
                    [scripted("a", 1), scripted("b", 2)], deadline_seconds=3, on_result=listen
                )
            return len(asyncio.all_tasks())

    assert event_loop_clock.run(main()) == 1


# --- Attempts -----------------------------------------------------------------------------------

AGAIN = SourceUnavailable("HTTP 503", is_retryable=True)


@pytest.mark.parametrize(
    ("hedging", "seconds"),
    [(True, 0.0 + 0.1 + 1), (False, 0.05 + 0.1 + 1)],
    ids=["the first pause is spared", "both pauses"],
)
def test_what_may_pass_is_tried_again_after_a_pause(hedging: bool, seconds: float) -> None:
    source = scripted("a", AGAIN, AGAIN, 1, attempts_max=3)
    tiles, took = gathered([source], hedging=hedging)
    assert took == pytest.approx(seconds)
    assert (tiles["a"].state, tiles["a"].attempts, tiles["a"].reason) == (FetchStatus.OK, 3, "")


@pytest.mark.parametrize(
    ("error", "attempts", "reason"),
    [
        (AGAIN, 3, "HTTP 503"),
        (SourceUnavailable("HTTP 404", is_retryable=False), 1, "HTTP 404"),
        (ConnectionResetError("at 10.0.0.7"), 3, "unreachable (ConnectionResetError)"),
        (errors.ExternalAPIError("turned away"), 3, "turned away"),
        (errors.Denied("the key was refused"), 1, "the key was refused"),
        (KeyError("sk_live_secret"), 1, "failed (KeyError)"),
        (asyncio.CancelledError(), 1, "cancelled"),
    ],
)
def test_a_failure_is_told_in_words_without_secrets(
    error: BaseException, attempts: int, reason: str
) -> None:
    tiles, _ = gathered([scripted("a", error, attempts_max=3), scripted("b", 1)])
    assert (tiles["a"].state, tiles["a"].attempts, tiles["a"].reason) == (
        FetchStatus.FAILED,
        attempts,
        reason,
    )
    assert tiles["b"].state is FetchStatus.OK


def test_an_attempt_that_takes_too_long_is_given_up() -> None:
    source = scripted("a", 3_600, 0.5, attempts_max=2, attempt_seconds=1)
    tiles, seconds = gathered([source])
    assert (tiles["a"].state, tiles["a"].attempts, seconds) == (FetchStatus.OK, 2, 1.5)


def test_a_wait_that_is_asked_for_is_kept_or_not_begun() -> None:
    soon = SourceUnavailable("HTTP 429", is_retryable=True, after_seconds=1)
    late = SourceUnavailable("HTTP 429", is_retryable=True, after_seconds=60)
    tiles, seconds = gathered(
        [
            scripted("soon", soon, 0.5, attempts_max=2),
            scripted("late", late, 0.5, attempts_max=2),
        ]
    )
    assert seconds == 1.5
    assert tiles["soon"].state is FetchStatus.OK
    assert (tiles["late"].reason, tiles["late"].attempts, tiles["late"].seconds) == (
        "HTTP 429",
        1,
        0,
    )


def test_a_source_that_does_not_stop_holds_up_nobody() -> None:
    released = False

    async def stubborn() -> None:
        while not released:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                continue

    async def main() -> float:
        nonlocal released
        gathering = _gathering()
        source = CoroutineSource(key="stubborn", function=stubborn)
        tiles = await gathering.fetch_all([source, scripted("b", 1)], deadline_seconds=2)
        seconds = asyncio.get_running_loop().time()
        assert [tile.state for tile in tiles.values()] == [FetchStatus.FAILED, FetchStatus.OK]
        released = True
        await gathering.close()
        return seconds

    assert event_loop_clock.run(main()) <= 2.11


# --- Before and after ---------------------------------------------------------------------------


def _boards(
    *sources: CoroutineSource[Any], boards: int, every_seconds: float = 60, **more: Any
) -> list[dict[str, FetchResult[Any]]]:
    async def main() -> list[dict[str, FetchResult[Any]]]:
        told = []
        async with _gathering(**more) as gathering:
            for _ in range(boards):
                told.append(await gathering.fetch_all(sources, deadline_seconds=5))
                await asyncio.sleep(every_seconds)
        return told

    return event_loop_clock.run(main())


def test_a_source_that_goes_down_is_stale_and_comes_back() -> None:
    source = scripted("a", 1, OSError(), OSError(), 2)
    first, second, third, fourth = (board["a"] for board in _boards(source, boards=4))
    assert (first.state, second.state, third.state, fourth.state) == (
        FetchStatus.OK,
        FetchStatus.STALE,
        FetchStatus.STALE,
        FetchStatus.OK,
    )
    assert second.value == third.value == first.value == "a!"
    assert second.as_of == third.as_of == first.as_of == BEGAN + datetime.timedelta(seconds=1)
    assert (second.reason, fourth.reason) == ("unreachable (OSError)", "")


def test_what_is_forgotten_is_not_shown_again() -> None:
    async def main() -> FetchStatus:
        async with _gathering() as gathering:
            source = scripted("a", 1, OSError())
            await gathering.fetch_all([source], deadline_seconds=5)
            gathering.forget("a")
            return (await gathering.fetch_all([source], deadline_seconds=5))["a"].state

    assert event_loop_clock.run(main()) is FetchStatus.FAILED


def test_a_host_that_fails_all_the_time_is_left_alone_and_tried_again() -> None:
    calls: list[float] = []

    async def ask() -> None:
        calls.append(asyncio.get_running_loop().time())
        raise OSError

    source = CoroutineSource(key="a", function=ask, host="down.test")
    boards = _boards(source, boards=13, every_seconds=1)
    assert calls == [*range(circuit_breaker.FAILURES_MAX)]
    assert boards[-1]["a"].reason == (
        "down.test: circuit open, no calls for 2 s; last error: unreachable (OSError)"
    )
    assert boards[-1]["a"].attempts == 0


def test_sources_of_one_host_wait_for_each_other_and_others_do_not() -> None:
    running, most = 0, 0

    def counted(key: str, host: str) -> CoroutineSource[None]:
        async def ask() -> None:
            nonlocal running, most
            if host == "busy.test":
                running += 1
                most = max(most, running)
                await asyncio.sleep(1)
                running -= 1

        return CoroutineSource(key=key, function=ask, host=host, max_concurrency=3)

    sources = [counted(str(n), "busy.test") for n in range(9)] + [counted("free", "free.test")]
    tiles, seconds = gathered(sources, deadline_seconds=9)
    assert (most, seconds, tiles["free"].seconds) == (3, 3, 0)
    assert {tile.state for tile in tiles.values()} == {FetchStatus.OK}


def test_who_had_no_turn_in_time_is_told_so() -> None:
    sources = [scripted(str(n), 2, host="busy.test", max_concurrency=1) for n in range(3)]
    tiles, seconds = gathered(sources, deadline_seconds=3)
    assert [tile.reason for tile in tiles.values()] == [
        "",
        "no response within 3 s",
        "queued for its host for 3 s",
    ]
    assert seconds == 3


def test_an_open_circuit_turns_a_long_queue_away_without_depth() -> None:
    sources = [
        scripted(str(n), OSError(), host="down.test", max_concurrency=1) for n in range(2_000)
    ]
    tiles, _ = gathered(sources)
    assert sum(tile.attempts for tile in tiles.values()) == circuit_breaker.FAILURES_MAX


# --- Hedging ------------------------------------------------------------------------------------


def _board(hanging: Iterable[int], count: int, **more: Any) -> list[CoroutineSource[str]]:
    def steps(n: int) -> tuple[float, ...]:
        return (3_600, 0.2) if n in set(hanging) else (0.1 + n / count / 10,)

    return [
        scripted(str(n), *steps(n), is_repeatable=True, attempts_max=2, attempt_seconds=1, **more)
        for n in range(count)
    ]


def test_the_last_of_a_board_is_asked_twice() -> None:
    tiles, seconds = gathered(_board([7], 20))
    assert (tiles["7"].state, tiles["7"].hedged, tiles["7"].attempts) == (FetchStatus.OK, True, 2)
    assert sum(tile.attempts for tile in tiles.values()) == 21
    assert seconds == pytest.approx(0.195 + 0.2)


def test_without_hedging_it_is_asked_again_when_its_time_is_over() -> None:
    tiles, seconds = gathered(_board([7], 20), hedging=False)
    assert (tiles["7"].state, tiles["7"].hedged, tiles["7"].attempts) == (FetchStatus.OK, False, 2)
    assert seconds == pytest.approx(1.05 + 0.2)


def test_who_may_not_be_asked_twice_is_not() -> None:
    sources = _board([], 19)
    sources.append(scripted("once", 3_600, 0.2, attempts_max=2, attempt_seconds=1))
    tiles, seconds = gathered(sources)
    assert not tiles["once"].hedged
    assert seconds == pytest.approx(1.2)


def test_never_more_than_one_call_in_twenty_is_extra() -> None:
    async def main() -> tuple[int, int]:
        async with _gathering() as gathering:
            for _ in range(5):
                await gathering.fetch_all(_board(range(30), 100), deadline_seconds=3)
            return gathering.calls

    calls, extra = event_loop_clock.run(main())
    assert calls == 500
    assert extra <= 25


def test_an_answer_to_the_first_attempt_still_counts_after_the_second_began() -> None:
    sources = _board([], 19)
    sources.append(scripted("slow", 0.4, 3_600, is_repeatable=True, attempts_max=2))
    tiles, seconds = gathered(sources)
    assert (tiles["slow"].state, tiles["slow"].hedged, seconds) == (FetchStatus.OK, True, 0.4)


def test_a_source_that_is_always_slow_is_not_asked_twice_once_that_is_known() -> None:
    sources = [*_board([], 19), scripted("slow", 2.0, is_repeatable=True, attempts_max=2)]
    boards = _boards(*sources, boards=12)
    hedged = [board["slow"].hedged for board in boards]
    assert hedged[0]
    assert hedged[8:] == [False] * 4


def test_a_lone_source_that_hangs_is_asked_twice_once_its_habit_is_known() -> None:
    steps = [0.1] * 24 + [3_600, 0.1]
    source = scripted("a", *steps, is_repeatable=True, attempts_max=2, attempt_seconds=2)
    last = _boards(source, boards=25)[-1]["a"]
    assert (last.state, last.hedged) == (FetchStatus.OK, True)
    assert last.seconds < 0.3


def test_what_its_habit_makes_hopeless_is_given_up_before_its_time() -> None:
    steps = [0.1] * 10 + [3_600, 0.1]
    source = scripted("a", *steps, is_repeatable=True, attempts_max=2, attempt_seconds=2)
    last = _boards(source, boards=11)[-1]["a"]
    assert (last.state, last.hedged, last.attempts) == (FetchStatus.OK, False, 2)
    assert last.seconds < 0.5


# --- Left behind --------------------------------------------------------------------------------


def test_an_aborted_board_leaves_no_task() -> None:
    async def main() -> list[int]:
        left = []
        async with _gathering() as gathering:
            for number in range(50):
                board = asyncio.create_task(
                    gathering.fetch_all(
                        [scripted(str(n), n / 10) for n in range(20)], deadline_seconds=3
                    )
                )
                await asyncio.sleep(number / 30)
                board.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await board
                left.append(len(asyncio.all_tasks()))
        return left

    assert event_loop_clock.run(main()) == [1] * 50


def test_a_transform_is_timed_out_like_any_other_part() -> None:
    async def never(*_: object) -> None:
        await asyncio.sleep(3_600)

    async def main() -> FetchResult[Any]:
        async with _gathering() as gathering:
            gathering._executors.transform = never
            source: CoroutineSource[Any] = scripted("a", 1)
            held: Callable[[], Awaitable[Any]] = source.function
            with_transform = CoroutineSource(key="a", function=held, transform=str)
            return (await gathering.fetch_all([with_transform], deadline_seconds=2))["a"]

    assert event_loop_clock.run(main()).reason == "transform not finished within 2 s"
