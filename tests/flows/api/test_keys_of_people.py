"""An API key never does more than the role of the person it belongs to."""

from __future__ import annotations

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from bursar import clock, ids, settings
from bursar.access import api_keys, roles, users
from bursar.access.models import ApiKey, AuditEntry, User
from bursar.access.roles import SCOPES_OF, Role
from bursar.api.middleware import auth
from bursar.decorators import acting_as
from bursar.decorators.authorization import Principal
from bursar.payments.models import Refund
from tests.conftest import Database
from tests.flows.admin.office import Office, add, office
from tests.shop import Shop, commit

HOUR = timedelta(hours=1)


def made_by(who: Office, *scopes: str) -> str:
    """The token of a key that *who* makes in the back office; "" where that is refused."""
    return _token(
        who.send("/actions/create_api_key/", name="shop", scopes=list(scopes), days="30").text
    )


def rotated_by(who: Office, key: ApiKey) -> str:
    return _token(who.send(f"/actions/rotate_api_key/{key.id}/", hours="1").text)


def _token(page: str) -> str:
    return page[page.index("bk_test_") :][:51] if "bk_test_" in page else ""


def made_at_the_shell(*scopes: str, owner: str = "") -> str:
    token, key_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
    commit(
        lambda: api_keys.create(
            key_id=key_id, token=token, name="shell", scopes=scopes, now=now, owner=owner
        )
    )
    return token


def headers(token: str, key: str = "k") -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Idempotency-Key": key}


def change(email: str, **to: object) -> None:
    commit(lambda: users.update_user(email=email, now=clock.now(), **to))  # type: ignore[arg-type]
    auth.clear_key_cache()


def newest() -> ApiKey:
    return ApiKey.objects.latest("id")


def refund(api: TestClient, payment_id: str, token: str) -> int:
    answer = api.post(
        f"/v1/payments/{payment_id}/refunds",
        headers=headers(token),
        json={"amount": {"amount": 900, "currency": "EUR"}},
    )
    return answer.status_code


def test_a_developer_makes_no_key_that_refunds(shop: Shop, api: TestClient) -> None:
    payment, dev = shop.paid(), office(Role.DEVELOPER)
    assert 'value="refunds:write"' not in dev.get("/actions/create_api_key/").text
    assert made_by(dev, "refunds:write") == ""
    assert made_by(dev, "orders:write", "refunds:write") == ""
    assert ApiKey.objects.count() == 0
    token = made_by(dev, "orders:write", "payments:read")
    assert refund(api, payment.id, token) == 403
    assert Refund.objects.count() == 0
    assert newest().owner == User.objects.get(email="developer@example.com")
    entry = AuditEntry.objects.get(action="api_key.create")
    assert entry.after["owner"] == "developer@example.com"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("scope", roles.KEY_SCOPES)
def test_a_key_is_made_for_a_person_within_their_role_alone(
    database: Database, role: Role, scope: str
) -> None:
    email = add(role)
    if scope in SCOPES_OF[role]:
        made_at_the_shell(scope, owner=email.upper())
        assert newest().allowed_scopes == [scope]
    else:
        with pytest.raises(
            api_keys.ScopeExceedsRole, match=f"the role {role} of .* does not have {scope}"
        ):
            made_at_the_shell(scope, owner=email)
        assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", list(Role))
def test_what_a_demoted_owner_may_no_more_their_keys_may_no_more(
    api: TestClient, role: Role
) -> None:
    email = add(Role.ADMIN)
    add(Role.ADMIN, "other@example.com")
    made_at_the_shell(*roles.KEY_SCOPES, owner=email)
    token = made_at_the_shell(*roles.KEY_SCOPES, owner=email)
    change(email, role=role)
    found = api_keys.authenticate(token, now=clock.now())
    assert found is not None
    assert found.principal.scopes == SCOPES_OF[role] & {*roles.KEY_SCOPES}
    assert api.get("/v1/orders", headers=headers(token)).status_code == 200
    allowed = "orders:write" in SCOPES_OF[role]
    placed = api.post("/v1/orders", headers=headers(token), json={})
    assert placed.status_code == (422 if allowed else 403)
    change(email, role=Role.ADMIN)
    assert api.post("/v1/orders", headers=headers(token), json={}).status_code == 422


