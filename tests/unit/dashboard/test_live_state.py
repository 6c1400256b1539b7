"""The board in memory: what listeners are told, in which order, and how much."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from bursar.dashboard import live_state
from bursar.dashboard.live_state import Changes, LiveState, SourceStatus

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def view(
    key: str = "a", *, title: str = "", group: str = "g", seconds: float = 0.1
) -> SourceStatus:
    return SourceStatus(
        key=key,
        title=title or key,
        group=group,
        kind="api",
        state="ok",
        measurements=(),
        last_success_at=NOON,
        state_since=NOON,
        reason="",
        duration_seconds=seconds,
        interval_seconds=60.0,
        sparkline=(1.0, 2.0),
    )


def told(changes: Changes) -> tuple[int, list[str], tuple[str, ...], bool]:
    return changes.version, [v.key for v in changes.statuses], changes.removed, changes.is_snapshot


async def within(waiting: AsyncIterator[Changes]) -> Changes:
    return await asyncio.wait_for(anext(waiting), 10)


def test_views_stand_by_group_then_title() -> None:
    shown = LiveState()
    for one in (view("1", group="h"), view("2", title="z"), view("3", title="c")):
        shown.put(one)
    assert [v.key for v in shown.statuses()] == ["3", "2", "1"]
    assert shown.version == 3
    assert shown.get("2") == view("2", title="z")
    assert shown.get("4") is None


def test_the_same_view_again_changes_nothing() -> None:
    shown = LiveState()
    shown.put(view())
    shown.put(view())
    shown.remove("nothing of that name")
    assert shown.version == 1


def test_a_listener_is_told_the_whole_board_then_the_changes() -> None:
    async def listen() -> list[tuple[int, list[str], tuple[str, ...], bool]]:
        shown = LiveState()
        shown.put(view("a"))
        shown.put(view("b"))
        async with contextlib.aclosing(shown.changes()) as changes:
            found = [told(await within(changes))]
            shown.put(view("b", seconds=0.2))
            found.append(told(await within(changes)))
            shown.remove("a")
            found.append(told(await within(changes)))
        return found

    assert asyncio.run(listen()) == [
        (2, ["a", "b"], (), True),
        (3, ["b"], (), False),
        (4, [], ("a",), False),
    ]


def test_a_slow_listener_is_told_the_newest_of_each_once() -> None:
    async def listen() -> Changes:
        shown = LiveState()
        shown.put(view("a"))
        async with contextlib.aclosing(shown.changes()) as changes:
            await within(changes)
            for number in range(1_000):
                shown.put(view("a", seconds=float(number)))
            return await within(changes)

    found = asyncio.run(listen())
    assert (found.version, [v.duration_seconds for v in found.statuses]) == (1_001, [999.0])


def test_who_was_told_by_another_process_gets_the_whole_board() -> None:
    async def listen(after: int) -> tuple[int, list[str], tuple[str, ...], bool]:
        shown = LiveState()
        shown.put(view("a"))
        shown.put(view("b"))
        async with contextlib.aclosing(shown.changes(after)) as changes:
            return told(await within(changes))

    assert asyncio.run(listen(77)) == (2, ["a", "b"], (), True)
    assert asyncio.run(listen(1)) == (2, ["b"], (), False)


def test_who_is_too_far_behind_to_know_what_is_gone_gets_the_whole_board() -> None:
    async def listen() -> tuple[int, list[str], tuple[str, ...], bool]:
        shown = LiveState()
        shown.put(view("stays"))
        for number in range(live_state._REMOVALS_MAX + 5):
            shown.put(view(str(number)))
            shown.remove(str(number))
        async with contextlib.aclosing(shown.changes(1)) as changes:
            return told(await within(changes))

    assert asyncio.run(listen()) == (2_011, ["stays"], (), True)


def test_what_is_shown_again_is_not_gone() -> None:
    async def listen() -> tuple[int, list[str], tuple[str, ...], bool]:
        shown = LiveState()
        shown.put(view("a"))
        shown.remove("a")
        shown.put(view("a"))
        async with contextlib.aclosing(shown.changes(1)) as changes:
            return told(await within(changes))

    assert asyncio.run(listen()) == (3, ["a"], (), False)


def test_listeners_in_other_loops_are_woken_from_any_thread() -> None:
    shown = LiveState()
    shown.put(view("a"))
    started, heard = threading.Barrier(4), []

    def listen() -> None:
        async def until_told() -> None:
            async with contextlib.aclosing(shown.changes()) as changes:
                await within(changes)
                await asyncio.to_thread(started.wait)
                while True:
                    found = await within(changes)
                    if any(v.duration_seconds == 2.0 for v in found.statuses):
                        heard.append(found.version)
                        return

        asyncio.run(until_told())

    threads = [threading.Thread(target=listen) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    for seconds in (0.5, 1.0, 2.0):
        shown.put(view("a", seconds=seconds))
    for thread in threads:
        thread.join(20)
    assert heard == [4, 4, 4]


def test_who_stops_listening_is_forgotten() -> None:
    async def listen() -> tuple[int, int]:
        shown = LiveState()
        shown.put(view("a"))
        async with contextlib.aclosing(shown.changes()) as changes:
            await within(changes)
            during = len(shown._listeners)
        return during, len(shown._listeners)

    assert asyncio.run(listen()) == (1, 0)


def test_a_listener_whose_loop_is_closed_hinders_nobody() -> None:
    async def listener() -> live_state._Listener:
        return live_state._Listener()

    asyncio.run(listener()).wake()
