"""Event streams of the dashboard: limits per process and caller, and their end at shutdown."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bursar import errors

#: Concurrent streams in one process: in total, and of one user or API key.
STREAMS_MAX: Final = 200
STREAMS_PER_CALLER_MAX: Final = 20
#: The timeout for sending one event; the stream of a slower client is closed.
SEND_SECONDS_MAX: Final = 30.0
_RETRY_AFTER_SECONDS: Final = 5.0


class TooManyStreams(errors.Unavailable):
    """The limit of concurrent dashboard streams, of the process or of the caller, is reached."""

    code = "too_many_streams"


class Streams:
    """The open streams of one application, all in its event loop."""

    def __init__(
        self,
        *,
        streams_max: int = STREAMS_MAX,
        streams_per_caller_max: int = STREAMS_PER_CALLER_MAX,
    ) -> None:
        self._streams_max, self._streams_per_caller_max = streams_max, streams_per_caller_max
        self._open: dict[asyncio.Event, str] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def open(self, caller: str) -> Iterator[asyncio.Event]:
        """
        Register a stream of *caller* while the context lasts; it must end once the event is set.

        :raises TooManyStreams: if a limit is reached, or after `close`.
        """
        count = Counter(self._open.values())[caller]
        if (
            self._is_closed
            or len(self._open) >= self._streams_max
            or count >= self._streams_per_caller_max
        ):
            raise TooManyStreams("too many dashboard streams", after_seconds=_RETRY_AFTER_SECONDS)
        ended = asyncio.Event()
        self._open[ended] = caller
        try:
            yield ended
        finally:
            del self._open[ended]

    def close(self) -> None:
        """End all streams and refuse new ones, so that the server can shut down."""
        self._is_closed = True
        for ended in self._open:
            ended.set()


class EventStream(Response):
    """A response that lasts until its events end or the client disconnects."""

    media_type = "text/event-stream"

    def __init__(
        self,
        streams: Streams,
        caller: str,
        events: Callable[[asyncio.Event], AsyncGenerator[bytes, None]],
    ) -> None:
        # A proxy that buffers responses would delay the events.
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self._streams, self._caller, self._events = streams, caller, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Send the events.

        :raises TooManyStreams: as `Streams.open`.
        """
        with self._streams.open(self._caller) as ended:
            scope["state"]["answer_limit"].reschedule(None)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            disconnect = asyncio.ensure_future(_end_on_disconnect(receive, ended))
            try:
                async with contextlib.aclosing(self._events(ended)) as events:
                    async for event in events:
                        async with asyncio.timeout(SEND_SECONDS_MAX):
                            await send(
                                {"type": "http.response.body", "body": event, "more_body": True}
                            )
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                disconnect.cancel()
                await asyncio.wait({disconnect})


async def _end_on_disconnect(receive: Receive, ended: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    ended.set()
