"""The home page: open work, payments and volume of the last days, each linked to its list."""

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
from bursar.admin.formatting import (
    DetailTable,
    DisplayValue,
    format_age,
    format_label,
    format_money,
    link_to,
)
from bursar.decorators import cache
from bursar.ledger.models import Transfer
from bursar.money import exponent_of
from bursar.payments.models import Attempt, Payment, Refund, RefundApproval, Review
from bursar.payments.statuses import COLLECTING, AttemptStatus, PaymentStatus
from bursar.queue import jobs

DAYS = 14
#: Age up to which the figures are shared between requests.
FRESH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SummaryCard:
    """A count and a link to the list of what it counts."""

    label: str
    value: DisplayValue
    note: str
    url: str
    tone: str = ""


@dataclass(slots=True)
class HomeFigures:
    """The contents of the page."""

    cards: list[SummaryCard] = field(default_factory=list)
    tables: list[DetailTable] = field(default_factory=list)
    outcomes: str = ""
    volume: str = ""
    volume_currency: str = ""


def context(_: HttpRequest) -> dict[str, Any]:
    """Return the context of the home page's template."""
    return {"figures": figures(), "days": DAYS}


@cache(maxsize=1, ttl_seconds=FRESH_SECONDS, stale_seconds=60.0)
def figures() -> HomeFigures:
    """Query the figures: a few queries, each bounded by time or by a partial index."""
    now = clock.now()
    since = now - timedelta(days=DAYS)
    opened = Payment.objects.filter(created_at__gte=since)
    days = [(since + timedelta(days=n + 1)).date() for n in range(DAYS)]
    volume = _volume(opened)
    main = max(volume, key=lambda each: each["orders"], default={"currency": "EUR"})["currency"]
    result = HomeFigures(volume_currency=main)
    result.cards = [*_open_work(now), *_queue()]
    result.outcomes = _outcomes(opened, days)
    result.volume = _volume_chart(opened.filter(currency=main), days, main)
    result.tables = [
        DetailTable(
            f"Volume, last {DAYS} days",
            ["Currency", "Payments", "Captured", "Refunded", "Disputed", "Fees"],
            _volume_rows(volume, since.date()),
            "No payments in this period.",
            numeric=("Payments", "Captured", "Refunded", "Disputed", "Fees"),
        ),
        _success(since),
        _declines(since),
    ]
    return result


def _open_work(now: Any) -> list[SummaryCard]:
    unknown = Attempt.objects.filter(status=AttemptStatus.UNKNOWN).aggregate(
        n=Count("id"), oldest=Min("created_at")
    )
    reviews = Review.objects.filter(resolved_at__isnull=True).aggregate(
        n=Count("id"), oldest=Min("opened_at")
    )
    approvals = RefundApproval.objects.filter(decided_at__isnull=True).aggregate(
        n=Count("id"), oldest=Min("requested_at")
    )

    def card(label: str, totals: Mapping[str, Any], name: str, query: str) -> SummaryCard:
        oldest = totals["oldest"]
        note = f"oldest {format_age((now - oldest).total_seconds())}" if oldest else "none"
        url = reverse(f"admin:bursar_{name}_changelist") + query
        return SummaryCard(label, f"{totals['n']:,}", note, url, "care" if totals["n"] else "good")

    return [
        card("Needs review", reviews, "review", "?state=open"),
        card("Pending approval", approvals, "refundapproval", "?state=open"),
        card("Awaiting confirmation", unknown, "payment", "?status__exact=unknown"),
    ]


def _queue() -> list[SummaryCard]:
    depth: Counter[str] = Counter()
    for (_, state), number in jobs.count_by_state().items():
        depth[state] += number
    queued = depth["ready"] + depth["leased"]
    url = reverse("admin:bursar_job_changelist")
    return [
        SummaryCard("Queued jobs", f"{queued:,}", f"{depth['delayed']:,} delayed", url),
        SummaryCard(
            "Failed jobs",
            f"{depth['dead']:,}",
            "retries exhausted" if depth["dead"] else "none",
            f"{url}?state__exact=dead",
            "bad" if depth["dead"] else "good",
        ),
    ]


