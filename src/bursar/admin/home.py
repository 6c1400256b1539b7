"""The home page: what somebody wants to see on a Monday morning, with a link to each cause."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Max, Min, Q, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.urls import reverse

from bursar import clock
from bursar.admin.formatting import DetailTable, Shown, format_age, humanize, link_to, money
from bursar.decorators import cache
from bursar.ledger.models import Transfer
from bursar.payments.models import Attempt, Payment, Refund, RefundApproval, Review
from bursar.payments.statuses import COLLECTING, AttemptStatus, PaymentStatus
from bursar.queue import jobs

DAYS = 14
#: So old may the figures be; they are worked out once for all who look meanwhile.
FRESH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Card:
    """One figure: what it counts, and where its cause is."""

    label: str
    value: Shown
    note: str
    url: str
    tone: str = ""


@dataclass(slots=True)
class Figures:
    """All that the page shows."""

    cards: list[Card] = field(default_factory=list)
    tables: list[DetailTable] = field(default_factory=list)
    outcomes: str = ""
    volume: str = ""
    volume_currency: str = ""


def context(_: HttpRequest) -> dict[str, Any]:
    """What the template of the home page needs."""
    return {"figures": figures(), "days": DAYS}


@cache(maxsize=1, ttl_seconds=FRESH_SECONDS, stale_seconds=60.0)
def figures() -> Figures:
    """Work the figures out; a handful of queries, each bounded by time or by a partial index."""
    now = clock.now()
    since = now - timedelta(days=DAYS)
    opened = Payment.objects.filter(created_at__gte=since)
    days = [(since + timedelta(days=n + 1)).date() for n in range(DAYS)]
    volume = _volume(opened)
    main = max(volume, key=lambda each: each["orders"], default={"currency": "EUR"})["currency"]
    made = Figures(volume_currency=main)
    made.cards = [*_waiting(now), *_queue()]
    made.outcomes = _outcomes(opened, days)
    made.volume = _by_day(opened.filter(currency=main), days)
    made.tables = [
        DetailTable(
            f"Volume of {DAYS} days",
            ["currency", "payments", "collected", "refunded", "disputed", "fees"],
            _volume_rows(volume, since.date()),
            "No payment was opened in these days.",
        ),
        _success(since),
        _declines(since),
    ]
    return made


def _waiting(now: Any) -> list[Card]:
    unknown = Attempt.objects.filter(status=AttemptStatus.UNKNOWN).aggregate(
        n=Count("id"), oldest=Min("created_at")
    )
    reviews = Review.objects.filter(resolved_at__isnull=True).aggregate(
        n=Count("id"), oldest=Min("opened_at")
    )
    approvals = RefundApproval.objects.filter(decided_at__isnull=True).aggregate(
        n=Count("id"), oldest=Min("requested_at")
    )

    def card(label: str, found: Mapping[str, Any], name: str, query: str) -> Card:
        oldest = found["oldest"]
        note = f"oldest {format_age((now - oldest).total_seconds())}" if oldest else "none"
        url = reverse(f"admin:bursar_{name}_changelist") + query
        return Card(label, f"{found['n']:,}", note, url, "care" if found["n"] else "good")

    return [
        card("Reviews to answer", reviews, "review", "?state=open"),
        card("Refunds to approve", approvals, "refundapproval", "?state=open"),
        card("Outcomes not known yet", unknown, "payment", "?status__exact=unknown"),
    ]


def _queue() -> list[Card]:
    depth: Counter[str] = Counter()
    for (_, state), number in jobs.count_by_state().items():
        depth[state] += number
    waiting = depth["ready"] + depth["leased"]
    url = reverse("admin:bursar_job_changelist")
    return [
        Card("Jobs waiting", f"{waiting:,}", f"{depth['delayed']:,} for later", url),
        Card(
            "Dead letters",
            f"{depth['dead']:,}",
            "jobs that gave up" if depth["dead"] else "none",
            f"{url}?state__exact=dead",
            "bad" if depth["dead"] else "good",
        ),
    ]


def _volume(opened: Any) -> list[Any]:
    return list(
        opened.values("currency")
        .annotate(
            orders=Count("id"),
            collected=Sum("captured_minor"),
            refunded=Sum("refunded_minor"),
            disputed=Sum("disputed_minor"),
            last=Max("created_at"),
        )
        .order_by("-orders")
    )


def _volume_rows(volume: list[Any], since: date) -> list[tuple[Shown, ...]]:
    fees: defaultdict[str, int] = defaultdict(int)
    paid = Transfer.objects.filter(posting_date__gte=since)
    for sign, side in ((1, "debit_account"), (-1, "credit_account")):
        sums = paid.filter(**{f"{side}__name__startswith": "fees/"}).values("currency")
        for row in sums.annotate(total=Sum("amount_minor")):
            fees[row["currency"]] += sign * int(row["total"])
    return [
        (
            row["currency"],
            f"{row['orders']:,}",
            *(
                money(int(row[name]), row["currency"])
                for name in ("collected", "refunded", "disputed")
            ),
            money(fees[row["currency"]], row["currency"]),
        )
        for row in volume
    ]


def _success(since: Any) -> DetailTable:
    tried = (
        Attempt.objects.filter(created_at__gte=since, operation__in=COLLECTING)
        .values("payment__provider_account_id")
        .annotate(
            tried=Count("id"),
            good=Count("id", filter=Q(status=AttemptStatus.SUCCEEDED)),
            declined=Count("id", filter=Q(status=AttemptStatus.DECLINED)),
            was_unknown=Count("id", filter=Q(was_unknown=True)),
        )
    )
    rows = [
        (
            link_to("provideraccount", row["payment__provider_account_id"]),
            f"{row['tried']:,}",
            f"{100 * row['good'] / row['tried']:.1f} %",
            f"{100 * row['declined'] / row['tried']:.1f} %",
            f"{100 * row['was_unknown'] / row['tried']:.1f} %",
        )
        for row in tried
    ]
    return DetailTable(
        "Success by provider account",
        ["account", "tries", "succeeded", "declined", "first unclear"],
        rows,
        "Nothing was asked of a provider in these days.",
    )


def _declines(since: Any) -> DetailTable:
    found = (
        Attempt.objects.filter(created_at__gte=since, status=AttemptStatus.DECLINED)
        .values("failure_code", "soft_decline")
        .annotate(n=Count("id"))
        .order_by("-n")[:8]
    )
    back = Refund.objects.filter(created_at__gte=since, status="failed").count()
    rows: list[tuple[Shown, ...]] = [
        (
            humanize(row["failure_code"]) or "no reason",
            "may succeed later" if row["soft_decline"] else "final",
            f"{row['n']:,}",
        )
        for row in found
    ]
    if back:
        rows.append(("refund that failed", "see refunds", f"{back:,}"))
    return DetailTable(
        "Declines by reason", ["reason", "kind", "count"], rows, "Nothing was declined."
    )


def _outcomes(opened: Any, days: list[date]) -> str:
    by_day: dict[str, Counter[date]] = {
        "collected": Counter(),
        "declined": Counter(),
        "other": Counter(),
    }
    good = {
        PaymentStatus.CAPTURED,
        PaymentStatus.PARTIALLY_REFUNDED,
        PaymentStatus.REFUNDED,
        PaymentStatus.PARTIALLY_CAPTURED,
        PaymentStatus.AUTHORIZED,
    }
    counts = opened.annotate(day=TruncDate("created_at")).values("day", "status")
    for row in counts.annotate(n=Count("id")):
        kind = "collected" if row["status"] in good else "other"
        kind = "declined" if row["status"] == PaymentStatus.DECLINED else kind
        by_day[kind][row["day"]] += row["n"]
    colours = {"collected": "#16a34a", "declined": "#dc2626", "other": "#d97706"}
    return _chart(
        days, {name: [counts[day] for day in days] for name, counts in by_day.items()}, colours
    )


def _by_day(opened: Any, days: list[date]) -> str:
    sums = opened.annotate(day=TruncDate("created_at")).values("day")
    found = {
        row["day"]: row for row in sums.annotate(c=Sum("captured_minor"), r=Sum("refunded_minor"))
    }
    # For the chart only: amounts on the page itself are exact.
    exponent = 2
    data = {
        "collected": [float(found[d]["c"]) / 10**exponent if d in found else 0 for d in days],
        "refunded": [float(found[d]["r"]) / 10**exponent if d in found else 0 for d in days],
    }
    return _chart(days, data, {"collected": "#2563eb", "refunded": "#d97706"})


def _chart(days: list[date], data: Mapping[str, list[Any]], colours: Mapping[str, str]) -> str:
    sets = [
        {
            "label": name,
            "data": values,
            "backgroundColor": colours[name],
            "borderColor": colours[name],
            "tension": 0.2,
            "barPercentage": 0.9,
        }
        for name, values in data.items()
    ]
    return json.dumps({"labels": [day.strftime("%d %b") for day in days], "datasets": sets})
