"""
A run: load the lines, match them with our books, book what these missed, tell the rest.

Everything commits together: the lines, the facts they brought, the verdicts, and what a person is
asked. A report that came before is not loaded again; what is open is then matched anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db.models import Sum

from bursar import group_commit, ids
from bursar.imports import import_log as files
from bursar.payments import facts, reviews
from bursar.payments.models import FactLink
from bursar.providers.interface import Category, ObjectKind, SettlementLine
from bursar.reconciliation import corrections, expected_entries, matching, settlement_reports
from bursar.reconciliation.matching import MatchResult, MatchStatus
from bursar.reconciliation.models import (
    MatchedEntry,
    Reconciliation,
    SettlementBreak,
    SettlementReportLine,
)
from bursar.reconciliation.settlement_reports import LoadedReport

PURPOSE = "settlement"
#: What our books had less long ago than this before a report ends may come with the next one.
LATE_AFTER = timedelta(days=3)
#: Verdicts after which a line and its entry are done with.
DONE = (MatchStatus.MATCHED, MatchStatus.MISSING_IN_BOOKS, MatchStatus.DUPLICATE)
REVIEW = "settlement_break"

#: The kind of object that moves the balance in a category.
KINDS = {
    Category.CHARGE: ObjectKind.CHARGE,
    Category.REFUND: ObjectKind.REFUND,
    Category.REFUND_FAILURE: ObjectKind.REFUND,
    Category.DISPUTE: ObjectKind.DISPUTE,
    Category.DISPUTE_REVERSAL: ObjectKind.DISPUTE,
    Category.FEE: ObjectKind.FEE,
    Category.PAYOUT: ObjectKind.PAYOUT,
    Category.PAYOUT_REVERSAL: ObjectKind.PAYOUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationReport:
    """What a run found. *loaded* lines are new; *already_loaded* says that the file came before."""

    id: str
    file: str
    loaded: int
    already_loaded: bool
    judged: Sequence[MatchResult]
    totals: Sequence[matching.Total]

    @property
    def breaks(self) -> list[MatchResult]:
        """What is not simply matched, the worst first."""
        order = {verdict: number for number, verdict in enumerate(_WORST_FIRST)}
        found = [one for one in self.judged if one.match_status is not MatchStatus.MATCHED]
        return sorted(found, key=lambda one: (order[one.match_status], source_of(one)))

    @property
    def clean(self) -> bool:
        """Whether everything matched, but for what is only late."""
        return all(
            one.match_status in {MatchStatus.MATCHED, MatchStatus.LATE} for one in self.judged
        )


_WORST_FIRST = (
    MatchStatus.MISSING_AT_PROVIDER,
    MatchStatus.AMOUNT_MISMATCH,
    MatchStatus.CURRENCY_MISMATCH,
    MatchStatus.FEE_MISMATCH,
    MatchStatus.AMBIGUOUS,
    MatchStatus.MISSING_IN_BOOKS,
    MatchStatus.DUPLICATE,
    MatchStatus.LATE,
    MatchStatus.MATCHED,
)


def reconcile(
    loaded: LoadedReport,
    *,
    provider_account: str,
    now: datetime,
    period_end: datetime | None = None,
    late_after: timedelta = LATE_AFTER,
) -> ReconciliationReport:
    """
    Match *loaded* and whatever is open of the account with our books, in one commit; blocks.

    *period_end* is when the report ends, by default with its last line.
    """
    run_id = ids.new(ids.RECONCILIATION)
    return group_commit.commits.run_blocking(
        lambda: _run(run_id, loaded, provider_account, now, period_end, late_after)
    )


def _run(
    run_id: str,
    loaded: LoadedReport,
    account: str,
    now: datetime,
    period_end: datetime | None,
    late_after: timedelta,
) -> ReconciliationReport:
    new, known = _load(loaded, account, now)
    rows = list(_open_rows(account))
    lines = [settlement_reports.line_of(row) for row in rows]
    end = period_end or max((line.occurred_at for line in lines), default=now)
    objects = expected_entries.objects_of(account)
    if told := list(corrections.payouts(lines, objects)):
        facts.append_facts(provider_account=account, snapshots=told, source="settlement", now=now)
        objects = expected_entries.objects_of(account)
    done = expected_entries.matched_entries(account)
    judged = matching.reconcile(
        expected_entries.expected(objects, done),
        lines,
        period_end=end,
        late_after=late_after,
        seen=_seen(account, rows),
        paid_out=_paid_out(account),
    )
    totals = matching.totals(judged)
    Reconciliation.objects.create(
        id=run_id,
        provider_account_id=account,
        file=loaded.file,
        period_end=end,
        created_at=now,
        totals=[asdict(total) for total in totals],
    )
    _book(account, judged, objects, done, now)
    _settle(run_id, account, judged, rows)
    _tell(run_id, account, judged, now)
    return ReconciliationReport(
        id=run_id, file=loaded.file, loaded=new, already_loaded=known, judged=judged, totals=totals
    )


def _load(loaded: LoadedReport, account: str, now: datetime) -> tuple[int, bool]:
    """Store the lines of a report that did not come before; how many, and whether it did."""
    if not loaded.sha256:
        rows = settlement_reports.store(
            loaded.lines, provider_account=account, again=False, now=now
        )
        return len(rows), False
    digest = files.digest(file_sha256=loaded.sha256, purpose=PURPOSE, options=(account,))
    if files.find_import(digest) is not None:
        return 0, True
    rows = settlement_reports.store(loaded.lines, provider_account=account, again=True, now=now)
    report = {"lines": len(rows), "account": account}
    files.record(digest=digest, name=loaded.file, purpose=PURPOSE, report=report, now=now)
    return len(rows), False


def _open_rows(account: str) -> Iterable[SettlementReportLine]:
    rows = SettlementReportLine.objects.filter(
        provider_account_id=account, reconciliation__isnull=True
    )
    return rows.order_by("occurred_at", "reference", "duplicate_index")


def _seen(account: str, rows: Iterable[SettlementReportLine]) -> frozenset[str]:
    """The lines that an earlier run has settled and that are told again now."""
    again = [row.reference for row in rows if row.duplicate_index]
    done = SettlementReportLine.objects.filter(
        provider_account_id=account, reference__in=again, reconciliation__isnull=False
    )
    return frozenset(done.values_list("reference", flat=True))


def _paid_out(account: str) -> dict[str, int]:
    done = SettlementReportLine.objects.filter(
        provider_account_id=account, reconciliation__isnull=False
    )
    counted = done.exclude(payout="").exclude(category__in=["payout", "payout_reversal"])
    sums = counted.exclude(match_status=MatchStatus.DUPLICATE).values_list("payout")
    return {payout: int(net) for payout, net in sums.annotate(Sum("net_minor"))}


def _book(
    account: str,
    judged: Iterable[MatchResult],
    objects: expected_entries.Objects,
    done: expected_entries.Done,
    now: datetime,
) -> None:
    """Record what the lines tell and the books missed."""
    told = []
    for one in judged:
        told += list(corrections.new_snapshots(one, objects, done))
        if one.match_status is MatchStatus.MISSING_IN_BOOKS:
            told += [
                made
                for line in one.lines
                if (made := corrections.missing_snapshot(line)) is not None
            ]
    if told:
        facts.append_facts(provider_account=account, snapshots=told, source="settlement", now=now)


def _settle(
    run_id: str, account: str, judged: Iterable[MatchResult], rows: Iterable[SettlementReportLine]
) -> None:
    """Mark what is done with; the rest stays open for the next run."""
    by_reference: dict[str, list[SettlementReportLine]] = {}
    for row in rows:
        by_reference.setdefault(row.reference, []).append(row)
    changed, done = [], []
    for one in judged:
        booked = [line for line in one.lines if corrections.missing_snapshot(line) is not None]
        over = one.match_status in DONE and (
            one.match_status is not MatchStatus.MISSING_IN_BOOKS or booked
        )
        for line in one.lines:
            # The first line of a reference counts; the same line again is the duplicate.
            same = by_reference[line.reference]
            row = same.pop(-1 if one.match_status is MatchStatus.DUPLICATE else 0)
            row.match_status = one.match_status
            row.reconciliation_id = run_id if over else None
            changed.append(row)
        if one.match_status is MatchStatus.MATCHED:
            done += [
                _entry(run_id, account, e.category, e.source, e.gross_minor, _fee(one, e))
                for e in one.entries
            ]
        elif over and one.match_status is MatchStatus.MISSING_IN_BOOKS:
            done += [
                _entry(run_id, account, s.category, s.source, s.gross_minor, s.fee_minor)
                for s in booked
            ]
    SettlementReportLine.objects.bulk_update(
        changed, ["match_status", "reconciliation"], batch_size=500
    )
    MatchedEntry.objects.bulk_create(done, batch_size=500)


def _fee(judged: MatchResult, entry: matching.ExpectedEntry) -> int:
    if entry.fee_minor is not None:
        return entry.fee_minor
    return sum(line.fee_minor for line in judged.lines)


def _entry(
    run_id: str, account: str, category: Category, source: str, gross: int, fee: int
) -> MatchedEntry:
    return MatchedEntry(
        reconciliation_id=run_id,
        provider_account_id=account,
        category=category.value,
        source=source,
        gross_minor=gross,
        fee_minor=fee,
    )


def source_of(judged: MatchResult) -> str:
    """The object that a group is about: our name of it, where we have one."""
    if judged.entries:
        return judged.entries[0].source
    return judged.lines[0].source


def _tell(run_id: str, account: str, judged: Sequence[MatchResult], now: datetime) -> None:
    """Write the breaks, ask a person about them, and take back what has been answered."""
    broken = [one for one in judged if one.match_status is not MatchStatus.MATCHED]
    SettlementBreak.objects.bulk_create([_break(run_id, one) for one in broken], batch_size=500)
    # First what is answered: a duplicate is asked about under the name of what it duplicates.
    for one in judged:
        if one.match_status in {MatchStatus.MATCHED, MatchStatus.LATE}:
            resolution = (
                "it matches now" if one.match_status is MatchStatus.MATCHED else "it is only late"
            )
            reviews.close(
                code=REVIEW, subject=_subject(account, one), resolution=resolution, now=now
            )
    for one in broken:
        if one.match_status is not MatchStatus.LATE:
            reviews.create_review(
                code=REVIEW,
                subject=_subject(account, one),
                payment_id=_payment(account, one),
                detail={"match_status": one.match_status.value, "reason": one.reason},
                now=now,
            )


def _subject(account: str, judged: MatchResult) -> str:
    return f"{account}/{_category(judged).value}/{source_of(judged)}"


def _break(run_id: str, one: MatchResult) -> SettlementBreak:
    currency = (one.entries or one.lines)[0].currency
    return SettlementBreak(
        reconciliation_id=run_id,
        match_status=one.match_status,
        category=_category(one).value,
        source=source_of(one),
        currency=currency,
        reason=one.reason[:400],
        ours_minor=sum(e.gross_minor for e in one.entries) if one.entries else None,
        theirs_minor=sum(s.gross_minor for s in one.lines) if one.lines else None,
    )


def _category(judged: MatchResult) -> Category:
    return judged.entries[0].category if judged.entries else judged.lines[0].category


def _payment(account: str, judged: MatchResult) -> str | None:
    """The payment that a group belongs to, by the object or by its charge."""
    kind = KINDS.get(_category(judged))
    parents: list[matching.ExpectedEntry | SettlementLine] = [*judged.entries, *judged.lines]
    names = [(kind.value, source_of(judged))] if kind else []
    names += [(ObjectKind.CHARGE.value, one.parent_reference) for one in parents]
    links = FactLink.objects.filter(provider_account_id=account)
    for own_kind, reference in names:
        found = links.filter(kind=own_kind, reference=reference).values_list("payment_id").first()
        if found:
            return str(found[0])
    return None
