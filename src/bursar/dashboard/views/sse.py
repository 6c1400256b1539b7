"""The board as a stream of server-sent events, for one listener, until it is ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import Final

from bursar.dashboard.live_state import Changes, LiveState
from bursar.dashboard.views import serializers

#: So often a listener is told something, even that nothing changed.
BEAT_SECONDS: Final = 15.0
#: So long after one event the next waits: at most twenty a second, however much changes.
PAUSE_SECONDS: Final = 0.05


async def events(
    board: LiveState,
    *,
    position: str,
    now: Callable[[], datetime],
    ended: asyncio.Event,
    allowed: Callable[[], Awaitable[bool]],
    beat_seconds: float,
    pause_seconds: float,
) -> AsyncGenerator[bytes, None]:
    """
    Yield what changed since *position*, or the whole board, and then every change, as events.

    It ends once *ended* is set, or when *allowed*, which is asked at every beat, says no. While
    the listener is slow nothing is kept for it but that something changed.
    """
    yield serializers.retry()
    after = serializers.version(position)
    if board.version == 0:
        yield serializers.event(Changes(version=0, views=(), removed=(), whole=True), now=now())
    clock = asyncio.get_running_loop().time
    async with contextlib.aclosing(board.changes(after)) as changes:
        ending = asyncio.ensure_future(ended.wait())
        following = asyncio.ensure_future(anext(changes))
        beat_at = clock() + beat_seconds
        try:
            while not ended.is_set():
                await asyncio.wait(
                    {ending, following},
                    timeout=max(0.0, beat_at - clock()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if clock() >= beat_at:
                    if not await allowed():
                        return
                    beat_at = clock() + beat_seconds
                    yield serializers.heartbeat(now=now())
                elif following.done():
                    yield serializers.event(following.result(), now=now())
                    await asyncio.wait({ending}, timeout=pause_seconds)
                    following = asyncio.ensure_future(anext(changes))
        finally:
            ending.cancel()
            following.cancel()
            await asyncio.wait({ending, following})
