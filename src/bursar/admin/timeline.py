"""A payment's time line, in words: what we decided and asked, what we were told, what was booked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from django.utils.html import format_html

from bursar.access.models import AuditEntry
from bursar.admin import formatting
from bursar.admin.formatting import TimelineEntry, humanize, money
from bursar.ledger.models import Transfer
from bursar.payments import queries
from bursar.payments.models import Attempt, Fact, FactLink, Payment, Refund, Review
from bursar.payments.statuses import AttemptStatus
from bursar.providers.interface import ObjectKind
from bursar.reconciliation.models import SettlementReportLine

#: A time line is for people; beyond this many of a kind only the first are shown.
ENTRIES_MAX = 200

_ASKED = {
    "charge": "asked to charge",
    "authorize": "asked to authorize",
    "capture": "asked to capture",
    "void": "asked to release the authorization of",
    "refund": "asked to refund",
}
_ANSWERED = {
    AttemptStatus.SUCCEEDED: ("done", "good"),
    AttemptStatus.DECLINED: ("declined", "bad"),
    AttemptStatus.UNKNOWN: ("no clear answer; it is being looked up", "care"),
    AttemptStatus.REQUIRES_ACTION: ("the buyer has to act", "care"),
    AttemptStatus.PENDING: ("accepted; the outcome comes later", "busy"),
    AttemptStatus.NOT_SENT: ("nothing was sent; it is tried again", ""),
}
_ROADS = {
    "response": "in its answer",
    "webhook": "by webhook",
    "lookup": "when we asked",
    "settlement": "in its settlement report",
}


def moments(payment: Payment) -> list[TimelineEntry]:
    """Everything that happened to *payment*, oldest first."""
    found = [
        TimelineEntry(
            payment.created_at,
            "Payment opened",
            format_html(
                "{} to collect at {}",
                money(payment.amount_minor, payment.currency),
                payment.provider_account_id,
            ),
        )
    ]
    attempts = list(Attempt.objects.filter(payment=payment).order_by("id")[:ENTRIES_MAX])
    found += [moment for attempt in attempts for moment in _attempt(payment, attempt)]
    found += [_refund(r) for r in Refund.objects.filter(payment=payment)[:ENTRIES_MAX]]
    found += [
        _fact(f) for f in queries.facts_for_payment(str(payment.pk)).order_by("pk")[:ENTRIES_MAX]
    ]
    transfers = Transfer.objects.filter(subject=payment.pk).order_by("pk")[:ENTRIES_MAX]
    found += [_transfer(transfer) for transfer in transfers]
    for review in Review.objects.filter(payment=payment)[:ENTRIES_MAX]:
        found += _review(review)
    found += _settlement(payment)
    subjects = [payment.pk, *(r.pk for r in Refund.objects.filter(payment=payment)[:ENTRIES_MAX])]
    decided = AuditEntry.objects.filter(subject__in=subjects).exclude(action="refund.open")
    found += [
        TimelineEntry(e.at, f"{e.action.replace('.', ' ').capitalize()}", f"by {e.actor}", "", 1)
        for e in decided[:ENTRIES_MAX]
    ]
    return sorted(found, key=lambda moment: (moment.at, moment.order))


def _attempt(payment: Payment, attempt: Attempt) -> Iterator[TimelineEntry]:
    asked = format_html(
        "{} was {} {}",
        payment.provider_account_id,
        _ASKED[attempt.operation],
        money(attempt.amount_minor, payment.currency) if attempt.amount_minor else "it",
    )
    yield TimelineEntry(attempt.created_at, asked, f"key {attempt.pk}", "", 2)
    if attempt.answered_at is None or attempt.status not in _ANSWERED:
        return
    said, tone = _ANSWERED[AttemptStatus(attempt.status)]
    why = humanize(attempt.failure_code)
    if attempt.status == AttemptStatus.DECLINED:
        why += "; it may succeed later or elsewhere" if attempt.soft_decline else "; final"
    if attempt.was_unknown and attempt.status != AttemptStatus.UNKNOWN:
        why = f"{why} (the first answer was unclear)".strip()
    yield TimelineEntry(
        attempt.answered_at, f"{attempt.operation.capitalize()}: {said}", why, tone, 3
    )


def _refund(refund: Refund) -> TimelineEntry:
    title = format_html("Refund of {} decided", money(refund.amount_minor, refund.currency))
    return TimelineEntry(refund.created_at, title, refund.reason, "", 1)


def _fact(fact: Fact) -> TimelineEntry:
    title = format_html(
        "{} told us {}: {} {} is {}",
        fact.provider_account_id,
        _ROADS.get(fact.source, f"by {humanize(fact.source)}"),
        fact.kind,
        money(fact.amount_minor, fact.currency),
        humanize(fact.status),
    )
    tone = formatting.TONES.get(fact.status, "")
    return TimelineEntry(
        fact.received_at, title, f"{fact.reference} {humanize(fact.failure_code)}".strip(), tone, 4
    )


def _transfer(transfer: Transfer) -> TimelineEntry:
    title = format_html("Booked {}", money(transfer.amount_minor, transfer.currency))
    route = f"{transfer.debit_account_id} from {transfer.credit_account_id}"
    return TimelineEntry(transfer.created_at, title, route, "", 5)


def _settlement(payment: Payment) -> Iterator[TimelineEntry]:
    """The settlement lines of a payment's charges, refunds and disputes, and their payouts."""
    account = payment.provider_account_id
    links = FactLink.objects.filter(payment=payment).exclude(kind=ObjectKind.FEE)
    own = links.values_list("reference", flat=True)
    rows = SettlementReportLine.objects.filter(provider_account_id=account, source__in=own)
    payouts = set()
    for row in rows.order_by("pk")[:ENTRIES_MAX]:
        title = format_html(
            "Settled by {}: {} of {}, fee {}, net {}",
            account,
            humanize(row.category),
            money(row.gross_minor, row.currency),
            money(row.fee_minor, row.currency),
            money(row.net_minor, row.currency),
        )
        told = f"{row.reference}: {humanize(row.match_status)}"
        tone = "good" if row.match_status == "matched" else "care"
        yield TimelineEntry(row.loaded_at, title, told, tone, 8)
        payouts |= {row.payout} - {""}
    for payout in sorted(payouts):
        yield from _payout(account, payout)


def _payout(account: str, payout: str) -> Iterator[TimelineEntry]:
    facts = Fact.objects.filter(
        provider_account_id=account, kind=ObjectKind.PAYOUT, reference=payout
    ).order_by("pk")
    for fact in facts[:ENTRIES_MAX]:
        title = format_html(
            "Paid out to the bank with {}: {} in all is {}",
            payout,
            money(fact.amount_minor, fact.currency),
            humanize(fact.status),
        )
        yield TimelineEntry(
            fact.received_at, title, "this payment's part is in its lines", "good", 9
        )
    transfers = Transfer.objects.filter(subject=f"{account}/{ObjectKind.PAYOUT.value}/{payout}")
    for transfer in transfers.order_by("pk")[:ENTRIES_MAX]:
        yield replace(_transfer(transfer), order=10)


def _review(review: Review) -> Iterator[TimelineEntry]:
    title = formatting.link(review, f"A person is asked: {humanize(review.code)}")
    yield TimelineEntry(review.opened_at, title, formatting.pairs(review.detail), "care", 6)
    if review.resolved_at is not None:
        yield TimelineEntry(
            review.resolved_at, "Answered", f"{review.resolution} ({review.resolved_by})", "good", 7
        )
