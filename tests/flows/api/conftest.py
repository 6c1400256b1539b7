"""The API served in this process, and keys to call it with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from bursar import clock, db_reader, ids
from bursar.access import api_keys, roles
from bursar.api import app
from bursar.api.dashboard.event_stream import Streams
from bursar.api.middleware import auth, rate_limit
from bursar.db_reader import DatabaseThreadPool
from tests.conftest import Database
from tests.shop import commit


@functools.cache
def _made() -> FastAPI:
    """One for all tests: its routes are worked out at the first request, which takes a while."""
    return app.create_app(admin=False)


@pytest.fixture
def served() -> FastAPI:
    """The application, which nobody listens to yet."""
    made = _made()
    made.state.streams = Streams()
    return made


@pytest.fixture
def api(
    database: Database, served: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """A client without a key; an error of the server is answered, not raised."""
    readers = DatabaseThreadPool(threads=4, name="read")
    monkeypatch.setattr(db_reader.readers, "run", readers.run)
    monkeypatch.setattr(rate_limit, "_limiter", rate_limit.new_limiter())
    auth.clear_key_cache()
    with TestClient(served, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client
    readers.close()


@pytest.fixture
def key(api: TestClient) -> Callable[..., dict[str, str]]:
    """Make a key with some scopes (all by default); returns the header that carries it."""

    def make(*scopes: str) -> dict[str, str]:
        token, key_id = api_keys.make_token(), ids.new(ids.API_KEY)
        commit(
            lambda: api_keys.create(
                key_id=key_id,
                token=token,
                name="test",
                scopes=scopes or roles.KEY_SCOPES,
                now=clock.now(),
            )
        )
        return {"Authorization": f"Bearer {token}"}

    return make
