"""The dashboard over HTTP: who sees it, the board and its stream, and the page for the public."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import Message

from bursar import clock, settings
from bursar.access import api_keys, users
from bursar.access.models import ApiKey
from bursar.access.roles import DASHBOARD_READ, Role
from bursar.api.dashboard import event_stream
from bursar.api.dashboard.event_stream import Streams
from bursar.api.middleware import auth
from bursar.dashboard import history, live_state
from bursar.dashboard.live_state import LiveState, Measurement
from bursar.dashboard.views import sse
from bursar.decorators import cache_of
from tests import dashboard_factory
from tests.conftest import Database
from tests.flows.admin import office
from tests.shop import commit

KeyMaker = Callable[..., dict[str, str]]


@pytest.fixture
def database(sqlite_only: Database) -> Database:
    """One database is enough: the board is in memory."""
    return sqlite_only


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveState]:
    """A board of the test's own."""
    made = LiveState()
    monkeypatch.setattr(live_state, "_current", made)
    yield made
    cache_of(auth._find_by_session).clear()


def signed_in() -> TestClient:
    """The browser of somebody who has signed in to the back office."""
    browser = stranger()
    browser.cookies.set("bursar_session", office.session(Role.VIEWER))
    return browser


def stranger() -> TestClient:
    return TestClient(office.served(), base_url="http://localhost", follow_redirects=False)


# --- The page and who sees it -------------------------------------------------------------------


def test_strangers_are_led_to_the_sign_in_and_come_back(api: TestClient) -> None:
    answer = stranger().get("/dashboard")
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        "/admin/login/?next=/dashboard",
    )
    assert 'name="next" value="/dashboard"' in stranger().get(answer.headers["Location"]).text


