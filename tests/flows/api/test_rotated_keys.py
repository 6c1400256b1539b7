"""A rotated API key is the same caller: a request that is repeated with it is one request."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from bursar import clock, ids
from bursar.access import api_keys, idempotency, roles
from bursar.access.models import ApiKey, IdempotencyRecord
from bursar.api.middleware import auth
from bursar.orders.models import Order
from bursar.payments.models import Refund
from tests.conftest import Database
from tests.shop import ACCOUNT, Shop, commit

KeyMaker = Callable[..., dict[str, str]]
Headers = dict[str, str]

ORDER: dict[str, Any] = {
    "reference": "web-1",
    "currency": "EUR",
    "lines": [{"description": "A book", "quantity": 1, "unit_price": "10.00"}],
    "payment": {"provider_account": ACCOUNT, "payment_method_token": "tok_visa"},
}


def rotate(key_id: str, *, hours: float = 1.0) -> Headers:
    """Replace a key; returns the header that carries the new one."""
    token, new_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
    overlap = timedelta(hours=hours)
    commit(
        lambda: api_keys.rotate(key_id=key_id, new_id=new_id, token=token, overlap=overlap, now=now)
    )
    auth.clear_key_cache()
    return {"Authorization": f"Bearer {token}"}


def newest() -> ApiKey:
    return ApiKey.objects.latest("id")


def place(api: TestClient, key: Headers, name: str = "k", **more: Any) -> httpx2.Response:
    return api.post("/v1/orders", headers=key | {"Idempotency-Key": name}, json=ORDER | more)


def told(answer: httpx2.Response) -> tuple[int, bytes, str | None, str | None]:
    """What a caller may rely on of an answer."""
    headers = answer.headers
    return answer.status_code, answer.content, headers.get("ETag"), headers.get("Location")


@pytest.mark.parametrize("hours", [0.0, 1.0])
def test_an_order_repeated_after_a_chain_of_rotations_is_one_order(
    shop: Shop, api: TestClient, key: KeyMaker, hours: float
) -> None:
    first = place(api, key())
    assert first.status_code == 201
    shop.run_jobs()
    for _ in range(3):
        new = rotate(newest().id, hours=hours)
        again = place(api, new)
        assert told(again) == told(first)
        assert again.headers["Idempotent-Replayed"] == "true"
    shop.run_jobs()
    assert (Order.objects.count(), shop.charges(), IdempotencyRecord.objects.count()) == (1, 1, 1)


def test_a_refund_repeated_after_a_rotation_is_one_refund(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    payment, old = shop.paid(), key()
    path, body = (
        f"/v1/payments/{payment.id}/refunds",
        {"amount": {"amount": 300, "currency": "EUR"}},
    )
    first = api.post(path, headers=old | {"Idempotency-Key": "r"}, json=body)
    again = api.post(path, headers=rotate(newest().id) | {"Idempotency-Key": "r"}, json=body)
    assert told(again) == told(first)
    assert (first.status_code, Refund.objects.count()) == (201, 1)


def test_another_body_after_a_rotation_is_refused(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    place(api, key())
    refused = place(api, rotate(newest().id), reference="web-2")
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert Order.objects.count() == 1


def test_both_branches_of_a_key_rotated_twice_are_one_caller(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    key()
    first_id = newest().id
    left, right = rotate(first_id), rotate(first_id)
    assert told(place(api, left)) == told(place(api, right))
    assert {*ApiKey.objects.values_list("lineage", flat=True)} == {first_id}


def test_keys_made_apart_are_callers_apart(shop: Shop, api: TestClient, key: KeyMaker) -> None:
    one, two = place(api, key()), place(api, key())
    assert [one.status_code, two.status_code] == [201, 201]
    assert one.json()["id"] != two.json()["id"]


def test_what_is_kept_is_given_to_no_key_that_lacks_the_scope(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    place(api, key("orders:write"))
    refused = place(api, key(*(one for one in roles.KEY_SCOPES if one != "orders:write")))
    assert refused.status_code == 403


def test_a_refusal_is_decided_anew_by_the_new_key(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    odd: dict[str, Any] = {
        "payment": {"provider_account": "later", "payment_method_token": "tok_visa"}
    }
    assert place(api, key(), **odd).status_code == 404
    assert place(api, rotate(newest().id)).status_code == 201
    assert Order.objects.count() == 1


def test_an_order_stays_one_when_its_kept_answer_is_pruned(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    first = place(api, key())
    later = clock.now() + idempotency.RETENTION + timedelta(seconds=1)
    assert commit(lambda: idempotency.prune(now=later, rows_max=10)) == 1
    again = place(api, rotate(newest().id))
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert Order.objects.count() == 1


def test_old_and_new_key_at_once_are_one_order(shop: Shop, api: TestClient, key: KeyMaker) -> None:
    """The key is rotated while commands with it are under way."""
    carried = itertools.cycle([key(), rotate(newest().id), rotate(newest().id)])
    answers: list[httpx2.Response] = []
    threads = [
        threading.Thread(target=lambda mine: answers.append(place(api, mine)), args=[next(carried)])
        for _ in range(9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({told(answer) for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert (replayed.count(None), replayed.count("true")) == (1, 8)
    assert Order.objects.count() == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_first_key_names_the_lineage(
    database: Database, api: TestClient, key: KeyMaker
) -> None:
    key()
    first = newest()
    assert (first.lineage, first.rotated_from_id) == (first.id, None)
    rotate(first.id)
    rotate(newest().id)
    assert (newest().lineage, ApiKey.objects.count()) == (first.id, 3)
