"""Prometheus metrics: requests, jobs, open reviews and approvals, circuit breakers, retries, caches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from bursar import clock
from bursar.decorators import all_cache_statistics, all_retry_statistics
from bursar.payments.models import Attempt, RefundApproval, Review
from bursar.payments.statuses import AttemptStatus
from bursar.providers import circuit_breaker
from bursar.queue import jobs
from bursar.queue.models import PeriodicJobStatus

registry = CollectorRegistry()
_REQUESTS = Counter(
    "bursar_http_requests", "HTTP requests.", ["method", "route", "status"], registry=registry
)
_SECONDS = Histogram(
    "bursar_http_request_duration_seconds",
    "Time until the response was sent; for a stream, until it started.",
    ["route"],
    registry=registry,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WORKER_UP = Gauge("bursar_worker_up", "1 while a worker runs in this process.", registry=registry)
#: Paths without a route are counted by their first segment, all unknown ones as "other".
_ROOTS: Final = ("/v1/", "/hooks/", "/admin/", "/static/")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
#: nginx's status for a client that disconnected before the response started.
_CLIENT_CLOSED_REQUEST: Final = 499


def record_request(scope: Scope, status: int, seconds: float) -> None:
    """Count one request under its route's template, which bounds the number of label values."""
    route = getattr(scope.get("route"), "path", "")
    if not route:
        route = next((root for root in _ROOTS if scope["path"].startswith(root)), "other")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    _REQUESTS.labels(method, route, str(status or _CLIENT_CLOSED_REQUEST)).inc()
    _SECONDS.labels(route).observe(seconds)


class _LazyCollector(Collector):
    """A collector that reads its values when it is scraped, and nothing when it is registered."""

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the default would call `collect` at import."""
        return iter(())


class _DatabaseCollector(_LazyCollector):
    """Counts of rows that need attention; each query is over a small table or a partial index."""

    def collect(self) -> Iterator[Metric]:
        """Query the database."""
        jobs_metric = GaugeMetricFamily("bursar_jobs", "Jobs by state.", labels=["job", "state"])
        for (name, state), number in sorted(jobs.count_by_state().items()):
            jobs_metric.add_metric([name, state], number)
        yield jobs_metric
        unknown = Attempt.objects.filter(status=AttemptStatus.UNKNOWN)
        yield GaugeMetricFamily(
            "bursar_reviews_open",
            "Reviews without a resolution.",
            Review.objects.filter(resolved_at__isnull=True).count(),
        )
        yield GaugeMetricFamily(
            "bursar_refund_approvals_open",
            "Refunds with a pending approval.",
            RefundApproval.objects.filter(decided_at__isnull=True).count(),
        )
        yield GaugeMetricFamily(
            "bursar_attempts_unknown", "Attempts with an unknown outcome.", unknown.count()
        )
        oldest = unknown.order_by("created_at").first()
        age = 0.0 if oldest is None else (clock.now() - oldest.created_at).total_seconds()
        yield GaugeMetricFamily(
            "bursar_oldest_unknown_attempt_age_seconds",
            "Age of the oldest attempt with an unknown outcome; 0 if there is none.",
            age,
        )


class _PeriodicJobCollector(_LazyCollector):
    """Last success and delay of each periodic job."""

    def collect(self) -> Iterator[Metric]:
        """Query one small table."""
        now = clock.now()
        age = GaugeMetricFamily(
            "bursar_periodic_job_last_success_age_seconds",
            "Seconds since a periodic job last succeeded; before its first success, since it exists.",
            labels=["job"],
        )
        overdue = GaugeMetricFamily(
            "bursar_periodic_job_overdue_seconds",
            "Seconds by which the next run of a periodic job is late; 0 if it is not.",
            labels=["job"],
        )
        for row in PeriodicJobStatus.objects.order_by("name"):
            succeeded_at = row.last_succeeded_at or row.created_at
            age.add_metric([row.name], (now - succeeded_at).total_seconds())
            overdue.add_metric([row.name], max((now - row.next_run_at).total_seconds(), 0.0))
        yield from (age, overdue)


class _CircuitBreakerCollector(_LazyCollector):
    """Circuit breakers of this process, by kind (`provider`, `host`) and name."""

    def collect(self) -> Iterator[Metric]:
        """Read the state of each; of several with one name an open one counts."""
        is_open: dict[tuple[str, str], bool] = {}
        for circuit in circuit_breaker.circuits:
            labels = circuit.kind, circuit.name
            opened = circuit.state is circuit_breaker.CircuitState.OPEN
            is_open[labels] = is_open.get(labels, False) or opened
        family = GaugeMetricFamily(
            "bursar_circuit_breaker_open",
            "1 while calls to a provider account or host are suspended.",
            labels=["kind", "name"],
        )
        for labels, opened in sorted(is_open.items()):
            family.add_metric(labels, float(opened))
        yield family


class _DecoratorCollector(_LazyCollector):
    """Statistics of `@retry` and `@cache` in this process."""

    def collect(self) -> Iterator[Metric]:
        """Read the statistics of each decorated function."""
        retries = CounterMetricFamily(
            "bursar_retry_calls", "Calls under @retry by outcome.", labels=["function", "outcome"]
        )
        for function, retry_counts in sorted(all_retry_statistics().items()):
            for outcome, number in dataclasses.asdict(retry_counts).items():
                retries.add_metric([function, outcome], number)
        requests = CounterMetricFamily(
            "bursar_cache_requests",
            "Calls under @cache by outcome.",
            labels=["function", "outcome"],
        )
        evictions = CounterMetricFamily(
            "bursar_cache_evictions", "Values removed to make room.", labels=["function"]
        )
        entries = GaugeMetricFamily("bursar_cache_entries", "Cached values.", labels=["function"])
        maximum = GaugeMetricFamily(
            "bursar_cache_entries_max", "Capacity of the cache.", labels=["function"]
        )
        for function, cache_counts in sorted(all_cache_statistics().items()):
            evictions.add_metric([function], cache_counts.evictions)
            entries.add_metric([function], cache_counts.size)
            maximum.add_metric([function], cache_counts.maxsize)
            outcomes = {
                "hits": cache_counts.hits,
                "stale_hits": cache_counts.stale_hits,
                "misses": cache_counts.misses,
                "coalesced": cache_counts.coalesced,
                "errors": cache_counts.errors,
            }
            for outcome, number in outcomes.items():
                requests.add_metric([function, outcome], number)
        yield from (retries, requests, evictions, entries, maximum)


registry.register(_DatabaseCollector())
registry.register(_PeriodicJobCollector())
registry.register(_CircuitBreakerCollector())
registry.register(_DecoratorCollector())


def render() -> bytes:
    """Render all metrics in the Prometheus text format; queries the database."""
    return generate_latest(registry)
