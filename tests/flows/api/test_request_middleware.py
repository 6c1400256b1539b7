"""What no route ever sees: what is too large, too deep, not strictly JSON, or holds a card number."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from bursar import triggers
from bursar.api import problem_details, strict_json
from bursar.api.problem_details import InvalidJson
from bursar.fields import CardNumberRefused
from bursar.orders.models import Order
from tests import thoroughness
from tests.conftest import Database
from tests.flows.api.test_orders_over_http import ORDER
from tests.shop import Shop

KeyMaker = Callable[..., dict[str, str]]


@pytest.fixture
def database(sqlite_only: Database) -> Database:
    """One database is enough: what is tested happens before it."""
    return sqlite_only


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\u0000"}',
        b'{"a": "\xff"}',
        b"[" * 13 + b"]" * 13,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"a": 1} x',
        b"{'a': 1}",
    ],
)
def test_json_that_two_could_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        strict_json.parse(body)


def test_json_in_plain_order_is_read() -> None:
    assert strict_json.parse('{"a": [1, 2.5, "ü", null, true]}'.encode()) == {
        "a": [1, 2.5, "ü", None, True]
    }


def test_a_card_number_is_named_by_its_place_only() -> None:
    with pytest.raises(CardNumberRefused) as caught:
        strict_json.parse(b'{"lines": [{"sku": "4111 1111 1111 1111"}]}')
    assert caught.value.param == "lines[0].sku"
    assert "4111" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({}, b"{" + b" " * 256_000 + b"}", 413, "content_too_large"),
        ({}, b'{"a": 1, "a": 1}', 400, "invalid_json"),
        ({"X-Long": "x" * 17_000}, b"{}", 431, "request_header_fields_too_large"),
        ({"Host": "evil.example"}, b"{}", 421, "misdirected_request"),
        ({"Content-Type": "text/plain"}, b"{}", 422, "validation_error"),
    ],
)
def test_the_border_turns_it_away(
    api: TestClient, key: KeyMaker, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    sent = key() | {"Idempotency-Key": "k", "Content-Type": "application/json"} | headers
    answer = api.post("/v1/orders", content=body, headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_many_headers_and_a_long_address_are_turned_away(api: TestClient, key: KeyMaker) -> None:
    many = key() | {f"X-{number}": "x" for number in range(101)}
    assert api.get("/v1/orders", headers=many).status_code == 431
    long = api.get(f"/v1/orders?reference={'x' * 5_000}", headers=key())
    assert (long.status_code, long.json()["code"]) == (414, "uri_too_long")


def test_an_error_that_no_request_can_meet_is_an_internal_error() -> None:
    answer = problem_details.to_response(triggers.TriggersMissing("/var/lib/bursar lacks 3"))
    told = json.loads(bytes(answer.body))
    assert (answer.status_code, told["code"]) == (500, "internal_error")
    assert "lacks" not in told["detail"]


def test_a_request_keeps_its_id_and_a_bad_one_gets_another(api: TestClient) -> None:
    given = api.get("/healthz", headers={"X-Request-Id": "from-outside.1"})
    assert given.headers["X-Request-Id"] == "from-outside.1"
    for bad in ("a b", "4111111111111111", "x" * 65, 'a"b'):
        told = api.get("/healthz", headers={"X-Request-Id": bad}).headers["X-Request-Id"]
        assert told.startswith("req_")


def test_what_does_not_fit_is_told_all_at_once_by_its_place(api: TestClient, key: KeyMaker) -> None:
    bad = ORDER | {
        "lines": [{"quantity": "2", "unit_price": 4.2, "colour": "red"}],
        "currency": "eur",
    }
    answer = api.post("/v1/orders", json=bad, headers=key() | {"Idempotency-Key": "k"})
    places = {each["param"] for each in answer.json()["errors"]}
    assert places == {"lines[0].quantity", "lines[0].unit_price", "lines[0].colour", "currency"}
    assert {each["detail"] for each in answer.json()["errors"]} == {
        "lines[0].quantity must be an integer",
        "lines[0].unit_price must be a string",
        "lines[0].colour is not a known field",
        "currency must match ^[A-Z]{3,8}$",
    }
    unknown = ORDER | {"currency": "XXX"}
    answer = api.post("/v1/orders", json=unknown, headers=key() | {"Idempotency-Key": "l"})
    assert (answer.status_code, answer.json()["param"]) == (422, "currency")


AMOUNT = 'amount must be an object {"amount": 500, "currency": "EUR"}'


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/v1/payments/pay_1/refunds", {"amount": 500}, AMOUNT),
        ("/v1/payments/pay_1/capture", {"amount": "5.00 EUR"}, AMOUNT),
        (
            "/v1/payments/pay_1/capture",
            {"amount": {"currency": "EUR"}},
            "amount.amount is required",
        ),
        (
            "/v1/payments/pay_1/capture",
            {"amount": {"amount": 0, "currency": "EUR"}},
            "amount.amount must be at least 1",
        ),
        (
            "/v1/payments/pay_1/refunds",
            {"lines": {"1": 2}},
            'lines must be an array [{"position": 1, "quantity": 1}]',
        ),
        (
            "/v1/payments/pay_1/refunds",
            {"reason": "x" * 201},
            "reason must have at most 200 characters",
        ),
        ("/v1/orders", ORDER | {"reference": ""}, "reference must have at least 1 character"),
        ("/v1/orders", ORDER | {"lines": []}, "lines must have at least 1 item"),
        (
            "/v1/orders",
            ORDER | {"metadata": "x"},
            'metadata must be an object {"basket": "b-77"}',
        ),
        (
            "/v1/orders",
            ORDER | {"prices_include_tax": "yes"},
            "prices_include_tax must be true or false",
        ),
        (
            "/v1/payments",
            {
                "order": "x",
                "provider_account": "x",
                "payment_method_token": "x",
                "capture_method": "m",
            },
            "capture_method must be 'automatic' or 'manual'",
        ),
        ("/v1/orders", None, "body is required"),
    ],
)
def test_a_validation_message_names_the_field_and_what_is_expected(
    api: TestClient, key: KeyMaker, path: str, body: object, detail: str
) -> None:
    answer = api.post(path, json=body, headers=key() | {"Idempotency-Key": "k"})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "validation_error")
    assert (problem["detail"], problem["param"]) == (detail, detail.partition(" ")[0])


def test_a_query_parameter_is_named_too(api: TestClient, key: KeyMaker) -> None:
    problem = api.get("/v1/orders?limit=1000", headers=key()).json()
    assert (problem["param"], problem["detail"]) == ("limit", "limit must be at most 100")
    problem = api.get("/v1/payments?status=lost", headers=key()).json()
    assert problem["detail"].startswith("status must be 'pending', 'unknown',")


def test_paths_and_methods_that_nobody_serves(api: TestClient, key: KeyMaker) -> None:
    missing = api.get("/v1/nothing", headers=key())
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = api.delete("/v1/orders", headers=key())
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]


def test_the_documentation_needs_no_foreign_host(api: TestClient) -> None:
    page = api.get("/docs")
    assert (page.status_code, "http://" in page.text, "https://" in page.text) == (
        200,
        False,
        False,
    )
    for file in ("docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "bursar/docs.js"):
        assert api.get(f"/static/{file}").status_code == 200
    schema = api.get("/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"].split("style-src")[0]


# --- Card numbers -------------------------------------------------------------------------------


def card_numbers(count: int) -> Iterator[str]:
    """Numbers as cards have them, by seed, also in groups."""
    draw = random.Random(2026)
    for number in range(count):
        start = draw.choice(["4", "51", "55", "34", "37", "6011", "3528", "62"])
        length = 15 if start.startswith("3") and start != "3528" else 16
        digits = start + "".join(draw.choices("0123456789", k=length - 1 - len(start)))
        double = sum(sum(divmod(2 * int(d), 10)) for d in digits[::-1][::2])
        digits += str(-(double + sum(int(d) for d in digits[::-1][1::2])) % 10)
        yield digits if number % 3 else f"{digits[:4]} {digits[4:8]}-{digits[8:12]} {digits[12:]}"


FIELDS: list[Callable[[str], dict[str, object]]] = [
    lambda card: {"reference": card},
    lambda card: {"reference": f"order {card}."},
    lambda card: {"metadata": {"note": card}},
    lambda card: {"metadata": {card: "note"}},
    lambda card: {"buyer": {"name": card}},
    lambda card: {"payment": {"provider_account": "sandbox-eu", "payment_method_token": card}},
    lambda card: {"payment": {"provider_account": card, "payment_method_token": "tok_visa"}},
    lambda card: {"lines": [{"quantity": 1, "unit_price": "1", "sku": card}]},
    lambda card: {"lines": [{"quantity": 1, "unit_price": "1", "description": f"x {card} x"}]},
    lambda card: {"lines": [{"quantity": 1, "unit_price": card}]},
]


def test_no_card_number_gets_in_or_is_logged(
    shop: Shop, api: TestClient, key: KeyMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    me = key()
    cards = list(card_numbers(thoroughness.examples(1_000)))
    for number, card in enumerate(cards):
        body = ORDER | FIELDS[number % len(FIELDS)](card)
        headers = me | {"Idempotency-Key": f"k{number}"}
        answer = api.post(
            "/v1/orders",
            content=json.dumps(body),
            headers=headers
            | {"Content-Type": "application/json", "X-Request-Id": card.replace(" ", "")},
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "card_number_refused")
        assert card not in answer.text
    others = [
        api.get(f"/v1/orders?reference={cards[0]}", headers=me),
        api.get(f"/v1/orders/{cards[1]}", headers=me),
        api.post("/v1/payments/p/refunds", json={"reason": cards[1]}, headers=me),
        api.post("/v1/reviews/r/resolve", json={"resolution": cards[1]}, headers=me),
    ]
    assert [answer.status_code for answer in others] == [422] * 4
    assert Order.objects.count() == 0
    logged = capfd.readouterr().err
    assert [card for card in cards if card in logged] == []
