"""The authorisation matrix: every route of the API, with every kind of caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from bursar import clock, ids, settings
from bursar.access import api_keys, roles
from bursar.access.models import ApiKey
from bursar.api import app
from bursar.api.middleware import auth, rate_limit
from bursar.api.middleware.auth import RequireScope
from tests.conftest import Database
from tests.shop import commit

KeyMaker = Callable[..., dict[str, str]]


@pytest.fixture
def database(sqlite_only: Database) -> Database:
    """One database is enough: what is tested happens before it."""
    return sqlite_only


#: What answers without a key, and why.
OPEN = {
    "/hooks/{provider_account}": "the provider's signature is its key",
    "/healthz": "tells nothing but that the process lives",
    "/readyz": "tells a word",
    "/docs": "the same for everybody",
    "/openapi.json": "the same for everybody",
    "/": "leads to the sign-in",
    "/metrics": "asks for metrics:read itself",
    "/status": "for the public, where the setting names groups",
}


def routes() -> list[APIRoute]:
    return app.all_routes(app.create_app(admin=False))


def scopes_of(dependant: Dependant) -> Iterator[str]:
    for each in dependant.dependencies:
        needs = getattr(each.call, "needs", None)
        if isinstance(needs, RequireScope):
            yield needs.scope


CALLS = [
    pytest.param(method, route.path, scope, id=f"{method} {route.path}")
    for route in routes()
    for method in sorted(route.methods or ())
    for scope in scopes_of(route.dependant)
]


def call(api: TestClient, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Call a route with ids that do not exist and an empty body."""
    address = path.replace("{", "").replace("}", "")
    answer = api.request(method, address, headers=headers | {"Idempotency-Key": "k"}, json={})
    body = answer.json()
    return answer.status_code, body.get("code", "") if isinstance(body, dict) else ""


def test_every_route_declares_who_may_call_it() -> None:
    undeclared = [
        route.path
        for route in routes()
        if route.path not in OPEN and len(list(scopes_of(route.dependant))) != 1
    ]
    assert undeclared == []
    assert len(CALLS) >= 18


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
def test_the_scope_opens_the_route_and_nothing_else_does(
    api: TestClient, key: KeyMaker, method: str, path: str, scope: str
) -> None:
    others = [each for each in roles.KEY_SCOPES if each != scope]
    assert call(api, method, path, key(*others)) == (403, "forbidden")
    assert call(api, method, path, {}) == (401, "unauthenticated")
    assert call(api, method, path, {"Authorization": "Basic YTpi"}) == (401, "unauthenticated")
    status, code = call(api, method, path, key(scope))
    assert (status, code) not in {(401, "unauthenticated"), (403, "forbidden")}
    assert status < 500


@pytest.mark.parametrize(
    "ended", ["unknown", "other mode", "expired", "revoked", "cut short", "of a person"]
)
def test_a_key_that_is_not_valid_here_opens_nothing(
    api: TestClient, key: KeyMaker, ended: str
) -> None:
    header = key()["Authorization"]
    made, now = ApiKey.objects.get(), clock.now()
    if ended == "unknown":
        header = f"Bearer {api_keys.make_token()}"
    elif ended == "other mode":
        header = header.replace("bk_test_", "bk_live_")
    elif ended == "expired":
        past = now - timedelta(seconds=1)
        commit(lambda: ApiKey.objects.filter(id=made.id).update(expires_at=past))
    elif ended == "revoked":
        commit(lambda: api_keys.revoke(key_id=made.id, now=now))
    elif ended == "cut short":
        header = header[:-1]
    else:
        header = "Bearer user:ann@example.com"
    answer = api.get("/v1/orders", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_of_a_test_installation_opens_no_live_one(
    api: TestClient, key: KeyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = key()
    live = settings.current.model_copy(update={"mode": settings.Mode.LIVE})
    monkeypatch.setattr(settings, "current", live)
    assert api.get("/v1/orders", headers=header).status_code == 401


def test_a_rotated_key_works_on_for_its_overlap(api: TestClient, key: KeyMaker) -> None:
    old = key("orders:read")
    made, now = ApiKey.objects.get(), clock.now()
    token, new_id = api_keys.make_token(), ids.new(ids.API_KEY)
    commit(
        lambda: api_keys.rotate(
            key_id=made.id, new_id=new_id, token=token, overlap=timedelta(hours=1), now=now
        )
    )
    new = {"Authorization": f"Bearer {token}"}
    assert [api.get("/v1/orders", headers=each).status_code for each in (old, new)] == [200, 200]
    ended = now - timedelta(seconds=1)
    commit(lambda: ApiKey.objects.filter(id=made.id).update(expires_at=ended))
    auth.clear_key_cache()
    assert [api.get("/v1/orders", headers=each).status_code for each in (old, new)] == [401, 200]
    assert ApiKey.objects.get(id=new_id).last_used_at is not None


def test_the_token_is_kept_nowhere(api: TestClient, key: KeyMaker) -> None:
    token = key()["Authorization"].removeprefix("Bearer ")
    row = ApiKey.objects.values().get()
    assert token not in str(row)
    assert token[12:-4] not in str(row)


def test_who_calls_too_often_is_told_when_to_come_back(
    api: TestClient, key: KeyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = settings.current.model_copy(update={"api_rate_limit": 3})
    monkeypatch.setattr(settings, "current", few)
    me = key()
    answers = [api.get("/v1/orders", headers=me) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=3;w=60'
    assert answers[0].headers["RateLimit"].startswith('"default";r=2;t=')
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
    strangers = [
        api.get("/v1/orders").status_code for _ in range(rate_limit.UNAUTHENTICATED_PER_MINUTE + 1)
    ]
    assert (strangers[0], strangers[-1]) == (401, 429)
