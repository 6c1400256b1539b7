"""Orders over HTTP: placed, collected, read, found, changed; each once per key."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from bursar.access.models import AuditEntry, IdempotencyRecord
from bursar.orders.models import Order
from bursar.payments.models import Payment, Refund
from tests.shop import ACCOUNT, Shop

KeyMaker = Callable[..., dict[str, str]]

ORDER: dict[str, Any] = {
    "reference": "web-1",
    "currency": "EUR",
    "lines": [
        {
            "sku": "book",
            "description": "A book",
            "quantity": 2,
            "unit_price": "4.20",
            "tax_rate": "19",
        }
    ],
    "payment": {"provider_account": ACCOUNT, "payment_method_token": "tok_visa"},
    "metadata": {"basket": "b-7"},
}


def place(
    api: TestClient, headers: dict[str, str], key: str = "k1", **changes: Any
) -> dict[str, Any]:
    """Place an order, which must go well."""
    answer = api.post(
        "/v1/orders", json=ORDER | changes, headers=headers | {"Idempotency-Key": key}
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def post(api: TestClient, headers: dict[str, str], path: str, key: str, body: Any) -> Any:
    return api.post(path, json=body, headers=headers | {"Idempotency-Key": key})


def test_an_order_is_placed_collected_and_read(shop: Shop, api: TestClient, key: KeyMaker) -> None:
    me = key()
    placed = place(api, me)
    assert (placed["payment_status"], placed["total"]) == (
        "unpaid",
        {"amount": 1000, "currency": "EUR"},
    )
    shop.run_jobs()
    read = api.get(f"/v1/orders/{placed['id']}?expand=payments", headers=me)
    order = read.json()
    assert (order["payment_status"], order["payments"][0]["captured"]["amount"]) == ("paid", 1000)
    assert (
        api.get(
            f"/v1/orders/{placed['id']}?expand=payments",
            headers=me | {"If-None-Match": read.headers["ETag"]},
        ).status_code
        == 304
    )
    [payment] = api.get("/v1/payments?expand=attempts&expand=order", headers=me).json()["data"]
    assert (payment["order"]["id"], payment["attempts"][0]["status"]) == (placed["id"], "succeeded")
    events = api.get(f"/v1/facts?payment={payment['id']}", headers=me).json()["data"]
    assert {event["payment"] for event in events} == {payment["id"]}
    assert api.get(f"/v1/facts/{events[0]['id']}", headers=me).json() == events[0]


def test_the_same_request_again_is_the_same_bytes(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    me = key() | {"Idempotency-Key": "k1"}
    first = api.post("/v1/orders", json=ORDER, headers=me)
    shop.run_jobs()
    again = api.post("/v1/orders", json=ORDER, headers=me)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    other = api.post("/v1/orders", json=ORDER | {"reference": "web-2"}, headers=me)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = api.post("/v1/payments", json={}, headers=me)
    assert elsewhere.status_code == 422
    assert Order.objects.count() == 1


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 201])
def test_a_change_needs_a_key_of_its_own(api: TestClient, key: KeyMaker, given: str | None) -> None:
    headers = key() | ({} if given is None else {"Idempotency-Key": given})
    answer = api.post("/v1/orders", json=ORDER, headers=headers)
    assert (answer.status_code // 100, Order.objects.count()) == (4, 0)
    if given is None:
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")


def test_64_clients_with_one_key_place_one_order(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    me = key() | {"Idempotency-Key": "one"}
    answers: list[Any] = []

    def call() -> None:
        answers.append(api.post("/v1/orders", json=ORDER, headers=me))

    threads = [threading.Thread(target=call) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(answer.status_code for answer in answers) == {201: 64}
    assert len({answer.content for answer in answers}) == 1
    counts = Order.objects.count(), Payment.objects.count(), IdempotencyRecord.objects.count()
    assert counts == (1, 1, 1)


def test_two_race_for_the_same_money(shop: Shop, api: TestClient, key: KeyMaker) -> None:
    me = key()
    place(api, me)
    shop.run_jobs()
    payment = Payment.objects.get()
    answers: list[Any] = []

    def give_back(name: str) -> None:
        path = f"/v1/payments/{payment.id}/refunds"
        answers.append(post(api, me, path, name, {"reason": name}))

    threads = [threading.Thread(target=give_back, args=[name]) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert Refund.objects.count() == 1
    shop.run_jobs()
    payment.refresh_from_db()
    assert payment.refunded_minor == 1000


def test_what_a_competitor_gets_wrong_sixty_and_sixty_of_a_hundred(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    me = key()
    line = {"quantity": 1, "unit_price": "100.00"}
    place(api, me, lines=[line])
    shop.run_jobs()
    path = f"/v1/payments/{Payment.objects.get().id}/refunds"
    sixty = {"amount": {"amount": 6000, "currency": "EUR"}}
    assert post(api, me, path, "a", sixty).status_code == 201
    second = post(api, me, path, "b", sixty)
    assert (second.status_code, second.json()["code"]) == (409, "refund_exceeds_balance")
    shop.run_jobs()
    assert Payment.objects.get().refunded_minor == 6000
    assert post(api, me, path, "c", sixty).status_code == 409


def test_what_a_competitor_gets_wrong_capture_twice(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    me = key()
    manual = ORDER["payment"] | {"capture_method": "manual"}
    place(api, me, payment=manual)
    shop.run_jobs()
    payment = Payment.objects.get()
    assert payment.status == "authorized"
    path = f"/v1/payments/{payment.id}/capture"
    assert post(api, me, path, "a", {}).status_code == 202
    assert post(api, me, path, "b", {}).status_code == 409
    shop.run_jobs()
    late = post(api, me, path, "c", {})
    assert (late.status_code, late.json()["code"], late.json()["detail"]) == (
        409,
        "payment_not_capturable",
        "the payment is already captured",
    )
    assert Payment.objects.get().captured_minor == 1000


@pytest.mark.parametrize(
    ("currency", "price", "minor"),
    [("KWD", "1.234", 1_234), ("JPY", "10000000", 10_000_000), ("UYW", "0.0001", 1)],
)
def test_what_a_competitor_gets_wrong_amounts_stay_exact(
    shop: Shop, api: TestClient, key: KeyMaker, currency: str, price: str, minor: int
) -> None:
    line = {"quantity": 1, "unit_price": price}
    placed = place(api, key(), currency=currency, lines=[line])
    assert placed["total"] == {"amount": minor, "currency": currency}
    shop.run_jobs()
    assert Payment.objects.get().captured_minor == minor


def test_a_refund_of_lines_and_one_that_is_too_much(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    me = key()
    place(api, me)
    shop.run_jobs()
    path = f"/v1/payments/{Payment.objects.get().id}/refunds"
    one = post(api, me, path, "a", {"lines": [{"position": 1, "quantity": 1}]}).json()
    assert (one["amount"]["amount"], one["lines"][0]["quantity"]) == (500, 1)
    more = post(api, me, path, "b", {"lines": [{"position": 1, "quantity": 2}]})
    assert (more.status_code, more.json()["code"]) == (409, "quantity_exceeds_refundable")
    both = {"lines": [{"position": 1, "quantity": 1}], "amount": {"amount": 1, "currency": "EUR"}}
    assert post(api, me, path, "c", both).status_code == 422
    shop.run_jobs()
    shown = api.get(f"/v1/refunds/{one['id']}?expand=payment", headers=me).json()
    assert (shown["status"], shown["payment"]["refunded"]["amount"]) == ("succeeded", 500)


def test_a_declined_order_is_tried_again_and_an_open_one_canceled(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    me = key()
    order = place(
        api, me, payment={"provider_account": ACCOUNT, "payment_method_token": "tok_declined_hard"}
    )
    again = {"order": order["id"], "provider_account": ACCOUNT, "payment_method_token": "tok_visa"}
    assert post(api, me, "/v1/payments", "a", again).json()["code"] == "order_already_paid"
    shop.run_jobs()
    [declined] = api.get(f"/v1/payments?order={order['id']}", headers=me).json()["data"]
    assert declined["decline"] == {"code": "do_not_honor", "soft_decline": False}
    second = post(api, me, "/v1/payments", "b", again)
    assert second.status_code == 201
    canceled = post(api, me, f"/v1/payments/{second.json()['id']}/cancel", "c", {})
    assert (canceled.status_code, canceled.json()["status"]) == (202, "canceled")
    shop.run_jobs()
    assert api.get(f"/v1/orders/{order['id']}", headers=me).json()["payment_status"] == "unpaid"


def test_an_authorization_is_released(shop: Shop, api: TestClient, key: KeyMaker) -> None:
    me = key()
    place(api, me, payment=ORDER["payment"] | {"capture_method": "manual"})
    shop.run_jobs()
    payment = Payment.objects.get()
    assert post(api, me, f"/v1/payments/{payment.id}/cancel", "a", {}).status_code == 202
    shop.run_jobs()
    payment.refresh_from_db()
    assert (payment.status, payment.authorized_minor) == ("canceled", 0)


def test_metadata_is_changed_and_found_and_a_late_writer_is_told(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    me = key()
    order = place(api, me)
    path = f"/v1/orders/{order['id']}"
    tag = api.get(path, headers=me).headers["ETag"]
    changes = {"metadata": {"basket": None, "colour": "red"}, "buyer": {"name": "Ada"}}
    changed = api.patch(path, json=changes, headers=me | {"Idempotency-Key": "a", "If-Match": tag})
    assert (changed.json()["metadata"], changed.json()["buyer"]) == (
        {"colour": "red"},
        {"name": "Ada"},
    )
    late = api.patch(
        path, json={"metadata": {"x": "y"}}, headers=me | {"Idempotency-Key": "b", "If-Match": tag}
    )
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")

    def found(query: str) -> int:
        return len(api.get(f"/v1/orders?{query}", headers=me).json()["data"])

    queries = ("metadata=colour:red", "metadata=basket:b-7", "reference=web-1", "reference=x")
    assert [found(query) for query in queries] == [1, 0, 1, 0]
    entry = AuditEntry.objects.get(action="order.update")
    assert entry.actor.startswith("key_")
    assert "Ada" not in str(entry.after)


METADATA_NAMES = ["0", "12", "-1", "9" * 40, 'a"b', "a.b", "$", "[0]", "é"]


def test_metadata_is_found_whatever_its_name(shop: Shop, api: TestClient, key: KeyMaker) -> None:
    me = key()
    for number, name in enumerate(METADATA_NAMES):
        place(api, me, key=f"k{number}", reference=name, metadata={name: "x"})
    for name in METADATA_NAMES:
        page = api.get("/v1/orders", params={"metadata": f"{name}:x"}, headers=me)
        assert [order["reference"] for order in page.json()["data"]] == [name]
        none = api.get("/v1/orders", params={"metadata": f"{name}:y"}, headers=me)
        assert none.json()["data"] == []
    long = api.get("/v1/orders", params={"metadata": "9" * 3_000}, headers=me)
    assert long.status_code in {200, 422}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/orders?reference=%00",
        "/v1/orders?metadata=a%00:b",
        "/v1/orders?metadata=a:%00",
        "/v1/payments?order=%00",
        "/v1/facts?payment=%00",
        "/v1/orders/%00",
        "/admin/bursar/payment/%00/change/",
        "/admin/bursar/order/?id=%00",
    ],
)
def test_a_nul_character_in_the_url_is_refused(
    shop: Shop, api: TestClient, key: KeyMaker, path: str
) -> None:
    answer = api.get(path, headers=key())
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["param"] == "url"


def test_a_list_is_read_page_by_page_while_it_grows(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    me = key()
    ids = [place(api, me, key=f"k{n}", reference=f"r{n}")["id"] for n in range(7)]
    seen, cursor = [], ""
    while True:
        page = api.get(f"/v1/orders?limit=3{cursor}", headers=me).json()
        seen += [order["id"] for order in page["data"]]
        if page["next_cursor"] is None:
            break
        place(api, me, key=f"late{len(seen)}", reference="late")
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    wrong = api.get("/v1/payments?cursor=ord_1", headers=me)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_cursor")


def test_a_caller_may_wait_for_what_becomes_of_it(
    shop: Shop, api: TestClient, key: KeyMaker
) -> None:
    me = key() | {"Idempotency-Key": "k", "Prefer": "wait=5"}
    worker = threading.Timer(0.2, shop.run_jobs)
    worker.start()
    answer = api.post("/v1/orders", json=ORDER, headers=me)
    worker.join()
    assert (answer.json()["payment_status"], answer.headers["Preference-Applied"]) == (
        "paid",
        "wait=5",
    )
    kept = IdempotencyRecord.objects.get()
    assert b'"payment_status":"unpaid"' in bytes(kept.body)
