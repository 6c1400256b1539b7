"""
Recording of facts, and recomputation of the payments they belong to.

One function for every source (response, webhook, lookup, settlement). Facts are appended, never
rejected; each payment concerned is locked and recomputed, its transfers posted and its row updated
in the transaction that stores the facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.db import connection

from bursar import fields, group_commit, ids, sql
from bursar.ledger import posting
from bursar.payments import accounting, payment_state, queries, reviews
from bursar.payments.statuses import LIVE, AttemptStatus
from bursar.providers.interface import (
    ChargeStatus,
    MovementStatus,
    ObjectKind,
    RefundStatus,
    Snapshot,
)

#: Review codes of unknown outcomes; they are closed when the outcome becomes known.
OUTCOME_REVIEWS = ("outcome_undecidable", "outcome_unresolved")

#: The object of a fact: (kind, reference), within one provider account.
ObjectKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Link:
    """The payment, and our refund if any, that a provider object belongs to."""

    payment_id: str
    refund_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderResponse:
    """A provider's response to an attempt: the attempt's link and its new status."""

    attempt_id: str
    link: Link
    status: AttemptStatus
    reference: str = ""
    failure_code: str = ""
    soft_decline: bool = False
    redirect_url: str = ""


def append_facts(
    *,
    provider_account: str,
    snapshots: Iterable[Snapshot],
    source: str,
    now: datetime,
    raw: str = "",
    response: ProviderResponse | None = None,
) -> list[str]:
    """
    Store snapshots as facts and recompute the payments they belong to.

    *source* is `response`, `webhook`, `lookup` or `settlement`; with *response* its attempt is
    updated too. The same content from any source is stored once. Needs an open transaction;
    idempotent. Return the ids of the payments concerned.
    """
    group_commit.require_transaction()
    parts = [part for snapshot in snapshots for part in split_snapshot(snapshot)]
    # Lock order, to avoid deadlocks: charges, payments, attempts.
    _lock_charges(provider_account, parts)
    links, new = _resolve_links(provider_account, parts, response, now)
    # Payments are locked before facts are read, so that the later transaction sees both.
    linked_payments = {link.payment_id for link in links.values()}
    payments = sorted(linked_payments | {response.link.payment_id} if response else linked_payments)
    locked = [queries.lock_payment(payment_id) for payment_id in payments]
    if response:
        update_attempt(
            attempt_id=response.attempt_id,
            status=response.status,
            reference=response.reference,
            failure_code=response.failure_code,
            soft_decline=response.soft_decline,
            redirect_url=response.redirect_url,
            now=now,
        )
    _insert_facts(provider_account, parts, source=source, now=now, raw=raw)
    new += _link_children(provider_account, parts, links, now)
    for payment in locked:
        recompute_payment(payment=payment, now=now)
    _clear_unmatched(provider_account, new, now)
    _post_unmatched(provider_account, _unmatched_keys(parts, links), now)
    return payments


def ledger_subject(provider_account: str, key: ObjectKey) -> str:
    """Return the ledger subject of a provider object without a payment."""
    return f"{provider_account}/{key[0]}/{key[1]}"


def split_snapshot(snapshot: Snapshot) -> list[Snapshot]:
    """Split off the fee as an object of its own, with the reference it has in other reports."""
    if snapshot.fee is None:
        return [snapshot]
    fee = Snapshot(
        kind=ObjectKind.FEE,
        reference=snapshot.reference,
        status=MovementStatus.POSTED,
        amount=snapshot.fee,
        parent_reference=snapshot.reference,
        # It changes when more is captured, disputed or won back, and at no other time.
        version=snapshot.captured_minor + snapshot.withdrawn_minor + snapshot.reinstated_minor,
    )
    return [replace(snapshot, fee=None), fee]


#: Fields of a snapshot that are not in its digest, and why; every other field is.
NOT_IN_DIGEST: Final = {
    "fee": "`split_snapshot` makes it a fact of its own",
    "occurred_at": "sources report different times for the same content",
}


def snapshot_digest(snapshot: Snapshot) -> str:
    """Return the digest of a snapshot's content, without time and source."""
    return ids.fingerprint(snapshot, excluded=NOT_IN_DIGEST)


