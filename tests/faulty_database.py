"""A server before another that breaks what it is told to: `method__fault` anywhere in a body."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Mapping

import aiohttp
from aiohttp import web

#: What may be told. Each strikes the first call of an idempotency key only.
FAULTS = (
    "lost",
    "timeout_after",
    "reset",
    "garbage",
    "html_502",
    "wrong_type",
    "wrong_shape",
    "wrong_amount",
    "unavailable",
    "slow_body",
)
_MARK = re.compile(rb"__(" + "|".join(FAULTS).encode() + rb")")
_HOP = {"transfer-encoding", "content-length", "connection", "date", "server"}

#: How many calls of the server behind were made, by key.
PASSED = web.AppKey("passed", list)
_STRUCK = web.AppKey("struck", set)
_SESSION = web.AppKey("session", aiohttp.ClientSession)


def before(
    url: str,
    *,
    hang_seconds: float = 60.0,
    chances: Mapping[str, float] | None = None,
    seed: int = 0,
) -> web.Application:
    """
    An app that hands on to the server at *url*; a call that times out hangs so long.

    *chances* are probabilities of faults that strike unasked, each call that has a key anew; they
    depend on the seed, the key and how often it came.
    """
    calls: Counter[str] = Counter()
    app = web.Application(client_max_size=10_000_000)
    app[PASSED], app[_STRUCK] = [], set()

    async def connected(app: web.Application):
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            app[_SESSION] = session
            yield

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        mark, key = _MARK.search(body), request.headers.get("Idempotency-Key", "")
        fault = ""
        if mark and key not in request.app[_STRUCK]:
            request.app[_STRUCK].add(key)
            fault = mark[1].decode()
        if key and not fault and chances:
            calls[key] += 1
            fault = _drawn(chances, f"{seed}/{key}/{calls[key]}")
        return await _answer(request, url, _MARK.sub(b"", body), fault, hang_seconds)

    app.cleanup_ctx.append(connected)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def _drawn(chances: Mapping[str, float], seed: str) -> str:
    drawn = random.Random(seed).random()
    for fault, chance in chances.items():
        drawn -= chance
        if drawn < 0:
            return fault
    return ""


async def _answer(
    request: web.Request, url: str, body: bytes, fault: str, hang_seconds: float
) -> web.StreamResponse:
    if fault == "unavailable":
        return web.Response(status=429, headers={"Retry-After": "0"})
    if fault == "lost":
        return await _hang(request, hang_seconds)
    headers = {n: v for n, v in request.headers.items() if n.lower() not in _HOP | {"host"}}
    session = request.app[_SESSION]
    async with session.request(
        request.method, url + request.path_qs, data=body or None, headers=headers
    ) as answer:
        told, status, kind = await answer.read(), answer.status, answer.content_type
        date = answer.headers.get("Date", "")
    request.app[PASSED].append(request.headers.get("Idempotency-Key", ""))
    match fault:
        case "timeout_after":
            return await _hang(request, hang_seconds)
        case "reset" | "slow_body":
            return await _in_parts(request, told, kind, whole=fault == "slow_body")
        case "garbage":
            told = told[: len(told) // 2] + bytes(range(0x80, 0xA0))
        case "html_502":
            status, kind, told = 502, "text/html", b"<html>Bad gateway</html>"
        case "wrong_type":
            kind = "text/plain"
        case "wrong_shape":
            told = b'{"object": "payment_intent", "outcome": 7, "movement": "none"}'
        case "wrong_amount":
            told = told.replace(b"1337", b"1336")
    return web.Response(body=told, status=status, content_type=kind, headers={"Date": date})


async def _hang(request: web.Request, seconds: float) -> web.StreamResponse:
    await asyncio.sleep(seconds)
    _abort(request)
    return web.Response(status=500)


async def _in_parts(
    request: web.Request, body: bytes, kind: str, *, whole: bool
) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": kind})
    answer.content_length = len(body)
    await answer.prepare(request)
    half = len(body) // 2
    await answer.write(body[:half])
    if whole:
        await asyncio.sleep(0.05)
        await answer.write(body[half:])
        await answer.write_eof()
    else:
        _abort(request)
    return answer


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
