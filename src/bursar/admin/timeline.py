"""The timeline of a payment: requests, provider responses and webhooks, refunds, ledger, settlement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from django.utils.html import format_html

from bursar.access.models import AuditEntry
from bursar.admin import formatting
from bursar.admin.formatting import TimelineEntry, format_label, format_money, humanize
from bursar.ledger.models import Transfer
from bursar.payments import queries
from bursar.payments.models import Attempt, Fact, FactLink, Payment, Refund, Review
from bursar.payments.statuses import AttemptStatus
from bursar.providers.interface import ObjectKind
from bursar.reconciliation.models import SettlementReportLine

#: Entries of one kind; only the first are shown beyond that.
ENTRIES_MAX = 200

_OPERATIONS = {
    "charge": "Charge",
    "authorize": "Authorization",
    "capture": "Capture",
    "void": "Void",
    "refund": "Refund",
}
_OUTCOMES = {
    AttemptStatus.SUCCEEDED: ("succeeded", "good"),
    AttemptStatus.DECLINED: ("declined", "bad"),
    AttemptStatus.UNKNOWN: ("outcome unknown, status check scheduled", "care"),
    AttemptStatus.REQUIRES_ACTION: ("buyer action required", "care"),
    AttemptStatus.PENDING: ("accepted, outcome pending", "busy"),
    AttemptStatus.NOT_SENT: ("not sent, retry scheduled", ""),
}
_SOURCES = {
    "response": "API response",
    "webhook": "Webhook received",
    "lookup": "Status check",
    "settlement": "Settlement report",
}


def list_entries(payment: Payment) -> list[TimelineEntry]:
    """Return the timeline entries of *payment*, oldest first."""
    entries = [
        TimelineEntry(
            payment.created_at,
            "Payment created",
            format_html(
                "{} at {}",
                format_money(payment.amount_minor, payment.currency),
                payment.provider_account_id,
            ),
        )
    ]
    attempts = list(Attempt.objects.filter(payment=payment).order_by("id")[:ENTRIES_MAX])
    entries += [entry for attempt in attempts for entry in _attempt(payment, attempt)]
    entries += [_refund(r) for r in Refund.objects.filter(payment=payment)[:ENTRIES_MAX]]
    entries += [
        _fact(f) for f in queries.facts_for_payment(str(payment.pk)).order_by("pk")[:ENTRIES_MAX]
    ]
    transfers = Transfer.objects.filter(subject=payment.pk).order_by("pk")[:ENTRIES_MAX]
    entries += [_transfer(transfer) for transfer in transfers]
    for review in Review.objects.filter(payment=payment)[:ENTRIES_MAX]:
        entries += _review(review)
    entries += _settlement(payment)
    subjects = [payment.pk, *(r.pk for r in Refund.objects.filter(payment=payment)[:ENTRIES_MAX])]
    decided = AuditEntry.objects.filter(subject__in=subjects).exclude(action="refund.create")
    entries += [
        TimelineEntry(e.created_at, formatting.format_action(e.action), f"By {e.actor}", "", 1)
        for e in decided[:ENTRIES_MAX]
    ]
    return sorted(entries, key=lambda entry: (entry.at, entry.order))


def _attempt(payment: Payment, attempt: Attempt) -> Iterator[TimelineEntry]:
    title = format_html(
        "{} of {} requested from {}",
        _OPERATIONS[attempt.operation],
        format_money(attempt.amount_minor, payment.currency)
        if attempt.amount_minor
        else "the authorization",
        payment.provider_account_id,
    )
    yield TimelineEntry(attempt.created_at, title, f"Idempotency key {attempt.pk}", "", 2)
    if attempt.answered_at is None or attempt.status not in _OUTCOMES:
        return
    outcome, tone = _OUTCOMES[AttemptStatus(attempt.status)]
    reason = humanize(attempt.failure_code)
    if attempt.status == AttemptStatus.DECLINED:
        reason += " (soft decline, may be retried)" if attempt.soft_decline else " (hard decline)"
    if attempt.was_unknown and attempt.status != AttemptStatus.UNKNOWN:
        reason = f"{reason} (outcome was initially unknown)".strip()
    yield TimelineEntry(
        attempt.answered_at, f"{_OPERATIONS[attempt.operation]} {outcome}", reason, tone, 3
    )


def _refund(refund: Refund) -> TimelineEntry:
    title = format_html("Refund of {} created", format_money(refund.amount_minor, refund.currency))
    return TimelineEntry(refund.created_at, title, refund.reason, "", 1)


def _fact(fact: Fact) -> TimelineEntry:
    title = format_html(
        "{}: {} of {} {}",
        _SOURCES.get(fact.source, format_label(fact.source)),
        fact.kind,
        format_money(fact.amount_minor, fact.currency),
        humanize(fact.status),
    )
    tone = formatting.STATUS_TONES.get(fact.status, "")
    return TimelineEntry(
        fact.received_at, title, f"{fact.reference} {humanize(fact.failure_code)}".strip(), tone, 4
    )


def _transfer(transfer: Transfer) -> TimelineEntry:
    title = format_html("Posted {}", format_money(transfer.amount_minor, transfer.currency))
    route = f"Debit {transfer.debit_account_id}, credit {transfer.credit_account_id}"
    return TimelineEntry(transfer.created_at, title, route, "", 5)


def _settlement(payment: Payment) -> Iterator[TimelineEntry]:
    """Yield the settlement lines of a payment's charges, refunds and disputes, and their payouts."""
    account = payment.provider_account_id
    links = FactLink.objects.filter(payment=payment).exclude(kind=ObjectKind.FEE)
    own = links.values_list("reference", flat=True)
    rows = SettlementReportLine.objects.filter(provider_account_id=account, source__in=own)
    payouts = set()
    for row in rows.order_by("pk")[:ENTRIES_MAX]:
        title = format_html(
            "Settled by {}: {} {}, fee {}, net {}",
            account,
            humanize(row.category),
            format_money(row.gross_minor, row.currency),
            format_money(row.fee_minor, row.currency),
            format_money(row.net_minor, row.currency),
        )
        match = f"{row.reference}: {humanize(row.match_status)}"
        tone = "good" if row.match_status == "matched" else "care"
        yield TimelineEntry(row.loaded_at, title, match, tone, 8)
        payouts |= {row.payout} - {""}
    for payout in sorted(payouts):
        yield from _payout(account, payout)


def _payout(account: str, payout: str) -> Iterator[TimelineEntry]:
    facts = Fact.objects.filter(
        provider_account_id=account, kind=ObjectKind.PAYOUT, reference=payout
    ).order_by("pk")
    for fact in facts[:ENTRIES_MAX]:
        title = format_html(
            "Payout {} of {} {}",
            payout,
            format_money(fact.amount_minor, fact.currency),
            humanize(fact.status),
        )
        yield TimelineEntry(
            fact.received_at, title, "Includes this payment; see the settlement lines", "good", 9
        )
    transfers = Transfer.objects.filter(subject=f"{account}/{ObjectKind.PAYOUT.value}/{payout}")
    for transfer in transfers.order_by("pk")[:ENTRIES_MAX]:
        yield replace(_transfer(transfer), order=10)


def _review(review: Review) -> Iterator[TimelineEntry]:
    title = formatting.link(review, f"Review opened: {humanize(review.code)}")
    yield TimelineEntry(
        review.opened_at, title, formatting.format_mapping(review.detail), "care", 6
    )
    if review.resolved_at is not None:
        yield TimelineEntry(
            review.resolved_at,
            "Review resolved",
            f"{review.resolution} ({review.resolved_by})",
            "good",
            7,
        )
