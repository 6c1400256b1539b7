"""
Provider accounts: what our books know of one, and what its own API says.

Two tiles an account, because they fail apart: the books are there while the provider is not.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from bursar import clock, errors
from bursar.dashboard.checks.base import Answer, MonitorCheck, RawMeasurement, unable
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
LAG, DISPUTES, DAYS_TO_ANSWER = "webhook lag", "disputes to answer", "days to answer"
PAYOUTS, UNKNOWN = "payouts on their way", "outcomes unknown"
#: What is bad of an account unless the file says otherwise.
LIMITS: Final[Mapping[str, Thresholds]] = {
    LAG: Thresholds(warning_above=300, critical_above=3600),
    DAYS_TO_ANSWER: Thresholds(warning_below=3, critical_below=1, margin=0),
    UNKNOWN: Thresholds(warning_above=0, critical_above=20, margin=0),
}
#: How far back payouts that are still on their way are looked for.
_PAYOUT_AGE: Final = timedelta(days=30)
_ROWS_MAX: Final = 1_000

#: Runs a function that reads the database, away from the event loop.
Reading = Callable[[Callable[[], Answer]], Awaitable[Answer]]


def watches(
    *,
    name: str,
    told: ProviderAccountMonitorConfig,
    reading: Reading,
    now: Callable[[], datetime] = clock.now,
) -> list[MonitorCheck]:
    """
    Make an account ready to be watched; reads the database.

    The second tile is there where the provider tells a balance: asking for it shows that its API,
    our key and the way there are well.
    """
    key = f"account:{name}"

    async def books() -> Answer:
        return await reading(functools.partial(of_books, name, now=now()))

    made = [_watch(key, told.title or name, told, CoroutineSource(key=key, function=books))]
    api = _api(f"{key}:api", name)
    if api is not None:
        made.append(_watch(f"{key}:api", f"{told.title or name} (API)", told, api))
    return made


def _watch(
    key: str, title: str, told: ProviderAccountMonitorConfig, source: Source
) -> MonitorCheck:
    limits = {name: each.thresholds for name, each in told.readings.items()}
    return MonitorCheck(
        key=key,
        title=title,
        group=told.group or GROUP,
        kind="account",
        source=source,
        interval_seconds=told.interval_seconds,
        silence_seconds=told.silence_seconds,
        stale_level=told.stale_level,
        patience=told.patience,
        limits={**LIMITS, **limits},
    )


def _api(key: str, name: str) -> Source | None:
    try:
        provider = provider_accounts.get(name)
    except errors.BursarError as error:
        return unable(key, error.message)
    if not isinstance(provider, SupportsBalance):
        return None

    async def ask() -> Answer:
        async with provider_accounts.concurrency_limit(name):
            return await of_provider(provider)

    return CoroutineSource(key=key, function=ask, attempts_max=2, repeatable=True)


async def of_provider(provider: PaymentProvider) -> Answer:
    """
    What a provider says it owes us and, where it is asked over HTTP, whether it answers.

    :raises errors.Unavailable: if it cannot be asked.
    """
    assert isinstance(provider, SupportsBalance)
    told = await provider.balances()
    owed = tuple(_amount("owes", currency, minor) for currency, minor in sorted(told.items()))
    if not isinstance(provider, http_provider.HttpProvider):
        return owed
    words, level = _CIRCUITS[http_provider.circuit_of(provider).state]
    return (*owed, RawMeasurement(name="API", value=words, level=level))


#: What the state of a provider's circuit means to people; while it is open the API is not asked at all.
_CIRCUITS: Final[Mapping[circuit_breaker.CircuitState, tuple[str, Level]]] = {
    circuit_breaker.CircuitState.CLOSED: ("answers", "ok"),
    circuit_breaker.CircuitState.HALF_OPEN: ("is tried again", "warning"),
    circuit_breaker.CircuitState.OPEN: ("is not asked", "critical"),
}


def of_books(name: str, *, now: datetime) -> Answer:
    """What our books know of an account; every query is over few rows, by index."""
    owed = [
        _amount("balance", currency, minor)
        for currency, minor in sorted(provider_accounts.receivable_balances(name).items())
    ]
    unanswered_disputes = disputes.list_needing_response(account=name)
    readings = [
        *owed,
        RawMeasurement(name=PAYOUTS, value=float(_payouts(name, now))),
        RawMeasurement(name=DISPUTES, value=float(len(unanswered_disputes))),
    ]
    soonest = min(
        (one.evidence_due_by for one in unanswered_disputes if one.evidence_due_by), default=None
    )
    if soonest is not None:
        days = round((soonest - now).total_seconds() / 86_400, 2)
        readings.append(RawMeasurement(name=DAYS_TO_ANSWER, value=days, unit="d"))
    return (
        *readings,
        RawMeasurement(name=UNKNOWN, value=float(_unknown(name))),
        RawMeasurement(name=LAG, value=_lag(name, now), unit="s"),
    )


def _amount(what: str, currency: str, minor: int) -> RawMeasurement:
    """An amount to look at, in major units: never to count with."""
    return RawMeasurement(
        name=f"{what} {currency}", value=minor / 10 ** exponent_of(currency), unit=currency
    )


def _payouts(name: str, now: datetime) -> int:
    told = Fact.objects.filter(
        provider_account_id=name, kind=ObjectKind.PAYOUT, received_at__gte=now - _PAYOUT_AGE
    )
    ended = told.exclude(status=MovementStatus.PENDING).values("reference")
    begun = told.filter(status=MovementStatus.PENDING).exclude(reference__in=ended)
    return len(set(begun.values_list("reference", flat=True)[:_ROWS_MAX]))


def _unknown(name: str) -> int:
    rows = Attempt.objects.filter(
        status=AttemptStatus.UNKNOWN, payment__provider_account_id=name
    ).values("pk")
    return len(rows[:_ROWS_MAX])


def _lag(name: str, now: datetime) -> float:
    """How long the oldest event that is not yet read has waited; dead letters wait too."""
    oldest = Job.objects.filter(name="process_webhook", payload__provider_account=name).order_by(
        "pk"
    )
    created = oldest.values_list("created_at", flat=True).first()
    return 0.0 if created is None else max(round((now - created).total_seconds(), 1), 0.0)
