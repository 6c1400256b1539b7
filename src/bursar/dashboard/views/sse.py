"""The stream of server-sent events for one listener."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import Final

from bursar.dashboard.live_state import Changes, LiveState
from bursar.dashboard.views import serializers

#: The interval of heartbeats.
HEARTBEAT_SECONDS: Final = 15.0
#: The pause after an event: at most twenty events a second, whatever the rate of changes.
PAUSE_SECONDS: Final = 0.05


async def events(
    live_state: LiveState,
    *,
    last_event_id: str,
    now: Callable[[], datetime],
    ended: asyncio.Event,
    is_authorized: Callable[[], Awaitable[bool]],
    heartbeat_seconds: float,
    pause_seconds: float,
) -> AsyncGenerator[bytes, None]:
    """
    Yield the changes since *last_event_id*, or a snapshot, then every later change, as events.

    The stream ends once *ended* is set, or when *is_authorized*, called at every heartbeat, returns
    False. Nothing is buffered for a slow listener.
    """
    yield serializers.retry()
    version = serializers.parse_event_id(last_event_id)
    if live_state.version == 0:
        empty = Changes(version=0, statuses=(), removed=(), is_snapshot=True)
        yield serializers.change_event(empty, now=now())
    clock = asyncio.get_running_loop().time
    async with contextlib.aclosing(live_state.changes(version)) as changes:
        end = asyncio.ensure_future(ended.wait())
        next_changes = asyncio.ensure_future(anext(changes))
        heartbeat_at = clock() + heartbeat_seconds
        try:
            while not ended.is_set():
                await asyncio.wait(
                    {end, next_changes},
                    timeout=max(0.0, heartbeat_at - clock()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if clock() >= heartbeat_at:
                    if not await is_authorized():
                        return
                    heartbeat_at = clock() + heartbeat_seconds
                    yield serializers.heartbeat(now=now())
                elif next_changes.done():
                    yield serializers.change_event(next_changes.result(), now=now())
                    await asyncio.wait({end}, timeout=pause_seconds)
                    next_changes = asyncio.ensure_future(anext(changes))
        finally:
            end.cancel()
            next_changes.cancel()
            await asyncio.wait({end, next_changes})
