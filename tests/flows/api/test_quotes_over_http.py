"""Quotes over HTTP: what a basket would cost, and the order that costs just that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from bursar import settings
from bursar.orders.models import CouponUsage, Order
from tests.conftest import Database
from tests.flows.test_orders_are_priced import RULES
from tests.shop import ACCOUNT, Shop

KeyMaker = Callable[..., dict[str, str]]
BASKET: dict[str, Any] = {
    "currency": "EUR",
    "coupons": ["SPRING"],
    "lines": [{"sku": "pen", "quantity": 5}, {"sku": "book", "description": "A book"}],
}


@pytest.fixture
def database(sqlite_only: Database) -> Database:
    return sqlite_only  # a quote reads at most how often a coupon was used


@pytest.fixture
def rules(tmp_path, monkeypatch) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(RULES, "utf-8")
    told = settings.current.model_copy(update={"pricing_rules": file})
    monkeypatch.setattr(settings, "current", told)


def test_a_quote_is_explained_and_the_order_costs_it(
    shop: Shop, api: TestClient, key: KeyMaker, rules: None
) -> None:
    answer = api.post("/v1/quotes", json=BASKET | {"payment_method": ACCOUNT}, headers=key())
    assert answer.status_code == 200, answer.text
    quote = answer.json()
    assert (quote["object"], quote["rounding_mode"]) == ("quote", "sum_by_net")
    assert [line["kind"] for line in quote["lines"]] == ["item", "item", "fee"]
    assert quote["lines"][0]["discounts"][0]["name"] == "Spring"
    assert not CouponUsage.objects.exists()
    assert not Order.objects.exists()
    placed = api.post(
        "/v1/orders",
        headers=key() | {"Idempotency-Key": "k"},
        json=BASKET
        | {
            "reference": "w",
            "payment": {"provider_account": ACCOUNT, "payment_method_token": "tok_visa"},
        },
    )
    assert placed.status_code == 201, placed.text
    assert (placed.json()["total"], placed.json()["tax"]) == (quote["total"], quote["tax"])
    assert placed.json()["lines"][0]["tax_code"] == "S"
    assert CouponUsage.objects.get().use_count == 1


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"coupons": ["SUMMER"]}, "coupon_not_applicable", "coupons"),
        ({"lines": [{"sku": "lamp"}]}, "price_not_found", "lines[1].unit_price"),
        (
            {"lines": [{"sku": "a", "unit_price": "1", "tax_category": "x"}], "coupons": []},
            "tax_rate_not_found",
            "lines[1].tax_category",
        ),
        ({"country": "FR", "vat_id": "DE136695976"}, "invalid_vat_id", "vat_id"),
        ({"lines": []}, "validation_error", "lines"),
        ({"colour": "red"}, "validation_error", "colour"),
    ],
)
def test_what_cannot_be_priced_is_told_by_its_field(
    shop: Shop, api: TestClient, key: KeyMaker, rules: None, change: Any, code: str, param: str
) -> None:
    answer = api.post("/v1/quotes", json=BASKET | change, headers=key())
    told = answer.json()
    assert answer.status_code == 422
    assert told["code"] == code
    assert param in str(told)