def _volume(opened: Any) -> list[Any]:
    return list(
        opened.values("currency")
        .annotate(
            orders=Count("id"),
            captured=Sum("captured_minor"),
            refunded=Sum("refunded_minor"),
            disputed=Sum("disputed_minor"),
            last=Max("created_at"),
        )
        .order_by("-orders")
    )


def _volume_rows(volume: list[Any], since: date) -> list[tuple[DisplayValue, ...]]:
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
                format_money(int(row[name]), row["currency"])
                for name in ("captured", "refunded", "disputed")
            ),
            format_money(fees[row["currency"]], row["currency"]),
        )
        for row in volume
    ]


def _success(since: Any) -> DetailTable:
    counts = (
        Attempt.objects.filter(created_at__gte=since, operation__in=COLLECTING)
        .values("payment__provider_account_id")
        .annotate(
            total=Count("id"),
            succeeded=Count("id", filter=Q(status=AttemptStatus.SUCCEEDED)),
            declined=Count("id", filter=Q(status=AttemptStatus.DECLINED)),
            was_unknown=Count("id", filter=Q(was_unknown=True)),
        )
    )
    rows = [
        (
            link_to("provideraccount", row["payment__provider_account_id"]),
            f"{row['total']:,}",
            f"{100 * row['succeeded'] / row['total']:.1f} %",
            f"{100 * row['declined'] / row['total']:.1f} %",
            f"{100 * row['was_unknown'] / row['total']:.1f} %",
        )
        for row in counts
    ]
    return DetailTable(
        "Success by provider account",
        ["Account", "Attempts", "Succeeded", "Declined", "Initially unknown"],
        rows,
        "No attempts in this period.",
        numeric=("Attempts", "Succeeded", "Declined", "Initially unknown"),
    )


def _declines(since: Any) -> DetailTable:
    counts = (
        Attempt.objects.filter(created_at__gte=since, status=AttemptStatus.DECLINED)
        .values("failure_code", "soft_decline")
        .annotate(n=Count("id"))
        .order_by("-n")[:8]
    )
    failed_refunds = Refund.objects.filter(created_at__gte=since, status="failed").count()
    rows: list[tuple[DisplayValue, ...]] = [
        (
            format_label(row["failure_code"]) or "No reason given",
            "Soft decline" if row["soft_decline"] else "Hard decline",
            f"{row['n']:,}",
        )
        for row in counts
    ]
    if failed_refunds:
        rows.append(("Failed refunds", "See refunds", f"{failed_refunds:,}"))
    return DetailTable(
        "Declines by reason",
        ["Reason", "Type", "Count"],
        rows,
        "No declines.",
        numeric=("Count",),
    )


def _outcomes(opened: Any, days: list[date]) -> str:
    by_day: dict[str, Counter[date]] = {
        "captured": Counter(),
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
        kind = "captured" if row["status"] in good else "other"
        kind = "declined" if row["status"] == PaymentStatus.DECLINED else kind
        by_day[kind][row["day"]] += row["n"]
    colours = {"captured": "#16a34a", "declined": "#dc2626", "other": "#d97706"}
    return _chart(
        days, {name: [counts[day] for day in days] for name, counts in by_day.items()}, colours
    )


def _volume_chart(opened: Any, days: list[date], currency: str) -> str:
    sums = opened.annotate(day=TruncDate("created_at")).values("day")
    by_day = {
        row["day"]: row for row in sums.annotate(c=Sum("captured_minor"), r=Sum("refunded_minor"))
    }
    # Floats for the chart only: amounts in the tables are exact.
    exponent = exponent_of(currency)
    data = {
        "captured": [float(by_day[d]["c"]) / 10**exponent if d in by_day else 0 for d in days],
        "refunded": [float(by_day[d]["r"]) / 10**exponent if d in by_day else 0 for d in days],
    }
    return _chart(days, data, {"captured": "#2563eb", "refunded": "#d97706"})


def _chart(days: list[date], data: Mapping[str, list[Any]], colours: Mapping[str, str]) -> str:
    sets = [
        {
            "label": name,
            "data": values,
            "backgroundColor": colours[name],
            "borderColor": colours[name],
            "tension": 0.2,
            "barPercentage": 0.9,
            "grouped": True,
            "maxBarThickness": 8,
        }
        for name, values in data.items()
    ]
    return json.dumps({"labels": [day.strftime("%d %b") for day in days], "datasets": sets})