def _lock_charges(provider_account: str, snapshots: Iterable[Snapshot]) -> None:
    """Lock the charges that *snapshots* belong to."""
    # On PostgreSQL two transactions could store a refund and link its charge without seeing each
    # other, so facts of one charge are serialized. SQLite has a single writer.
    if connection.vendor == "postgresql":
        roots = sorted({s.parent_reference or s.reference for s in snapshots})
        for root in roots:
            sql.run(queries.ADVISORY_LOCK, [f"{provider_account}/{root}"])


def _insert_facts(
    provider_account: str, snapshots: Sequence[Snapshot], *, source: str, now: datetime, raw: str
) -> None:
    received = fields.to_db_datetime(now)
    rows = [
        (
            provider_account,
            s.kind.value,
            s.reference,
            snapshot_digest(s),
            source,
            str(s.status),
            s.amount.amount_minor,
            s.amount.currency,
            s.captured_minor,
            s.refunded_minor,
            s.withdrawn_minor,
            s.reinstated_minor,
            s.settled.amount_minor if s.settled else None,
            s.settled.currency if s.settled else "",
            s.rate,
            s.key,
            s.parent_reference,
            s.code,
            s.soft_decline,
            s.version,
            s.dispute_stage,
            fields.to_db_datetime(s.occurred_at),
            fields.to_db_datetime(s.evidence_due_by),
            received,
            raw,
        )
        for s in snapshots
    ]
    for snapshot in snapshots:
        payment_state.status_rank(snapshot)  # a status that cannot be folded must not be stored
    sql.run_many(queries.INSERT_FACT, rows)


def _resolve_links(
    provider_account: str,
    snapshots: Sequence[Snapshot],
    response: ProviderResponse | None,
    now: datetime,
) -> tuple[dict[ObjectKey, Link], list[ObjectKey]]:
    """Find the payments of the objects, store new links, and return all links and the new keys."""
    links: dict[ObjectKey, Link] = {}
    new: list[tuple[ObjectKey, Link, str]] = []
    # Charges first: a fee, refund or dispute in the same batch is linked through its charge.
    for snapshot in sorted(snapshots, key=lambda s: s.kind is not ObjectKind.CHARGE):
        key = (snapshot.kind.value, snapshot.reference)
        if key in links:
            continue
        if response and snapshot.key == response.attempt_id:
            match: tuple[Link, str] | None = (response.link, "key")
        else:
            match = _find_link(provider_account, snapshot, links)
        if match is not None:
            links[key], linked_by = match
            if linked_by:
                new.append((key, links[key], linked_by))
    _write_links(provider_account, new, now)
    return links, [key for key, _, _ in new]


def _find_link(
    provider_account: str, snapshot: Snapshot, links: dict[ObjectKey, Link]
) -> tuple[Link, str] | None:
    find_link, own = queries.FIND_LINK, [snapshot.kind.value, snapshot.reference]
    follows_its_charge = snapshot.kind is ObjectKind.FEE and snapshot.parent_reference
    if not follows_its_charge and (row := sql.row(find_link, [provider_account, *own])):
        return Link(row[0], row[1]), ""
    by_key = [snapshot.key, provider_account]
    if snapshot.key and (row := sql.row(queries.FIND_BY_KEY, by_key)):
        return Link(row[0], row[1]), "key"
    if parent := snapshot.parent_reference:
        charge = (ObjectKind.CHARGE.value, parent)
        if charge in links:
            return Link(links[charge].payment_id, None), "parent"
        if row := sql.row(find_link, [provider_account, *charge]):
            return Link(row[0], None), "parent"
    return None


def _write_links(
    provider_account: str, new: Sequence[tuple[ObjectKey, Link, str]], now: datetime
) -> None:
    if new:
        rows = [
            (
                provider_account,
                *key,
                link.payment_id,
                link.refund_id,
                by,
                fields.to_db_datetime(now),
            )
            for key, link, by in new
        ]
        sql.run_many(queries.INSERT_LINK, rows)


