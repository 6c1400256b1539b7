"""The names, labels and values of the metrics."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from bursar import errors
from bursar.api import metrics
from bursar.decorators import cache, retry
from bursar.providers.circuit_breaker import CircuitBreaker
from tests.conftest import Database
from tests.shop import Shop

KeyMaker = Callable[..., dict[str, str]]


@pytest.fixture
def database(sqlite_only: Database) -> Database:
    """One database is enough: the queries are the ORM's."""
    return sqlite_only


@pytest.fixture(autouse=True)
def _tables(database: Database) -> None:
    """The metrics query the database."""


def samples() -> dict[str, float]:
    lines = metrics.render().decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_the_families_have_these_names_and_types(shop: Shop) -> None:
    types = re.findall(r"^# TYPE (\w+) (\w+)$", metrics.render().decode(), re.MULTILINE)
    assert {name: kind for name, kind in types if not name.endswith("_created")} == {
        "bursar_http_requests_total": "counter",
        "bursar_http_request_duration_seconds": "histogram",
        "bursar_worker_up": "gauge",
        "bursar_jobs": "gauge",
        "bursar_reviews_open": "gauge",
        "bursar_refund_approvals_open": "gauge",
        "bursar_attempts_unknown": "gauge",
        "bursar_oldest_unknown_attempt_age_seconds": "gauge",
        "bursar_periodic_job_last_success_age_seconds": "gauge",
        "bursar_periodic_job_overdue_seconds": "gauge",
        "bursar_circuit_breaker_open": "gauge",
        "bursar_retry_calls_total": "counter",
        "bursar_cache_requests_total": "counter",
        "bursar_cache_evictions_total": "counter",
        "bursar_cache_entries": "gauge",
        "bursar_cache_entries_max": "gauge",
    }


def test_retries_and_caches_are_counted_by_outcome() -> None:
    @cache(maxsize=1, ttl_seconds=60.0)
    def double(number: int) -> int:
        return 2 * number

    failures = iter([errors.Unavailable("busy")])

    @retry(idempotent=True, backoff=lambda _: 0.0, sleep=lambda _: None)
    def call() -> str:
        for failure in failures:
            raise failure
        return "done"

    assert [double(1), double(1), double(2), call()] == [2, 2, 4, "done"]
    rows = samples()
    title = "test_retries_and_caches_are_counted_by_outcome.<locals>"
    mine = {name: value for name, value in rows.items() if title in name and value}
    assert {re.sub(r'function="[^"]+"(,)?', "", name): value for name, value in mine.items()} == {
        'bursar_cache_requests_total{outcome="hits"}': 1,
        'bursar_cache_requests_total{outcome="misses"}': 2,
        "bursar_cache_evictions_total{}": 1,
        "bursar_cache_entries{}": 1,
        "bursar_cache_entries_max{}": 1,
        'bursar_retry_calls_total{outcome="retries"}': 1,
        'bursar_retry_calls_total{outcome="recovered"}': 1,
    }


def test_an_open_circuit_breaker_is_one_by_kind_and_name() -> None:
    circuit = CircuitBreaker("europe-of-this-test")
    name = 'bursar_circuit_breaker_open{kind="provider",name="europe-of-this-test"}'
    assert samples()[name] == 0
    for _ in range(20):
        circuit.record_failure("500")
    assert samples()[name] == 1


def test_the_age_of_the_oldest_unknown_attempt(database: Database, closing: None) -> None:
    shop = Shop(idempotency_keys=False, lookup_by_key=False)
    assert samples()["bursar_oldest_unknown_attempt_age_seconds"] == 0
    payment = shop.paid("tok_timeout_after_charge")
    shop.age(payment, timedelta(hours=1))
    rows = samples()
    assert (rows["bursar_attempts_unknown"], rows["bursar_reviews_open"]) == (1, 1)
    assert 3_600 <= rows["bursar_oldest_unknown_attempt_age_seconds"] < 3_700


def test_requests_are_counted_by_route_and_not_by_address(api: TestClient, key: KeyMaker) -> None:
    name = 'bursar_http_requests_total{method="GET",route="/v1/orders/{order_id}",status="404"}'
    before = samples().get(name, 0)
    me = key()
    for order_id in ("ord_1", "ord_2"):
        assert api.get(f"/v1/orders/{order_id}", headers=me).status_code == 404
    rows = samples()
    assert rows[name] == before + 2
    assert not any("ord_1" in each for each in rows)
    assert api.get("/metrics", headers=me).text.startswith("# HELP bursar_")
    assert api.get("/metrics", headers=key("orders:read")).status_code == 403


def test_the_readiness_check_tells_its_code(api: TestClient) -> None:
    assert (api.get("/healthz").text, api.get("/readyz").json()) == ("ok", {"ready": True})
