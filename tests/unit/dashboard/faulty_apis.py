"""APIs on loopback that go wrong in every way there is; one server, a path for each."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CHUNK = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
GIGABYTE = 1_000_000_000


def _plain(status: str, body: bytes = b"", *headers: str) -> Answer:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return _raw("\r\n".join(lines).encode() + body)


def _raw(text: bytes, *, close: bool = False) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        if close:
            writer.close()

    return answer


async def _never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client goes


async def _endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(CHUNK)
        await writer.drain()


async def _dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def _gigabyte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n".encode())
    for _ in range(GIGABYTE // 65_536 + 1):
        writer.write(CHUNK)
        await writer.drain()


WAYS: dict[str, Answer] = {
    "/ok": _plain("200 OK", b'{"value": 7}'),
    "/chunked": _raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n"
    ),
    "/until-closed": _raw(b"HTTP/1.1 200 OK\r\n\r\n[1]", close=True),
    "/hangs": _never,
    "/endless": _endless,
    "/dripping": _dripping,
    "/gigabyte": _gigabyte,
    "/redirects": _plain("302 Found", b"", "Location: /ok"),
    "/missing": _plain("404 Not Found"),
    "/failing": _plain("500 Internal Server Error"),
    "/busy": _plain("429 Too Many Requests", b"", "Retry-After: 60"),
    "/compressed": _plain("200 OK", b"x", "Content-Encoding: gzip"),
    "/broken": _raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", close=True),
    "/silent": _raw(b"", close=True),
    "/garbage": _raw(b"220 mail.test ESMTP\r\n", close=True),
}


class Apis:
    """The server: its *port*, how often each path was asked for, and with which headers."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self.heads: list[str] = []

    def url(self, path: str, *, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                first = await reader.readexactly(1)
                if first == b"\x16":  # a TLS handshake, where none is spoken
                    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    break
                head = first + await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head.decode())
                path = head.split(b" ")[1].decode()
                self.asked[path] += 1
                await WAYS[path.partition("?")[0]](reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def serving(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[Apis]:
    """Serve until the block ends, and then wait for nobody."""
    apis = Apis()
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(apis._connected(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    apis.port = server.sockets[0].getsockname()[1]
    try:
        yield apis
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)