def _link_children(
    provider_account: str,
    snapshots: Sequence[Snapshot],
    links: dict[ObjectKey, Link],
    now: datetime,
) -> list[ObjectKey]:
    """Link objects of a charge that were recorded before the charge was linked."""
    children: list[tuple[ObjectKey, Link, str]] = []
    for reference in sorted({s.reference for s in snapshots if s.kind is ObjectKind.CHARGE}):
        link = links.get((ObjectKind.CHARGE.value, reference))
        if link is not None:
            children += [
                (orphan, Link(link.payment_id, None), "parent")
                for orphan in queries.unlinked_facts(provider_account, reference, linked=links)
            ]
    _write_links(provider_account, children, now)
    return [key for key, _, _ in children]


def _clear_unmatched(provider_account: str, keys: Iterable[ObjectKey], now: datetime) -> None:
    """Reverse the transfers and close the reviews that objects had without a payment."""
    subjects = [ledger_subject(provider_account, key) for key in keys]
    for subject in queries.unmatched_subjects(subjects):
        posting.post(subject=subject, target={}, now=now)
        reviews.close(
            code="unmatched_provider_object",
            subject=subject,
            resolution="linked to its payment",
            now=now,
        )


def recompute_payment(*, payment: queries.PaymentRow, now: datetime) -> payment_state.PaymentState:
    """
    Recompute *payment* from its facts, post missing transfers, and update its row and refunds.

    Needs an open transaction and the payment locked (`queries.lock_payment`).
    """
    attempts, refunds, facts = queries.load_payment_inputs(payment)
    attempts = _finalize_from_facts(payment, attempts, facts, now)
    commands = load_commands(payment, refunds)
    summaries = [
        payment_state.AttemptSummary(operation=a.operation, status=a.status, refund_id=a.refund_id)
        for a in attempts
    ]
    state = payment_state.fold(commands, summaries, facts)
    target = accounting.target_balances(
        commands=commands, state=state, provider_account=payment.provider_account
    )
    posting.post(subject=payment.id, target=target, now=now)
    reserved = _update_refunds(refunds, state)
    queries.update_payment(payment, state, pending_refund_minor=reserved, now=now)
    if payment.refunded_minor > payment.captured_minor and (
        state.refunded_minor <= state.captured_minor
    ):
        # The refund arrived before its capture, or has failed since.
        reviews.close(
            code="over_refunded", subject=payment.id, resolution="no longer over-refunded", now=now
        )
    for issue in state.issues:
        reviews.create_review(
            code=issue.code,
            subject=payment.id,
            payment_id=payment.id,
            detail=dict(issue.detail),
            now=now,
        )
    return state


#: (kind, status) of an attempt's provider object -> status of the attempt.
_ATTEMPT_STATUS_OF: Mapping[tuple[str, str], AttemptStatus] = {
    (ObjectKind.CHARGE, ChargeStatus.CAPTURED): AttemptStatus.SUCCEEDED,
    (ObjectKind.CHARGE, ChargeStatus.PARTIALLY_CAPTURED): AttemptStatus.SUCCEEDED,
    (ObjectKind.CHARGE, ChargeStatus.AUTHORIZED): AttemptStatus.SUCCEEDED,
    (ObjectKind.CHARGE, ChargeStatus.VOIDED): AttemptStatus.SUCCEEDED,
    (ObjectKind.CHARGE, ChargeStatus.EXPIRED): AttemptStatus.DECLINED,
    (ObjectKind.CHARGE, ChargeStatus.DECLINED): AttemptStatus.DECLINED,
    (ObjectKind.REFUND, RefundStatus.SUCCEEDED): AttemptStatus.SUCCEEDED,
    (ObjectKind.REFUND, RefundStatus.FAILED): AttemptStatus.DECLINED,
    (ObjectKind.REFUND, RefundStatus.CANCELED): AttemptStatus.DECLINED,
}


