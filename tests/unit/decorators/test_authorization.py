"""Only who is known and has the scope gets in, on every kind of function."""

import asyncio
import hashlib
import hmac
import threading

import django.http
import pytest
from django.test import RequestFactory
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from bursar import errors
from bursar.decorators import (
    BearerTokens,
    Forbidden,
    Principal,
    Unauthenticated,
    acting_as,
    authorization,
    current_principal,
    require_auth,
)

READER = Principal("key:reader", frozenset({"orders:read"}))
OTHER = Principal("key:other", frozenset({"refunds:write", "orders:read2"}))
TOKENS = BearerTokens(
    {
        hashlib.sha256(b"reader-token").hexdigest(): READER,
        hashlib.sha256(b"other-token").hexdigest(): OTHER,
    }
)


@require_auth("orders:read")
def plain(a=1):
    """Told."""
    return a


@require_auth("orders:read")
async def coroutine(a=1):
    return a


@require_auth("orders:read")
def generator():
    yield 1


class Shop:
    @require_auth("orders:read")
    def method(self):
        return 1

    @staticmethod
    @require_auth("orders:read")
    def static():
        return 1


KINDS = {
    "function": plain,
    "coroutine": lambda: asyncio.run(coroutine()),
    "generator": lambda: next(generator()),
    "method": lambda: Shop().method(),
    "static": Shop.static,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("principal", "error"),
    [
        (READER, None),
        (OTHER, Forbidden),
        (None, Unauthenticated),
        (Principal("nobody", frozenset()), Forbidden),
        ("orders:read", Unauthenticated),
        (True, Unauthenticated),
    ],
)
def test_the_matrix(kind, principal, error):
    with acting_as(principal):
        if error is None:
            assert KINDS[kind]() == 1
        else:
            with pytest.raises(error) as caught:
                KINDS[kind]()
            assert caught.value.status == (403 if error is Forbidden else 401)


def test_outside_of_any_context_nobody_is_there():
    with pytest.raises(Unauthenticated):
        plain()
    with pytest.raises(Unauthenticated):
        current_principal()
    with acting_as(READER):
        with acting_as(OTHER):
            assert current_principal() is OTHER
        assert current_principal() is READER
    assert plain.__doc__ == "Told."


@pytest.mark.parametrize(
    "make",
    [
        lambda: require_auth(plain),  # type: ignore[arg-type]
        lambda: require_auth(""),
        lambda: require_auth("x")(int),
    ],
)
def test_a_decorator_without_scope_is_refused(make):
    with pytest.raises(TypeError):
        make()


def test_threads_and_tasks_never_see_each_others_principal():
    async def tasks():
        async def one(principal):
            with acting_as(principal):
                for _ in range(20):
                    await asyncio.sleep(0)
                    assert current_principal() is principal

        await asyncio.gather(*[one(Principal(str(n), frozenset())) for n in range(50)])

    asyncio.run(tasks())
    seen = []
    with acting_as(READER):
        thread = threading.Thread(target=lambda: seen.append(authorization._principal.get()))
        thread.start()
        thread.join()
    assert seen == [None]


# --- requests -----------------------------------------------------------------------------------

guarded = require_auth("orders:read", authenticate=TOKENS)


@guarded
def django_view(request):
    return django.http.HttpResponse(current_principal().id)


@guarded
async def async_django_view(request):
    return django.http.HttpResponse(current_principal().id)


def by_django(headers):
    return django_view(RequestFactory().get("/", headers=headers)).content.decode()


def by_async_django(headers):
    request = RequestFactory().get("/", headers=headers)
    return asyncio.run(async_django_view(request)).content.decode()


app = FastAPI()


@app.exception_handler(errors.BursarError)
async def problem(request, error):
    return JSONResponse({"code": error.code}, error.status)


@app.get("/sync/{number}")
@guarded
def route(request: Request, number: int, limit: int = 10) -> str:
    return f"{current_principal().id} {number} {limit}"


@app.get("/async/{number}")
@guarded
async def async_route(number: int, request: Request, limit: int = 10) -> str:
    return f"{current_principal().id} {number} {limit}"


@pytest.mark.parametrize("view", [by_django, by_async_django])
def test_django_views(view):
    assert view({"Authorization": "Bearer reader-token"}) == "key:reader"
    with pytest.raises(Forbidden):
        view({"Authorization": "Bearer other-token"})
    for headers in ({}, {"Authorization": "Bearer nobodys"}, {"Authorization": "reader-token"}):
        with pytest.raises(Unauthenticated):
            view(headers)


@pytest.mark.parametrize("path", ["/sync/7?limit=3", "/async/7?limit=3"])
def test_fastapi_routes_keep_their_parameters(path):
    with TestClient(app) as client:
        answer = client.get(path, headers={"Authorization": "bearer reader-token"})
        assert (answer.status_code, answer.json()) == (200, "key:reader 7 3")
        for headers, status, code in (
            ({}, 401, "unauthenticated"),
            ({"Authorization": "Bearer nobodys"}, 401, "unauthenticated"),
            ({"Authorization": "Bearer other-token"}, 403, "forbidden"),
        ):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.json()) == (status, {"code": code})
        two = [("Authorization", "Bearer reader-token"), ("Authorization", "Bearer other-token")]
        assert client.get(path, headers=two).status_code == 401


class Told:
    def __init__(self, headers):
        self.headers = headers


@given(st.text() | st.just("Bearer " + "a" * 5_000) | st.text().map("Bearer {}".format))
def test_any_header_is_a_401_or_somebody(text):
    with pytest.raises(Unauthenticated) as caught:
        guarded(lambda request: 1)(Told({"Authorization": text}))
    # What the message always says ("head") may be in the header too.
    always = "the Authorization header has no bearer token{}"
    assert text in always or text not in str(caught.value) + str(caught.value.facts)


@given(st.text())
def test_any_token_is_nobodys(token):
    assert TOKENS(token) is None


def test_without_a_request_there_is_nobody():
    with pytest.raises(Unauthenticated):
        guarded(lambda: 1)()


def test_a_token_is_compared_with_all_in_constant_time(monkeypatch):
    compared = []

    def counted(a, b):
        compared.append(a)
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(authorization, "hmac", type("H", (), {"compare_digest": counted}))
    for token in ("reader-token", "other-token", "nobodys"):
        TOKENS(token)
    assert len(compared) == 6
    assert {len(each) for each in compared} == {64}


def test_a_list_of_plain_tokens_is_refused():
    with pytest.raises(ValueError, match="SHA-256"):
        BearerTokens({"reader-token": READER})


def test_the_principal_of_the_context_comes_before_the_header():
    request = Told({"Authorization": "Bearer reader-token"})
    with acting_as(OTHER), pytest.raises(Forbidden):
        guarded(lambda request: 1)(request)
