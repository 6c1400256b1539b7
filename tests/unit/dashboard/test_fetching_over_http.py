"""Boards over real sockets: each faulty API fails its own tile, and the others are there."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from bursar import errors
from bursar.dashboard.fetching import fetcher
from bursar.dashboard.fetching.results import FetchResult, FetchStatus
from bursar.dashboard.fetching.sources import BlockingSource, HttpSource
from tests.unit.dashboard import faulty_apis
from tests.unit.dashboard.faulty_apis import Apis


def source(apis: Apis, path: str, **more: Any) -> HttpSource[Any]:
    return HttpSource(
        **{"key": path, "url": apis.url(path), "read": orjson.loads, "attempts_max": 1, **more}
    )


async def _board(
    *sources: HttpSource[Any], deadline_seconds: float = 20.0
) -> dict[str, FetchResult[Any]]:
    async with fetcher.Fetcher(processes=1) as gathering:
        return await gathering.fetch_all(sources, deadline_seconds=deadline_seconds)


def board(*paths: str, **more: Any) -> dict[str, FetchResult[Any]]:
    async def main() -> dict[str, FetchResult[Any]]:
        async with faulty_apis.serving() as apis:
            return await _board(*[source(apis, path, **more) for path in paths])

    return asyncio.run(main())


FAULTS = {
    "/hangs": "no response within 0.3 s",
    "/dripping": "no response within 0.3 s",
    "/endless": "response larger than 1,048,576 bytes",
    "/gigabyte": "response larger than 1,048,576 bytes",
    "/redirects": "HTTP 302: redirects are not followed",
    "/missing": "HTTP 404",
    "/failing": "HTTP 500",
    "/busy": "HTTP 429",
    "/compressed": "unexpected compressed response",
    "/broken": "connection lost",
    "/silent": "connection lost",
    "/garbage": "invalid HTTP response",
}


#: Those that only time ends.
ENDLESS = {"/hangs", "/dripping"}


def test_each_fault_is_its_own_tiles_and_all_others_are_there() -> None:
    good = [f"/ok?{number}" for number in range(20)]

    async def main() -> dict[str, FetchResult[Any]]:
        async with faulty_apis.serving() as apis:
            sources = [
                source(
                    apis, path, max_concurrency=50, attempt_seconds=0.3 if path in ENDLESS else 20
                )
                for path in (*FAULTS, *good)
            ]
            return await _board(*sources, deadline_seconds=20)

    tiles = asyncio.run(main())
    assert {key: tiles[key].reason for key in FAULTS} == FAULTS
    assert {tiles[key].state for key in FAULTS} == {FetchStatus.FAILED}
    assert {tiles[key].state for key in good} == {FetchStatus.OK}
    assert [tiles[key].value for key in good] == [{"value": 7}] * 20


@pytest.mark.parametrize(("path", "value"), [("/chunked", [1]), ("/until-closed", [1])])
def test_answers_of_unknown_length_are_read(path: str, value: object) -> None:
    assert board(path)[path].value == value


def test_an_answer_may_be_as_long_as_the_limit_and_no_longer() -> None:
    async def main() -> list[FetchResult[Any]]:
        async with faulty_apis.serving() as apis:
            sources = [
                source(apis, path, key=f"{path} {most}", body_bytes_max=most)
                for path, length in (("/ok", 12), ("/chunked", 3))
                for most in (length, length - 1)
            ]
            return list((await _board(*sources)).values())

    assert [(tile.state, tile.reason) for tile in asyncio.run(main())] == [
        (FetchStatus.OK, ""),
        (FetchStatus.FAILED, "response larger than 11 bytes"),
        (FetchStatus.OK, ""),
        (FetchStatus.FAILED, "response larger than 2 bytes"),
    ]


def _refuse(_: bytes) -> None:
    raise errors.Invalid("the answer has no balance")


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (_refuse, "the answer has no balance"),
        (lambda body: {}[body], "invalid response (KeyError)"),
    ],
)
def test_an_answer_that_cannot_be_read_is_not_asked_for_again(read: Any, reason: str) -> None:
    tile = board("/ok", read=read, attempts_max=3)["/ok"]
    assert (tile.state, tile.reason, tile.attempts) == (FetchStatus.FAILED, reason, 1)


def test_a_connection_serves_one_gathering_after_the_other() -> None:
    async def main() -> tuple[int, int]:
        async with faulty_apis.serving() as apis, fetcher.Fetcher() as gathering:
            for _ in range(5):
                await gathering.fetch_all([source(apis, "/ok")], deadline_seconds=20)
            return apis.connections, apis.asked["/ok"]

    assert asyncio.run(main()) == (1, 5)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic dTpw"}])
def test_every_gathering_sends_the_same_headers(headers: dict[str, str]) -> None:
    async def main() -> list[str]:
        async with faulty_apis.serving() as apis, fetcher.Fetcher() as gathering:
            host = "127.0.0.1" if headers else "u:p@127.0.0.1"
            asked = source(apis, "/ok", url=apis.url("/ok", host=host), headers=headers)
            for _ in range(3):
                await gathering.fetch_all([asked], deadline_seconds=20)
            return apis.heads

    first, *others = asyncio.run(main())
    assert "\r\nAuthorization: Basic dTpw\r\n" in first
    assert "\r\nAccept-Encoding: identity\r\n" in first
    assert others == [first, first]


def test_nobody_listens() -> None:
    async def main() -> FetchResult[Any]:
        async with faulty_apis.serving() as apis:
            url = apis.url("/ok")
        return (await _board(HttpSource(key="a", url=url, attempts_max=2)))["a"]

    tile = asyncio.run(main())
    assert (tile.reason, tile.attempts) == ("connection failed (Connection refused)", 2)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://", "invalid URL"),
        ("gopher://127.0.0.1/", "invalid URL"),
    ],
)
def test_an_address_that_leads_nowhere(url: str, reason: str) -> None:
    tile = asyncio.run(_board(HttpSource(key="a", url=url, attempts_max=1)))["a"]
    assert (tile.state, tile.reason) == (FetchStatus.FAILED, reason)


def test_a_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    unknown: HttpSource[Any] = HttpSource(
        key="a", url="http://no-such-name.invalid/", attempts_max=1
    )
    tile = asyncio.run(_board(unknown))["a"]
    assert (tile.state, tile.reason) == (FetchStatus.FAILED, "host name cannot be resolved")


# --- Certificates -------------------------------------------------------------------------------


def test_a_server_that_knows_no_tls() -> None:
    async def main() -> dict[str, FetchResult[Any]]:
        async with faulty_apis.serving() as apis:
            plain = source(apis, "/ok", key="tls", url=apis.url("/ok", scheme="https"))
            return await _board(plain, source(apis, "/ok"))

    tiles = asyncio.run(main())
    assert (tiles["tls"].state, tiles["/ok"].state) == (FetchStatus.FAILED, FetchStatus.OK)
    assert tiles["tls"].reason == "TLS handshake failed"


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=a"
    program = ["openssl", *made.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(program, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def main() -> FetchResult[Any]:
        async with faulty_apis.serving(tls=tls) as apis:
            secure = source(apis, "/ok", url=apis.url("/ok", scheme="https"), attempts_max=3)
            return (await _board(secure))["/ok"]

    tile = asyncio.run(main())
    assert (tile.state, tile.attempts) == (FetchStatus.FAILED, 1)
    assert tile.reason.startswith("certificate rejected: self")


# --- The guard ----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_guard_is_asked_for_the_address_that_is_connected_to(host: str) -> None:
    seen: list[str] = []

    def allows(address: str) -> bool:
        seen.append(address)
        return False

    async def main() -> tuple[dict[str, FetchResult[Any]], int]:
        async with faulty_apis.serving() as apis:
            guarded = source(
                apis,
                "/ok",
                key="guarded",
                url=apis.url("/ok", host=host),
                is_address_allowed=allows,
            )
            tiles = await _board(guarded, source(apis, "/ok"))
            return tiles, apis.asked["/ok"]

    tiles, asked = asyncio.run(main())
    assert "127.0.0.1" in seen
    assert (tiles["guarded"].reason, tiles["/ok"].state, asked) == (
        "address not allowed",
        FetchStatus.OK,
        1,
    )


def test_what_the_guard_allows_is_asked() -> None:
    assert (
        board("/ok", is_address_allowed=lambda address: address == "127.0.0.1")["/ok"].state
        is FetchStatus.OK
    )


# --- Threads ------------------------------------------------------------------------------------


def test_a_blocking_source_that_hangs_is_waited_for_and_not_started_twice() -> None:
    release, calls = threading.Event(), []

    def block() -> str:
        calls.append(threading.current_thread())
        release.wait(30)
        return "at last"

    async def main() -> list[FetchResult[Any]]:
        async with fetcher.Fetcher() as gathering:
            blocking = BlockingSource(key="blocks", function=block)
            other = BlockingSource(key="other", function=lambda: 1)
            told = []
            for _ in range(3):
                board = await gathering.fetch_all([blocking], deadline_seconds=0.05)
                told.append(board["blocks"])
            others = await gathering.fetch_all([other], deadline_seconds=20)
            assert others["other"].state is FetchStatus.OK  # while the first still blocks
            release.set()
            told.append((await gathering.fetch_all([blocking], deadline_seconds=20))["blocks"])
            return told

    tiles = asyncio.run(main())
    assert [tile.state for tile in tiles] == [FetchStatus.FAILED] * 3 + [FetchStatus.OK]
    assert tiles[-1].value == "at last"
    assert len(calls) == 1


# --- Left behind --------------------------------------------------------------------------------


def _there() -> tuple[int, int, int]:
    gc.collect()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return len(asyncio.all_tasks()), threading.active_count(), descriptors


async def _settled(wanted: tuple[int, int, int] | None = None) -> tuple[int, int, int]:
    """What is there once it is no more than *wanted*, or no longer changes."""
    there = _there()
    for _ in range(500):
        await asyncio.sleep(0.01)
        before, there = wanted or there, _there()
        if _no_more(there, before):
            break
    return there


def _no_more(there: tuple[int, int, int], before: tuple[int, int, int]) -> bool:
    return all(now <= then for now, then in zip(there, before, strict=True))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts what Linux shows")  # noqa: PTH112
def test_fifty_aborted_boards_leave_no_task_thread_or_descriptor() -> None:
    async def abort(apis: Apis, after_seconds: float) -> None:
        async with fetcher.Fetcher() as gathering:
            sources = [source(apis, path, max_concurrency=99) for path in (*FAULTS, "/ok")]
            blocking = BlockingSource(key="blocks", function=threading.Event().is_set)
            task = asyncio.create_task(
                gathering.fetch_all([*sources, blocking], deadline_seconds=5)
            )
            await asyncio.sleep(after_seconds)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def main() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        async with faulty_apis.serving() as apis:
            await abort(apis, 0.005)
            before = await _settled()
            for number in range(50):
                await abort(apis, number / 10_000)
            return before, await _settled(before)

    before, after = asyncio.run(main())
    assert _no_more(after, before), (before, after)
