"""What a person enters reaches no private address, by real sockets: nobody ever connects."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bursar.dashboard.checks import http_api
from bursar.dashboard.config import monitors, ssrf
from bursar.dashboard.fetching.fetcher import Fetcher
from bursar.dashboard.fetching.results import FetchResult, FetchStatus
from bursar.dashboard.fetching.sources import HttpSource
from tests.flows.dashboard.stage import Server, serving

#: Ways to write an address of this very machine. `{}` is the port.
WAYS = [
    "http://127.0.0.1:{}/",
    "http://127.1:{}/",
    "http://127.0.1:{}/",
    "http://2130706433:{}/",
    "http://0x7f000001:{}/",
    "http://0x7f.0.0.1:{}/",
    "http://0177.0.0.1:{}/",
    "http://0:{}/",
    "http://0.0.0.0:{}/",
    "http://localhost:{}/",
    "http://LOCALHOST:{}/",
    "http://localhost.:{}/",
    "http://[::1]:{}/",
    "http://[::]:{}/",
    "http://[::ffff:127.0.0.1]:{}/",
    "http://[::ffff:7f00:1]:{}/",
    "http://[::127.0.0.1]:{}/",
    "http://127.0.0.1:{}/?@example.com",
    "http://127.255.255.254:{}/",
]


@asynccontextmanager
async def honeypot() -> AsyncIterator[Server]:
    """Something that listens on every address of this machine, and counts who comes."""
    made = Server()
    sockets = []
    with socket.socket(socket.AF_INET6) as both:
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        made.port = both.getsockname()[1]
        sockets.append(await asyncio.start_server(made.answer, sock=both.dup()))
    try:
        yield made
    finally:
        for one in sockets:
            one.close()


async def ask(url: str, **more: Any) -> FetchResult[Any]:
    """Ask as an API that somebody entered is asked."""
    watch = http_api.create_check(
        name="mine", api=monitors.HttpMonitorConfig(url=url, **more), is_user_defined=True
    )
    async with Fetcher(hedging=False, processes=1) as gathering:
        tiles = await gathering.fetch_all([watch.source], deadline_seconds=10)
    return tiles[watch.key]


async def ask_all(port: int) -> list[str]:
    told = [await ask(way.format(port)) for way in WAYS]
    assert [tile.state for tile in told] == [FetchStatus.FAILED] * len(WAYS)
    return [tile.reason for tile in told]


def test_every_way_to_write_this_machine_is_refused_before_a_connection() -> None:
    async def story() -> tuple[list[str], int]:
        async with honeypot() as pot:
            return await ask_all(pot.port), pot.connections

    reasons, connections = asyncio.run(story())
    assert connections == 0
    # Which odd ways a resolver understands differs; what it understands is refused.
    assert sum("not allowed" in reason for reason in reasons) >= 10


def test_the_honeypot_would_have_noticed() -> None:
    async def story() -> tuple[FetchStatus, int]:
        async with honeypot() as pot:
            source: HttpSource[Any] = HttpSource(key="a", url=f"http://localhost:{pot.port}/")
            async with Fetcher(hedging=False, processes=1) as gathering:
                tiles = await gathering.fetch_all([source], deadline_seconds=10)
            return tiles["a"].state, pot.connections

    assert asyncio.run(story()) == (FetchStatus.OK, 1)


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first host is taken for a public one, so that there is an answer that redirects."""

    async def story() -> tuple[str, int, int]:
        async with serving() as public, honeypot() as pot:
            public.status = 302
            public.headers = [f"Location: http://127.0.0.1:{pot.port}/"]
            monkeypatch.setattr(ssrf, "BLOCKED_NETWORKS", ())
            tile = await ask(f"{public.url}/")
            return tile.reason, public.connections, pot.connections

    assert asyncio.run(story()) == ("HTTP 302: redirects are not followed", 1, 0)


def test_a_name_that_turns_private_after_it_was_looked_at_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is looked at is the very address that is connected to, at every connection anew."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host: Any, port: Any, *arguments: Any, **more: Any) -> Any:
        if host != "rebinding.example":
            return real(host, port, *arguments, **more)
        asked.append(host)
        return real("127.0.0.1", port, *arguments, **more)

    async def story() -> tuple[str, int]:
        async with honeypot() as pot:
            monkeypatch.setattr(socket, "getaddrinfo", rebinding)
            tile = await ask(f"http://rebinding.example:{pot.port}/")
            return tile.reason, pot.connections

    reason, connections = asyncio.run(story())
    assert ("not allowed" in reason, connections) == (True, 0)
    assert asked != []


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> int:
        async with honeypot() as pot:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{pot.port}")
            await ask(f"http://127.0.0.1:{pot.port}/")
            return pot.connections

    assert asyncio.run(story()) == 0


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("https://api.example.com/x", "BURSAR_MONITOR_SECRET_API_EXAMPLE_COM"),
        ("https://API.example.com:8443", "BURSAR_MONITOR_SECRET_API_EXAMPLE_COM"),
        ("https://api-example.com", "BURSAR_MONITOR_SECRET_API__EXAMPLE_COM"),
        ("https://[2606:4700::1111]/", "BURSAR_MONITOR_SECRET_2606_C4700_C_C1111"),
    ],
)
def test_the_host_names_its_secret(url: str, variable: str) -> None:
    assert http_api.secret_variable(url) == variable