def _finalize_from_facts(
    payment: queries.PaymentRow,
    attempts: list[queries.AttemptRow],
    facts: Sequence[Snapshot],
    now: datetime,
) -> list[queries.AttemptRow]:
    """Finalize live attempts whose response was lost, from facts of other sources."""
    if not any(attempt.status in LIVE for attempt in attempts):
        return attempts
    # A hosted checkout page and its charge share one key: the higher rank wins.
    objects = sorted(
        (o for o in payment_state.merge_all(facts) if o.key), key=payment_state.status_rank
    )
    object_by_key = {o.key: o for o in objects}
    updated = []
    for attempt in attempts:
        snapshot = object_by_key.get(attempt.id)
        status = _ATTEMPT_STATUS_OF.get((snapshot.kind, snapshot.status)) if snapshot else None
        if attempt.status in LIVE and snapshot and status:
            update_attempt(
                attempt_id=attempt.id,
                status=status,
                reference=snapshot.reference,
                failure_code=snapshot.code,
                soft_decline=snapshot.soft_decline,
                now=now,
            )
            for code in OUTCOME_REVIEWS:
                reviews.close(
                    code=code,
                    subject=payment.id,
                    resolution=f"provider reported: {status}",
                    attempt_id=attempt.id,
                    now=now,
                )
            attempt = replace(attempt, status=status, reference=snapshot.reference)  # noqa: PLW2901
        updated.append(attempt)
    return updated


def load_commands(
    payment: queries.PaymentRow, refunds: Sequence[queries.RefundRow]
) -> payment_state.Commands:
    """Build the commands of *payment*, an input of `payment_state.fold`."""
    return payment_state.Commands(
        amount_minor=payment.amount_minor,
        tax_minor=payment.tax_minor,
        currency=payment.currency,
        closed_status=payment.closed_status,
        refunds=tuple(
            payment_state.RefundCommand(
                refund_id=r.id,
                amount_minor=r.amount_minor,
                tax_minor=r.tax_minor,
                references=r.references,
            )
            for r in refunds
            # A refund canceled before it was sent is no command.
            if r.references or r.status != RefundStatus.CANCELED
        ),
    )


def _update_refunds(refunds: Sequence[queries.RefundRow], state: payment_state.PaymentState) -> int:
    """Update the refunds' statuses. Return the sum of the pending ones in minor units."""
    reserved = 0
    for refund in refunds:
        status = state.refund_statuses.get(refund.id, RefundStatus(refund.status))
        if status != refund.status:
            queries.update_refund(refund.id, status)
        reserved += refund.amount_minor if status is RefundStatus.PENDING else 0
    return reserved


def _unmatched_keys(snapshots: Iterable[Snapshot], links: dict[ObjectKey, Link]) -> set[ObjectKey]:
    keys: set[ObjectKey] = {(s.kind.value, s.reference) for s in snapshots} - links.keys()
    # The running total of a charge without a payment includes its refunds.
    keys |= {
        (ObjectKind.CHARGE.value, s.parent_reference)
        for s in snapshots
        if s.parent_reference and (ObjectKind.REFUND.value, s.reference) in keys
    }
    return keys


def _post_unmatched(provider_account: str, keys: set[ObjectKey], now: datetime) -> None:
    """Post objects without a payment to suspense, and open reviews of those that should have one."""
    for key in sorted(keys):
        subject = ledger_subject(provider_account, key)
        objects = queries.facts_of_object(provider_account, key)
        refunds = queries.unmatched_refunds(provider_account, key) if objects else []
        target = accounting.target_balances_unmatched(
            objects=objects, provider_account=provider_account, refunds=refunds
        )
        posting.post(subject=subject, target=target, now=now)
        if objects and key[0] in {ObjectKind.CHARGE, ObjectKind.REFUND, ObjectKind.DISPUTE}:
            reviews.create_review(
                code="unmatched_provider_object",
                subject=subject,
                payment_id=None,
                detail={"kind": key[0], "reference": key[1]},
                now=now,
            )


def update_attempt(
    *,
    attempt_id: str,
    status: AttemptStatus,
    now: datetime,
    reference: str = "",
    failure_code: str = "",
    soft_decline: bool = False,
    redirect_url: str = "",
) -> None:
    """
    Update an attempt's status; a final status does not change.

    Needs an open transaction and its payment locked.
    """
    group_commit.require_transaction()
    row = [
        status.value,
        reference,
        failure_code,
        soft_decline,
        redirect_url,
        fields.to_db_datetime(now),
        status is AttemptStatus.UNKNOWN,
        attempt_id,
        *[s.value for s in LIVE],
    ]
    sql.run(queries.UPDATE_ATTEMPT, row)
