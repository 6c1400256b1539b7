"""GET over HTTP: one attempt, within limits, and the reason in plain words where it fails."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import aiohttp

from bursar import errors
from bursar.dashboard.gathering.sources import HttpSource, NotAnswered
from bursar.providers.over_http import after_seconds

HEADERS = {"Accept-Encoding": "identity", "User-Agent": "bursar"}
#: Statuses that another attempt may not meet.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
#: How long an idle connection waits for the next gathering, and how long a resolved name is believed:
#: names are resolved in a few threads, and hundreds at once would wait for each other.
KEPT_SECONDS, NAMES_KEPT_SECONDS = 75.0, 300
#: So many addresses are remembered as they were read.
URLS_MAX = 5_000

Allows = Callable[[str], bool]
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class _NotAllowed(OSError):
    """An address that the source's guard refuses."""


class Connections:
    """Open connections of one event loop; sources with different guards share none."""

    def __init__(self, *, now: Callable[[], Any]) -> None:
        self._now = now
        self._sessions: dict[Allows | None, aiohttp.ClientSession] = {}
        # Addresses as the client reads them: reading each anew takes a tenth of a call's time.
        self._urls: dict[str, Any] = {}

    async def ask(self, source: HttpSource[Any]) -> Any:
        """
        Send one GET and read its answer with `source.read`; the caller bounds the time.

        :raises NotAnswered: if there is none that counts.
        """
        session = self._sessions.get(source.allows) or self._open(source.allows)
        try:
            async with session.get(
                self._urls.get(source.url, source.url),
                headers=source.headers,
                allow_redirects=False,
            ) as response:
                self._read(source.url, response)
                if response.status != HTTPStatus.OK:
                    raise self._refused(response)
                body = await _limited(response, source.body_bytes_max)
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(error) from error
        try:
            return source.read(body)
        except errors.BursarError as error:
            raise NotAnswered(error.message, again=False, well=True) from error
        except Exception as error:
            raise NotAnswered(
                f"its answer could not be read ({type(error).__name__})", again=False, well=True
            ) from error

    def _read(self, url: str, response: aiohttp.ClientResponse) -> None:
        # What the client takes out of an address, a fragment or a password, is wanted next time too.
        if url not in self._urls and "#" not in url and "@" not in url:
            if len(self._urls) >= URLS_MAX:
                self._urls.clear()
            self._urls[url] = response.url

    def _open(self, allows: Allows | None) -> aiohttp.ClientSession:
        # How many calls run at once is decided above: waiting here would look like a slow source.
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEPT_SECONDS,
            ttl_dns_cache=NAMES_KEPT_SECONDS,
            socket_factory=None if allows is None else _guarded(allows),
        )
        session = self._sessions[allows] = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
        )
        return session

    def _refused(self, response: aiohttp.ClientResponse) -> NotAnswered:
        status = response.status
        if 300 <= status < 400:
            return NotAnswered(
                f"it redirects ({status}), which is not followed", again=False, well=True
            )
        return NotAnswered(
            f"it answered {status}",
            again=status in PASSING,
            well=status not in PASSING,
            after_seconds=after_seconds(response.headers.get("Retry-After", ""), self._now()),
        )

    async def close(self) -> None:
        """Close all connections."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()
        if sessions:
            await asyncio.sleep(0)  # transports close in the loop's next turn


def _guarded(allows: Allows) -> Callable[[AddressInfo], socket.socket]:
    def make(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if not allows(str(address[0])):
            raise _NotAllowed("not allowed")
        return socket.socket(family, kind, protocol)

    return make


async def _limited(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The body of an answer. :raises NotAnswered: beyond *bytes_max*, or if it is compressed."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        response.close()
        raise NotAnswered("its answer is compressed, unasked", again=False, well=True)
    said = response.content_length
    if said is not None and said <= bytes_max:
        return await response.read()
    parts: list[bytes] = []
    size = 0
    while said is None:
        part = await response.content.readany()
        if not part:
            return b"".join(parts)
        size += len(part)
        if size > bytes_max:
            break
        parts.append(part)
    response.close()  # whatever is still to come
    raise NotAnswered(f"its answer is larger than {bytes_max:,} bytes", again=False, well=True)


def _failed(error: Exception) -> NotAnswered:
    """Tell a foreign failure in words; what it says itself may hold secrets."""
    why, again = "the connection broke", True
    match error:
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            why, again = "its address cannot be read", False
        case aiohttp.ClientConnectorDNSError():
            why = "its host's name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            told = getattr(error.certificate_error, "verify_message", "") or "it is not trusted"
            why, again = f"its certificate is refused: {told}", False
        case aiohttp.ClientSSLError():
            why, again = "no secure connection could be made", False
        case aiohttp.ClientConnectorError(os_error=_NotAllowed()):
            why, again = "its address is not allowed", False
        case aiohttp.ClientConnectorError():
            code = error.os_error.errno
            why = f"no connection ({os.strerror(code) if code else 'refused'})"
        case aiohttp.ClientResponseError():
            why, again = "its answer is no HTTP", False
    return NotAnswered(why, again=again)