def test_a_person_sees_the_page_and_the_board(api: TestClient, shown: LiveState) -> None:
    shown.put(dashboard_factory.view("a"))
    viewer = signed_in()
    page = viewer.get("/dashboard")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'; style-src 'self'" in policy
    answer = viewer.get("/v1/dashboard")
    assert (answer.status_code, [each["key"] for each in answer.json()["data"]]) == (200, ["a"])
    assert 'href="/dashboard"' in viewer.get("/admin/").text
    script = viewer.get("/static/dashboard/dashboard.js")
    assert (script.status_code, script.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize("kept", ["ended", "of nobody", "no key"])
def test_a_session_that_does_not_hold_opens_nothing(api: TestClient, kept: str) -> None:
    viewer = signed_in()
    if kept == "ended":
        commit(
            lambda: users.update_user(email="viewer@example.com", is_active=False, now=clock.now())
        )
    else:
        worth = "0" * 32 if kept == "of nobody" else "../../etc/passwd"
        viewer.cookies.clear()
        viewer.cookies.set("bursar_session", worth)
    assert viewer.get("/dashboard").status_code == 303
    assert viewer.get("/v1/dashboard").status_code == 401


def test_a_session_opens_nothing_else_of_the_api(api: TestClient) -> None:
    viewer = signed_in()
    api.cookies.set("bursar_session", viewer.cookies["bursar_session"])
    assert api.get("/v1/dashboard").status_code == 200
    assert api.get("/v1/orders").status_code == 401


def test_a_second_factor_is_asked_for_here_too(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = signed_in()
    strict = settings.current.model_copy(update={"require_mfa": True})
    monkeypatch.setattr(settings, "current", strict)
    assert viewer.get("/dashboard").status_code == 303


def test_a_key_is_asked_for_its_scope_beside_a_session(api: TestClient, key: KeyMaker) -> None:
    viewer = signed_in()
    assert viewer.get("/v1/dashboard", headers=key("orders:read")).status_code == 403
    assert viewer.get("/v1/dashboard", headers=key(DASHBOARD_READ)).status_code == 200


def test_a_board_of_hundreds_is_sent_small(
    api: TestClient, key: KeyMaker, shown: LiveState
) -> None:
    for view in dashboard_factory.many(500):
        shown.put(view)
    plain = api.get("/v1/dashboard", headers=key() | {"Accept-Encoding": "identity"})
    packed = api.get("/v1/dashboard", headers=key() | {"Accept-Encoding": "gzip"})
    assert len(plain.json()["data"]) == 500
    assert packed.json()["data"] == plain.json()["data"]
    assert packed.headers["Content-Encoding"] == "gzip"
    assert 2 * int(packed.headers["Content-Length"]) < len(plain.content)


def test_how_a_source_was(api: TestClient, key: KeyMaker, shown: LiveState) -> None:
    shown.put(dashboard_factory.view("fx"))
    now = clock.now()
    points = [
        history.HistoryPoint(source_key="fx", series="EUR/USD", at=now, value=v) for v in (1.0, 4.0)
    ]
    commit(lambda: history.add(points))
    address, header = "/v1/dashboard/history", key()
    answer = api.get(address, params={"key": "fx", "range": "year"}, headers=header).json()
    assert (answer["series"], answer["step_seconds"]) == ("EUR/USD", 86_400)
    (span,) = answer["data"]
    assert {**span, "starts_at": ""} == {
        "starts_at": "",
        "count": 2,
        "min": 1.0,
        "max": 4.0,
        "mean": 2.5,
        "last": 4.0,
    }
    asked = {"key": "fx", "series": "duration_seconds"}
    assert api.get(address, params=asked, headers=header).json()["data"] == []
    gone = api.get(address, params={"key": "gone"}, headers=header)
    assert (gone.status_code, gone.json()["code"]) == (404, "monitor_not_found")


# --- The stream ---------------------------------------------------------------------------------


class Listener:
    """One who asks for the stream, as the server sees them."""

    def __init__(self, made: FastAPI, headers: dict[str, str], **more: str) -> None:
        told = {"host": "localhost", "accept": "text/event-stream"} | headers | more
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "GET",
            "http_version": "1.1",
            "path": "/v1/dashboard",
            "raw_path": b"/v1/dashboard",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "client": ("192.0.2.1", 1),
            "headers": [(k.lower().encode(), v.encode()) for k, v in told.items()],
        }
        self.gone, self.asked = asyncio.Event(), False
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.task = asyncio.ensure_future(made(self.scope, self.receive, self.send))

    async def receive(self) -> Message:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.sent.put(message)

    async def told(self) -> Message:
        return await asyncio.wait_for(self.sent.get(), 10)

    async def began(self) -> int:
        """The status; a stream is read until its first event."""
        status: int = (await self.told())["status"]
        if status == 200:
            await self.told()
            assert b"event: snapshot" in (await self.told())["body"]
        return status


@contextlib.asynccontextmanager
async def listening(made: FastAPI, headers: dict[str, str], **more: str) -> AsyncIterator[Listener]:
    listener = Listener(made, headers, **more)
    try:
        yield listener
    finally:
        listener.gone.set()
        await asyncio.wait_for(listener.task, 10)


def test_a_stream_outlasts_every_other_answer_and_ends_with_its_listener(
    served: FastAPI, key: KeyMaker, shown: LiveState
) -> None:
    header = key()

    async def look() -> None:
        async with listening(served, header) as listener:
            assert await listener.began() == 200
            assert listener.scope["state"]["answer_limit"].when() is None
            shown.put(dashboard_factory.view("a"))
            assert b'"key":"a"' in (await listener.told())["body"]
            assert len(served.state.streams) == 1
        assert len(served.state.streams) == 0

    asyncio.run(look())


def test_streams_end_cleanly_when_the_server_stops(
    served: FastAPI, key: KeyMaker, shown: LiveState
) -> None:
    header = key()

    async def look() -> None:
        async with listening(served, header) as first, listening(served, header) as second:
            for each in (first, second):
                await each.began()
            served.state.streams.close()
            for each in (first, second):
                assert await each.told() == {
                    "type": "http.response.body",
                    "body": b"",
                    "more_body": False,
                }
        async with listening(served, header) as late:
            assert await late.began() == 503

    asyncio.run(look())


def test_there_are_so_many_streams_and_so_many_of_one_caller(
    served: FastAPI, key: KeyMaker, shown: LiveState
) -> None:
    mine, another = key(), key()
    served.state.streams = Streams(streams_max=3, streams_per_caller_max=2)

    async def look() -> None:
        async with contextlib.AsyncExitStack() as stack:

            async def answered(header: dict[str, str]) -> int:
                listener = await stack.enter_async_context(listening(served, header))
                return await listener.began()

            assert [await answered(mine) for _ in range(3)] == [200, 200, 503]
            assert [await answered(another) for _ in range(2)] == [200, 503]
        async with listening(served, mine) as again:
            assert await again.began() == 200

    asyncio.run(look())


def test_who_takes_nothing_is_let_go(
    served: FastAPI, key: KeyMaker, shown: LiveState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_SECONDS_MAX", 0.01)
    header = key()

    async def look() -> None:
        async with listening(served, header) as listener:
            listener.sent = asyncio.Queue(maxsize=1)  # full with the head of the answer
            await asyncio.wait_for(asyncio.shield(listener.task), 10)
            assert len(served.state.streams) == 0

    asyncio.run(look())


def test_a_stream_goes_on_where_it_was_left(
    api: TestClient, served: FastAPI, key: KeyMaker, shown: LiveState
) -> None:
    shown.put(dashboard_factory.view("a"))
    header = key()
    position = api.get("/v1/dashboard", headers=header).json()["last_event_id"]
    shown.put(dashboard_factory.view("b"))

    async def look() -> None:
        async with listening(served, header, **{"last-event-id": position}) as listener:
            assert (await listener.told())["status"] == 200
            await listener.told()
            body = (await listener.told())["body"]
            assert (b"event: changes" in body, b'"key":"a"' in body) == (True, False)

    asyncio.run(look())


def test_a_stream_ends_once_its_key_is_revoked(
    served: FastAPI, key: KeyMaker, shown: LiveState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.01)
    header = key()
    key_id = ApiKey.objects.get().id

    async def look() -> None:
        async with listening(served, header) as listener:
            await listener.began()
            assert b"event: heartbeat" in (await listener.told())["body"]
            commit(lambda: api_keys.revoke(key_id=key_id, now=clock.now()))
            auth.clear_key_cache()
            while (told := await listener.told())["more_body"]:
                assert b"event: heartbeat" in told["body"]

    asyncio.run(look())


# --- The page for the public --------------------------------------------------------------------


def test_there_is_no_public_page_unless_it_is_asked_for(api: TestClient) -> None:
    answer = api.get("/status")
    assert (answer.status_code, answer.json()["code"]) == (404, "status_page_disabled")


def test_the_public_is_told_words_and_neither_numbers_nor_reasons(
    api: TestClient, shown: LiveState, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings.current.model_copy(update={"status_page_groups": "Shop, Mail"})
    monkeypatch.setattr(settings, "current", chosen)
    secret = {
        "reason": "10.0.0.7 refused key 12345",
        "measurements": (Measurement(name="n", value=98765.0),),
    }
    for group, title, state in (
        ("Shop", "Checkout", "failed"),
        ("Shop", "<b>Search</b>", "warning"),
        ("Mail", "Mail", "stale"),
        ("Payments", "Balance", "ok"),
    ):
        shown.put(dashboard_factory.view(title, group=group, title=title, state=state, **secret))
    page = api.get("/status").text
    for told in ("Some systems are down", "Checkout", "Outage", "Unknown", "Operational"):
        assert told in page
    assert "&lt;b&gt;Search&lt;/b&gt;" in page
    for kept in ("10.0.0.7", "12345", "98765", "Balance", "Payments", "0.18", "<b>", "warning"):
        assert kept not in page


def test_a_public_page_of_nothing_says_so(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings.current.model_copy(update={"status_page_groups": "Shop"})
    monkeypatch.setattr(settings, "current", chosen)
    assert "No status available yet" in api.get("/status").text
