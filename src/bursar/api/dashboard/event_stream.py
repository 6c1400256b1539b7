"""Streams of events to those who look: how many there may be, and how all of them end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bursar import errors

#: Streams at once, of all and of one person or key, in one process.
STREAMS_MAX: Final = 200
STREAMS_EACH_MAX: Final = 20
#: Who does not take one event in so long is let go.
SEND_SECONDS_MAX: Final = 30.0
_AFTER_SECONDS: Final = 5.0


class TooManyStreams(errors.Unavailable):
    """As many look at the dashboard already as one process serves, or as one caller may."""

    code = "too_many_streams"


class Streams:
    """Those of one application, all in its event loop."""

    def __init__(self, *, most: int = STREAMS_MAX, most_each: int = STREAMS_EACH_MAX) -> None:
        self._most, self._most_each = most, most_each
        self._open: dict[asyncio.Event, str] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def opened(self, who: str) -> Iterator[asyncio.Event]:
        """
        Count a stream to *who* while it lasts; it must end once the event is set.

        :raises TooManyStreams: if it is one too many, or none may begin any more.
        """
        theirs = Counter(self._open.values())[who]
        if self._closed or len(self._open) >= self._most or theirs >= self._most_each:
            raise TooManyStreams("too many look at the dashboard now", after_seconds=_AFTER_SECONDS)
        ended = asyncio.Event()
        self._open[ended] = who
        try:
            yield ended
        finally:
            del self._open[ended]

    def close(self) -> None:
        """End every stream and begin no other: the server stops, and would wait for them."""
        self._closed = True
        for ended in self._open:
            ended.set()


class EventStream(Response):
    """An answer that goes on until its events end or the listener is gone."""

    media_type = "text/event-stream"

    def __init__(
        self,
        streams: Streams,
        who: str,
        events: Callable[[asyncio.Event], AsyncGenerator[bytes, None]],
    ) -> None:
        # A proxy that collects what it passes on would keep the events back.
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self._streams, self._who, self._events = streams, who, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events. :raises TooManyStreams: as `Streams.opened` does."""
        with self._streams.opened(self._who) as ended:
            scope["state"]["answer_limit"].reschedule(None)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            watching = asyncio.ensure_future(_end_when_gone(receive, ended))
            try:
                async with contextlib.aclosing(self._events(ended)) as events:
                    async for event in events:
                        async with asyncio.timeout(SEND_SECONDS_MAX):
                            await send(
                                {"type": "http.response.body", "body": event, "more_body": True}
                            )
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                watching.cancel()
                await asyncio.wait({watching})


async def _end_when_gone(receive: Receive, ended: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    ended.set()