def test_keys_of_an_inactive_owner_are_refused_until_they_are_active(api: TestClient) -> None:
    email = add(Role.DEVELOPER)
    token = made_at_the_shell("orders:read", owner=email)
    assert api.get("/v1/orders", headers=headers(token)).status_code == 200
    change(email, is_active=False)
    refused = api.get("/v1/orders", headers=headers(token))
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    with pytest.raises(api_keys.ScopeExceedsRole, match="is inactive"):
        made_at_the_shell("orders:read", owner=email)
    key_id, new_id, now = newest().id, ids.new(ids.API_KEY), clock.now()
    with pytest.raises(api_keys.ApiKeyExpired, match="is inactive; create a new key"):
        commit(
            lambda: api_keys.rotate(
                key_id=key_id, new_id=new_id, token=api_keys.make_token(), overlap=HOUR, now=now
            )
        )
    change(email, is_active=True)
    assert api.get("/v1/orders", headers=headers(token)).status_code == 200


def test_a_key_is_rotated_by_who_may_all_that_it_does(shop: Shop, api: TestClient) -> None:
    payment = shop.paid()
    dev, admin = office(Role.DEVELOPER), office(Role.ADMIN)
    assert made_by(admin, "refunds:write", "orders:read")
    key = newest()
    refused = dev.send(f"/actions/rotate_api_key/{key.id}/", hours="0")
    assert (refused.status_code, "scope_exceeds_role" in refused.text) == (403, True)
    assert (ApiKey.objects.count(), "bk_test_" in refused.text) == (1, False)
    assert ApiKey.objects.get().expires_at == key.expires_at

    other = office(Role.ADMIN, "other@example.com")
    token = rotated_by(other, key)
    assert newest().owner == User.objects.get(email="other@example.com")
    change("other@example.com", role=Role.VIEWER)
    assert refund(api, payment.id, token) == 403
    assert api.get("/v1/orders", headers=headers(token)).status_code == 200


def test_rotating_gives_back_nothing_that_the_owner_lost(shop: Shop, api: TestClient) -> None:
    payment, admin = shop.paid(), office(Role.ADMIN)
    email = add(Role.ADMIN, "other@example.com")
    made_at_the_shell("refunds:write", "orders:read", owner=email)
    change(email, role=Role.VIEWER)
    token = rotated_by(admin, newest())
    assert newest().scopes == ["orders:read"]
    assert refund(api, payment.id, token) == 403

    third = add(Role.ADMIN, "third@example.com")
    made_at_the_shell("refunds:write", owner=third)
    change(third, role=Role.VIEWER)
    empty = admin.send(f"/actions/rotate_api_key/{newest().id}/", hours="1")
    assert (empty.status_code, "api_key_expired" in empty.text) == (409, True)


def test_at_the_shell_a_rotated_key_keeps_its_owner(api: TestClient) -> None:
    email = add(Role.DEVELOPER)
    for owner in (email, ""):
        made_at_the_shell("orders:read", owner=owner)
        old, new_id, token = newest(), ids.new(ids.API_KEY), api_keys.make_token()

        def rotate(old_id: str = old.id, new_id: str = new_id, token: str = token) -> None:
            api_keys.rotate(
                key_id=old_id, new_id=new_id, token=token, overlap=HOUR, now=clock.now()
            )

        commit(rotate)
        new = ApiKey.objects.get(id=new_id)
        assert (new.owner, new.scopes, new.rotated_from_id) == (old.owner, old.scopes, old.id)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_key_makes_no_key_beyond_itself(database: Database) -> None:
    add(Role.ADMIN)
    person = User.objects.get()
    for owner in ("operator", f"user:{person.pk}"):
        caller = Principal("key_1", frozenset({"orders:read"}), owner)
        with acting_as(caller):
            with pytest.raises(
                api_keys.ScopeExceedsRole, match="your role does not have refunds:write"
            ):
                made_at_the_shell("orders:read", "refunds:write")
            with pytest.raises(
                api_keys.ScopeExceedsRole, match="owner of a key is the user who creates it"
            ):
                made_at_the_shell("orders:read", owner="somebody@example.com")
            made_at_the_shell("orders:read")
        assert newest().owner == (None if owner == "operator" else person)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "scope", ["*", "refunds:*", "*:write", "refunds:write ", "refunds:approve", ""]
)
def test_no_scope_stands_for_others(database: Database, scope: str) -> None:
    with pytest.raises(roles.InvalidScope):
        made_at_the_shell(scope)
    admin = office(Role.ADMIN)
    assert made_by(admin, scope) == ""
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_key_of_the_other_mode_is_not_rotated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_at_the_shell("orders:read")
    key_id, new_id, now = newest().id, ids.new(ids.API_KEY), clock.now()
    live = settings.current.model_copy(update={"mode": settings.Mode.LIVE})
    monkeypatch.setattr(settings, "current", live)
    with pytest.raises(api_keys.ApiKeyExpired, match="is a test key"):
        commit(
            lambda: api_keys.rotate(
                key_id=key_id, new_id=new_id, token=api_keys.make_token(), overlap=HOUR, now=now
            )
        )
