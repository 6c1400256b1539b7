"""The board as JSON and as a stream of events: what a listener is told, in which order, until when."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from bursar.dashboard.live_state import LiveState, Measurement
from bursar.dashboard.views import serializers, sse
from tests import dashboard_factory

LONG = 3_600.0


async def _yes() -> bool:
    return True


def follow(
    shown: LiveState,
    *,
    position: str = "",
    ended: asyncio.Event | None = None,
    allowed: Callable[[], Awaitable[bool]] = _yes,
    beat_seconds: float = LONG,
) -> contextlib.aclosing[AsyncGenerator[bytes, None]]:
    return contextlib.aclosing(
        sse.events(
            shown,
            last_event_id=position,
            now=lambda: dashboard_factory.AT,
            ended=ended or asyncio.Event(),
            is_authorized=allowed,
            heartbeat_seconds=beat_seconds,
            pause_seconds=0.0,
        )
    )


async def told(events: AsyncIterator[bytes]) -> tuple[str, dict[str, Any]]:
    """The name and data of the next event."""
    lines = (await asyncio.wait_for(anext(events), 10)).decode().splitlines()
    fields = dict(line.split(": ", 1) for line in lines if line)
    return fields.get("event", "retry"), json.loads(fields.get("data", "null"))


def keys(data: dict[str, Any]) -> list[str]:
    return [each["key"] for each in data["data"]]


def test_a_view_as_json() -> None:
    shown = dashboard_factory.view(
        measurements=(
            Measurement(name="a", value=None),
            Measurement(name="b", value="up", level="warning"),
        ),
        sparkline=(1 / 3, 123_456.0),
        last_success_at=None,
    )
    (one,) = json.loads(serializers.snapshot([shown], version=3, now=dashboard_factory.AT))["data"]
    assert one == {
        "key": "fx",
        "title": "Exchange rates",
        "group": "Currencies",
        "kind": "api",
        "state": "ok",
        "measurements": [
            {"name": "a", "value": None, "unit": "", "level": "ok", "decimals": None},
            {"name": "b", "value": "up", "unit": "", "level": "warning", "decimals": None},
        ],
        "last_success_at": None,
        "state_since": "2026-11-26T12:00:00Z",
        "reason": "",
        "duration_seconds": 0.18,
        "interval_seconds": 30.0,
        "sparkline": [0.3333, 123_500.0],
    }


def test_a_position_is_of_this_process_only() -> None:
    assert serializers.parse_event_id(serializers.format_event_id(17)) == 17
    for other in (
        "",
        "17",
        "00000000-17",
        f"{serializers.format_event_id(1)}x",
        f"{serializers.format_event_id(1)[:-1]}-1",
    ):
        assert serializers.parse_event_id(other) == 0


def test_a_line_break_in_a_text_begins_no_event() -> None:
    shown = LiveState()
    shown.put(dashboard_factory.view(reason="a\n\nevent: snapshot\ndata: {}\n\n"))

    async def listen() -> None:
        async with follow(shown) as events:
            await anext(events)
            assert (await anext(events)).count(b"\n") == 4

    asyncio.run(listen())


def test_a_listener_is_told_the_whole_board_and_then_what_changes() -> None:
    async def listen() -> None:
        shown = LiveState()
        shown.put(dashboard_factory.view("a"))
        shown.put(dashboard_factory.view("b"))
        async with follow(shown) as events:
            assert (await told(events))[0] == "retry"
            name, data = await told(events)
            assert (name, keys(data), data["last_event_id"]) == (
                "snapshot",
                ["a", "b"],
                serializers.format_event_id(2),
            )
            shown.put(dashboard_factory.view("b", state="failed"))
            name, data = await told(events)
            assert (name, keys(data), data["removed"]) == ("changes", ["b"], [])
            shown.remove("a")
            name, data = await told(events)
            assert (name, keys(data), data["removed"]) == ("changes", [], ["a"])

    asyncio.run(listen())


def test_an_empty_board_is_told_too() -> None:
    async def listen() -> None:
        shown = LiveState()
        async with follow(shown) as events:
            await anext(events)
            assert (await told(events))[1]["data"] == []
            shown.put(dashboard_factory.view("a"))
            assert keys((await told(events))[1]) == ["a"]

    asyncio.run(listen())


def test_who_comes_back_is_told_what_was_missed() -> None:
    async def listen() -> None:
        shown = LiveState()
        for key in "abc":
            shown.put(dashboard_factory.view(key))
        position = serializers.format_event_id(shown.version)
        shown.put(dashboard_factory.view("b", state="critical"))
        shown.remove("c")
        async with follow(shown, position=position) as events:
            await anext(events)
            name, data = await told(events)
            assert (name, keys(data), data["removed"]) == ("changes", ["b"], ["c"])
        async with follow(shown, position="0badbad0-3") as events:
            await anext(events)
            name, data = await told(events)
            assert (name, keys(data)) == ("snapshot", ["a", "b"])

    asyncio.run(listen())


def test_a_slow_listener_is_told_the_newest_once() -> None:
    async def listen() -> None:
        shown = LiveState()
        shown.put(dashboard_factory.view("a"))
        async with follow(shown) as events:
            await anext(events)
            await anext(events)
            for seconds in range(10_000):
                shown.put(dashboard_factory.view("a", duration_seconds=float(seconds)))
            shown.put(dashboard_factory.view("b"))
            _, data = await told(events)
            assert [(each["key"], each["duration_seconds"]) for each in data["data"]] == [
                ("a", 9_999.0),
                ("b", 0.18),
            ]
            assert data["last_event_id"] == serializers.format_event_id(10_002)

    asyncio.run(listen())


def test_a_stream_ends_when_it_is_told_to() -> None:
    async def listen() -> None:
        shown, ended = LiveState(), asyncio.Event()
        async with follow(shown, ended=ended) as events:
            await anext(events)
            await anext(events)
            waiting = asyncio.ensure_future(anext(events, b"end"))
            await asyncio.sleep(0)
            ended.set()
            assert await asyncio.wait_for(waiting, 10) == b"end"

    asyncio.run(listen())


def test_signs_of_life_until_the_listener_may_look_no_longer() -> None:
    async def listen() -> None:
        shown, answers = LiveState(), iter([True, True, False])

        async def allowed() -> bool:
            return next(answers)

        async with follow(shown, allowed=allowed, beat_seconds=0.0) as events:
            await anext(events)
            await anext(events)
            assert await told(events) == ("heartbeat", {"server_time": "2026-11-26T12:00:00Z"})
            assert (await told(events))[0] == "heartbeat"
            assert await asyncio.wait_for(anext(events, b"end"), 10) == b"end"

    asyncio.run(listen())
