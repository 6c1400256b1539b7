"""
Checks of provider accounts: one of our ledger, and one of the provider's API.

Each has a tile of its own, because they fail independently.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from bursar import clock, errors
from bursar.dashboard.checks.base import CheckResult, MonitorCheck, RawMeasurement, failing_source
from bursar.dashboard.config.monitors import ProviderAccountMonitorConfig
from bursar.dashboard.fetching.sources import CoroutineSource, Source
from bursar.dashboard.live_state import Level
from bursar.dashboard.thresholds import Thresholds
from bursar.money import exponent_of
from bursar.payments import disputes, provider_accounts
from bursar.payments.models import Attempt, Fact
from bursar.payments.statuses import AttemptStatus
from bursar.providers import circuit_breaker, http_provider
from bursar.providers.capabilities import SupportsBalance
from bursar.providers.interface import MovementStatus, ObjectKind, PaymentProvider
from bursar.queue.models import Job

GROUP: Final = "Provider accounts"
LAG, DISPUTES, DAYS_TO_RESPOND = "webhook lag", "open disputes", "days to respond"
PAYOUTS, UNKNOWN = "pending payouts", "unknown outcomes"
#: The default thresholds; those of the configuration file replace them by name.
LIMITS: Final[Mapping[str, Thresholds]] = {
    LAG: Thresholds(warning_above=300, critical_above=3600),
    DAYS_TO_RESPOND: Thresholds(warning_below=3, critical_below=1, margin=0),
    UNKNOWN: Thresholds(warning_above=0, critical_above=20, margin=0),
}
#: Older payouts are not counted.
_PAYOUT_AGE_MAX: Final = timedelta(days=30)
_ROWS_MAX: Final = 1_000

#: Runs a function that reads the database outside the event loop.
DatabaseReader = Callable[[Callable[[], CheckResult]], Awaitable[CheckResult]]


def create_checks(
    *,
    name: str,
    config: ProviderAccountMonitorConfig,
    read: DatabaseReader,
    now: Callable[[], datetime] = clock.now,
) -> list[MonitorCheck]:
    """
    Create the checks of an account; reads the database.

    The check of the API exists if the provider reports a balance: that request shows whether its
    API, our credentials and the network work.
    """
    key, title = f"account:{name}", config.title or name

    async def books() -> CheckResult:
        return await read(functools.partial(check_books, name, now=now()))

    checks = [_create_check(key, title, config, CoroutineSource(key=key, function=books))]
    api = _api_source(f"{key}:api", name)
    if api is not None:
        checks.append(_create_check(f"{key}:api", f"{title} (API)", config, api))
    return checks


def _create_check(
    key: str, title: str, config: ProviderAccountMonitorConfig, source: Source
) -> MonitorCheck:
    thresholds = {name: each.thresholds for name, each in config.measurements.items()}
    return MonitorCheck(
        key=key,
        title=title,
        group=config.group or GROUP,
        kind="account",
        source=source,
        interval_seconds=config.interval_seconds,
        alert_after_seconds=config.alert_after_seconds,
        stale_level=config.stale_level,
        flap_damping=config.flap_damping,
        thresholds={**LIMITS, **thresholds},
    )


def _api_source(key: str, name: str) -> Source | None:
    try:
        provider = provider_accounts.get(name)
    except errors.BursarError as error:
        return failing_source(key, error.message)
    if not isinstance(provider, SupportsBalance):
        return None

    async def fetch() -> CheckResult:
        async with provider_accounts.concurrency_limit(name):
            return await check_provider(provider)

    return CoroutineSource(key=key, function=fetch, attempts_max=2, is_repeatable=True)


async def check_provider(provider: PaymentProvider) -> CheckResult:
    """
    Return the balances that a provider reports and, for an HTTP provider, its circuit's state.

    :raises errors.Unavailable: if the provider cannot be reached.
    """
    assert isinstance(provider, SupportsBalance)
    balances = await provider.balances()
    amounts = tuple(
        _amount("provider balance", currency, minor) for currency, minor in sorted(balances.items())
    )
    if not isinstance(provider, http_provider.HttpProvider):
        return amounts
    text, level = _CIRCUITS[http_provider.circuit_of(provider).state]
    return (*amounts, RawMeasurement(name="API", value=text, level=level))


#: The text and level of each circuit state; while the circuit is open the API is not called.
_CIRCUITS: Final[Mapping[circuit_breaker.CircuitState, tuple[str, Level]]] = {
    circuit_breaker.CircuitState.CLOSED: ("available", "ok"),
    circuit_breaker.CircuitState.HALF_OPEN: ("recovering", "warning"),
    circuit_breaker.CircuitState.OPEN: ("circuit open", "critical"),
}


def check_books(name: str, *, now: datetime) -> CheckResult:
    """Return the measurements of an account from the database; each query reads few rows by index."""
    balances = [
        _amount("balance", currency, minor)
        for currency, minor in sorted(provider_accounts.receivable_balances(name).items())
    ]
    open_disputes = disputes.list_needing_response(account=name)
    measurements = [
        *balances,
        _count(PAYOUTS, _pending_payouts(name, now)),
        _count(DISPUTES, len(open_disputes)),
    ]
    deadline = min(
        (one.evidence_due_by for one in open_disputes if one.evidence_due_by), default=None
    )
    if deadline is not None:
        days = round((deadline - now).total_seconds() / 86_400, 2)
        measurements.append(RawMeasurement(name=DAYS_TO_RESPOND, value=days, unit="d", decimals=1))
    return (
        *measurements,
        _count(UNKNOWN, _unknown_outcomes(name)),
        RawMeasurement(name=LAG, value=_webhook_lag(name, now), unit="s", decimals=0),
    )


def _amount(name: str, currency: str, minor: int) -> RawMeasurement:
    """Return an amount in major units, for display only: it is a float."""
    exponent = exponent_of(currency)
    return RawMeasurement(
        name=f"{name} {currency}", value=minor / 10**exponent, unit=currency, decimals=exponent
    )


def _count(name: str, count: int) -> RawMeasurement:
    return RawMeasurement(name=name, value=float(count), decimals=0)


def _pending_payouts(name: str, now: datetime) -> int:
    payouts = Fact.objects.filter(
        provider_account_id=name, kind=ObjectKind.PAYOUT, received_at__gte=now - _PAYOUT_AGE_MAX
    )
    completed = payouts.exclude(status=MovementStatus.PENDING).values("reference")
    pending = payouts.filter(status=MovementStatus.PENDING).exclude(reference__in=completed)
    return len(set(pending.values_list("reference", flat=True)[:_ROWS_MAX]))


def _unknown_outcomes(name: str) -> int:
    rows = Attempt.objects.filter(
        status=AttemptStatus.UNKNOWN, payment__provider_account_id=name
    ).values("pk")
    return len(rows[:_ROWS_MAX])


def _webhook_lag(name: str, now: datetime) -> float:
    """Return the age in seconds of the oldest unprocessed webhook event, failed jobs included."""
    oldest = Job.objects.filter(name="process_webhook", payload__provider_account=name).order_by(
        "pk"
    )
    created = oldest.values_list("created_at", flat=True).first()
    return 0.0 if created is None else max(round((now - created).total_seconds(), 1), 0.0)
