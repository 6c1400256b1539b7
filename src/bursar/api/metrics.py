"""What Prometheus reads: requests, the queue, what waits for people, retries and caches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

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
    "bursar_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry
)
_SECONDS = Histogram(
    "bursar_http_request_seconds",
    "Time to answer.",
    ["route"],
    registry=registry,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WORKER_UP = Gauge(
    "bursar_worker_running", "1 while a worker runs in this process.", registry=registry
)
#: The paths that are counted by their first part; what nobody serves is counted as one.
_ROOTS = ("/v1/", "/hooks/", "/admin/", "/static/")


def record_request(scope: Scope, status: int, seconds: float) -> None:
    """Count one answered request, by its route's template and never by what callers wrote."""
    route = getattr(scope.get("route"), "path", "")
    if not route:
        route = next((root for root in _ROOTS if scope["path"].startswith(root)), "other")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    _REQUESTS.labels(method, route, str(status or 499)).inc()
    _SECONDS.labels(route).observe(seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})


class _Books(Collector):
    """What the books hold now; every query is over a small table or a partial index."""

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: that would read the books at import."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read the books."""
        jobs_metric = GaugeMetricFamily("bursar_jobs", "Jobs by state.", labels=["job", "state"])
        for (name, state), number in sorted(jobs.count_by_state().items()):
            jobs_metric.add_metric([name, state], number)
        yield jobs_metric
        waiting = {
            "reviews_open": Review.objects.filter(resolved_at__isnull=True),
            "refund_approvals_open": RefundApproval.objects.filter(decided_at__isnull=True),
            "attempts_unknown": Attempt.objects.filter(status=AttemptStatus.UNKNOWN),
        }
        for name, rows in waiting.items():
            yield GaugeMetricFamily(f"bursar_{name}", name.replace("_", " "), rows.count())
        oldest = Attempt.objects.filter(status=AttemptStatus.UNKNOWN).order_by("created_at").first()
        age = 0.0 if oldest is None else (clock.now() - oldest.created_at).total_seconds()
        yield GaugeMetricFamily(
            "bursar_oldest_unknown_seconds", "Age of the oldest unknown outcome.", age
        )


class _PeriodicJobs(Collector):
    """How long ago each periodic job succeeded, and how late its next run is."""

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: that would read the database at import."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read one small table."""
        now = clock.now()
        age = GaugeMetricFamily(
            "bursar_periodic_job_last_success_age_seconds",
            "Seconds since a periodic job last succeeded; before the first time, since it is known.",
            labels=["job"],
        )
        overdue = GaugeMetricFamily(
            "bursar_periodic_job_overdue_seconds",
            "Seconds by which a periodic job's next run is late; 0 if it is not.",
            labels=["job"],
        )
        for row in PeriodicJobStatus.objects.order_by("name"):
            succeeded_at = row.last_succeeded_at or row.created_at
            age.add_metric([row.name], (now - succeeded_at).total_seconds())
            overdue.add_metric([row.name], max((now - row.next_run_at).total_seconds(), 0.0))
        yield from (age, overdue)


class _Circuits(Collector):
    """Which providers and hosts are not asked at the moment, by this process."""

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read the circuits."""
        families = {
            kind: GaugeMetricFamily(
                f"bursar_{kind}_circuit_open", f"1 while a {kind} is not asked.", labels=[kind]
            )
            for kind in ("provider", "host")
        }
        found: dict[tuple[str, str], float] = {}
        for circuit in circuit_breaker.circuits:
            which = circuit.kind, circuit.name
            found[which] = max(
                found.get(which, 0.0), float(circuit.state is circuit_breaker.CircuitState.OPEN)
            )
        for (kind, name), opened in sorted(found.items()):
            families[kind].add_metric([name], opened)
        yield from families.values()


class _Decorators(Collector):
    """What `@retry` and `@cache` have counted in this process."""

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read the counters that the decorators keep."""
        family = CounterMetricFamily(
            "bursar_retries", "Calls under @retry by outcome.", labels=["function", "what"]
        )
        for name, statistics in sorted(all_retry_statistics().items()):
            for what, number in dataclasses.asdict(statistics).items():
                family.add_metric([name, what], number)
        yield family
        caches = GaugeMetricFamily(
            "bursar_cache", "Calls under @cache by outcome, and sizes.", labels=["function", "what"]
        )
        for name, counts in sorted(all_cache_statistics().items()):
            for what, number in dataclasses.asdict(counts).items():
                caches.add_metric([name, what], number)
        yield caches


registry.register(_Books())
registry.register(_PeriodicJobs())
registry.register(_Circuits())
registry.register(_Decorators())


def render() -> bytes:
    """The metrics in Prometheus' text format; reads the database."""
    return generate_latest(registry)
