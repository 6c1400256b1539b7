"""The back office as a person uses it over HTTP: signing in, opening pages, sending forms."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import httpx2
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from fastapi import FastAPI
from starlette.testclient import TestClient

from bursar import clock
from bursar.access import sessions, users
from bursar.access.models import User
from bursar.access.roles import Role
from bursar.api import app
from bursar.settings import AUTHENTICATION_BACKENDS
from tests.shop import commit

PASSWORD = "correct horse battery staple"
_HIDDEN = re.compile(
    r'<input type="hidden" name="(csrfmiddlewaretoken|form_token)" value="([^"]+)"'
)


@functools.cache
def served() -> FastAPI:
    """One for all tests: its threads ask for a connection anew in each."""
    return app.create_app(api=False, with_webhooks=False)


@functools.cache
def _hashed() -> str:
    return users.hash_password(PASSWORD)


def add(role: Role, email: str = "") -> str:
    """A person of *role*; returns their address."""
    address = email or f"{role}@example.com"
    commit(
        lambda: users.create_user(
            email=address, name=role.title(), role=role, password_hash=_hashed(), now=clock.now()
        )
    )
    return address


def session(role: Role) -> str:
    """The key of a session of somebody of *role*, who signed in elsewhere."""
    email, now = f"{role}@example.com", clock.now()
    commit(lambda: users.create_user(email=email, name="x", role=role, password_hash="!", now=now))
    person, kept = User.objects.get(email=email), sessions.SessionStore()
    kept[SESSION_KEY], kept[BACKEND_SESSION_KEY] = str(person.pk), AUTHENTICATION_BACKENDS[0]
    kept[HASH_SESSION_KEY] = person.get_session_auth_hash()
    kept.save()
    return str(kept.session_key)


def hidden_fields(page: httpx2.Response) -> dict[str, str]:
    """The tokens in the form of a page."""
    return dict(_HIDDEN.findall(page.text))


class Office:
    """A browser without eyes, for one person."""

    def __init__(self) -> None:
        self.http = TestClient(
            served(),
            base_url="http://localhost",
            follow_redirects=False,
            raise_server_exceptions=False,
        )

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(f"/admin{path}")

    def open(self, path: str) -> dict[str, str]:
        """Open the form at *path*; returns its hidden fields."""
        return hidden_fields(self.get(path))

    def post(self, path: str, values: Mapping[str, Any]) -> httpx2.Response:
        """Send *values*, hidden fields and all, to *path*."""
        headers = {"Referer": "http://localhost/"}
        return self.http.post(f"/admin{path}", data=dict(values), headers=headers)

    def send(self, path: str, **values: Any) -> httpx2.Response:
        """Open the form at *path* and send it."""
        return self.post(path, {**values, **self.open(path)})

    def sign_in(self, email: str, password: str = PASSWORD, code: str = "") -> bool:
        answer = self.send("/login/", username=email, password=password, code=code, next="/admin/")
        return answer.status_code == 302


def office(role: Role, email: str = "") -> Office:
    """The back office as somebody of *role*, new and signed in, has it."""
    address = email or f"{role}@example.com"
    if not User.objects.filter(email=address).exists():
        add(role, address)
    made = Office()
    assert made.sign_in(address)
    return made
