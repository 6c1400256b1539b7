"""
A reconciliation run: load the lines, match them, post what the books missed, report the breaks.

Lines, facts, match statuses and reviews commit together. A report file that was loaded before is
not loaded again; open lines and entries are then matched again.
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
from bursar.reconciliation import (
    corrections,
    expected_entries,
    settlement_matching,
    settlement_reports,
)
from bursar.reconciliation.models import (
    MatchedEntry,
    Reconciliation,
    SettlementBreak,
    SettlementReportLine,
)
from bursar.reconciliation.settlement_matching import MatchResult, MatchStatus
from bursar.reconciliation.settlement_reports import LoadedReport

PURPOSE = "settlement"
#: An entry of our books this close to the end of a report may be in the next one.
LATE_AFTER = timedelta(days=3)
#: Statuses that settle a line and its entry; every other stays open for the next run.
SETTLED_STATUSES = (MatchStatus.MATCHED, MatchStatus.MISSING_IN_BOOKS, MatchStatus.DUPLICATE)
REVIEW_CODE = "settlement_break"

#: The kind of provider object behind each category.
OBJECT_KINDS = {
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
    """The result of a run. *loaded* counts new lines; *is_already_loaded*: the file was loaded before."""

    id: str
    file: str
    loaded: int
    is_already_loaded: bool
    results: Sequence[MatchResult]
    totals: Sequence[settlement_matching.Total]

    @property
    def breaks(self) -> list[MatchResult]:
        """Everything but plain matches, the most severe first."""
        order = {verdict: number for number, verdict in enumerate(_WORST_FIRST)}
        breaks = [one for one in self.results if one.match_status is not MatchStatus.MATCHED]
        return sorted(breaks, key=lambda one: (order[one.match_status], source_of(one)))

    @property
    def is_clean(self) -> bool:
        """Whether everything matched, apart from late entries."""
        return all(
            one.match_status in {MatchStatus.MATCHED, MatchStatus.LATE} for one in self.results
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
    Match *loaded* and the account's open lines with our books, in one commit; blocks.

    *period_end* is the end of the report's period, by default the time of its last line.
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
    new, is_already_loaded = _store_lines(loaded, account, now)
    rows = list(_open_rows(account))
    lines = [settlement_reports.to_settlement_line(row) for row in rows]
    end = period_end or max((line.occurred_at for line in lines), default=now)
    objects = expected_entries.load_objects(account)
    if payouts := list(corrections.missing_payouts(lines, objects)):
        facts.append_facts(
            provider_account=account, snapshots=payouts, source="settlement", now=now
        )
        objects = expected_entries.load_objects(account)
    settled = expected_entries.load_settled_amounts(account)
    results = settlement_matching.reconcile(
        expected_entries.open_entries(objects, settled),
        lines,
        period_end=end,
        late_after=late_after,
        settled_references=_settled_references(account, rows),
        payout_totals=_payout_totals(account),
    )
    totals = settlement_matching.totals(results)
    Reconciliation.objects.create(
        id=run_id,
        provider_account_id=account,
        file=loaded.file,
        period_end=end,
        created_at=now,
        totals=[asdict(total) for total in totals],
    )
    _record_corrections(account, results, objects, settled, now)
    _mark_settled(run_id, account, results, rows)
    _record_breaks(run_id, account, results, now)
    return ReconciliationReport(
        id=run_id,
        file=loaded.file,
        loaded=new,
        is_already_loaded=is_already_loaded,
        results=results,
        totals=totals,
    )


def _store_lines(loaded: LoadedReport, account: str, now: datetime) -> tuple[int, bool]:
    """Store the lines of a new report. Return their number, and whether it was loaded before."""
    if not loaded.sha256:
        rows = settlement_reports.store_lines(
            loaded.lines, provider_account=account, keep_duplicates=False, now=now
        )
        return len(rows), False
    digest = files.digest(file_sha256=loaded.sha256, purpose=PURPOSE, options=(account,))
    if files.find_import(digest) is not None:
        return 0, True
    rows = settlement_reports.store_lines(
        loaded.lines, provider_account=account, keep_duplicates=True, now=now
    )
    report = {"lines": len(rows), "account": account}
    files.record(digest=digest, name=loaded.file, purpose=PURPOSE, report=report, now=now)
    return len(rows), False


def _open_rows(account: str) -> Iterable[SettlementReportLine]:
    rows = SettlementReportLine.objects.filter(
        provider_account_id=account, reconciliation__isnull=True
    )
    return rows.order_by("occurred_at", "reference", "duplicate_index")


def _settled_references(account: str, rows: Iterable[SettlementReportLine]) -> frozenset[str]:
    """Return the references of settled lines that are reported again now."""
    references = [row.reference for row in rows if row.duplicate_index]
    settled = SettlementReportLine.objects.filter(
        provider_account_id=account, reference__in=references, reconciliation__isnull=False
    )
    return frozenset(settled.values_list("reference", flat=True))


def _payout_totals(account: str) -> dict[str, int]:
    settled = SettlementReportLine.objects.filter(
        provider_account_id=account, reconciliation__isnull=False
    )
    counted = settled.exclude(payout="").exclude(category__in=["payout", "payout_reversal"])
    sums = counted.exclude(match_status=MatchStatus.DUPLICATE).values_list("payout")
    return {payout: int(net) for payout, net in sums.annotate(Sum("net_minor"))}


def _record_corrections(
    account: str,
    results: Iterable[MatchResult],
    objects: expected_entries.ProviderObjects,
    settled: expected_entries.SettledAmounts,
    now: datetime,
) -> None:
    """Append facts for what the lines report and the books miss."""
    snapshots = []
    for one in results:
        snapshots += list(corrections.new_snapshots(one, objects, settled))
        if one.match_status is MatchStatus.MISSING_IN_BOOKS:
            snapshots += [
                snapshot
                for line in one.lines
                if (snapshot := corrections.missing_snapshot(line)) is not None
            ]
    if snapshots:
        facts.append_facts(
            provider_account=account, snapshots=snapshots, source="settlement", now=now
        )


def _mark_settled(
    run_id: str, account: str, results: Iterable[MatchResult], rows: Iterable[SettlementReportLine]
) -> None:
    """Mark settled lines and entries; the rest stays open for the next run."""
    by_reference: dict[str, list[SettlementReportLine]] = {}
    for row in rows:
        by_reference.setdefault(row.reference, []).append(row)
    changed, entries = [], []
    for one in results:
        booked = [line for line in one.lines if corrections.missing_snapshot(line) is not None]
        is_settled = one.match_status in SETTLED_STATUSES and (
            one.match_status is not MatchStatus.MISSING_IN_BOOKS or booked
        )
        for line in one.lines:
            # The first line of a reference is matched; repetitions are duplicates.
            same = by_reference[line.reference]
            row = same.pop(-1 if one.match_status is MatchStatus.DUPLICATE else 0)
            row.match_status = one.match_status
            row.reconciliation_id = run_id if is_settled else None
            changed.append(row)
        if one.match_status is MatchStatus.MATCHED:
            entries += [
                _entry(run_id, account, e.category, e.source, e.gross_minor, _fee(one, e))
                for e in one.entries
            ]
        elif is_settled and one.match_status is MatchStatus.MISSING_IN_BOOKS:
            entries += [
                _entry(run_id, account, s.category, s.source, s.gross_minor, s.fee_minor)
                for s in booked
            ]
    SettlementReportLine.objects.bulk_update(
        changed, ["match_status", "reconciliation"], batch_size=500
    )
    MatchedEntry.objects.bulk_create(entries, batch_size=500)


def _fee(result: MatchResult, entry: settlement_matching.ExpectedEntry) -> int:
    if entry.fee_minor is not None:
        return entry.fee_minor
    return sum(line.fee_minor for line in result.lines)


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


def source_of(result: MatchResult) -> str:
    """Return the group's object reference: that of our entry if there is one, else of the line."""
    if result.entries:
        return result.entries[0].source
    return result.lines[0].source


def _record_breaks(
    run_id: str, account: str, results: Sequence[MatchResult], now: datetime
) -> None:
    """Store the breaks, create reviews for them, and close reviews that no longer apply."""
    breaks = [one for one in results if one.match_status is not MatchStatus.MATCHED]
    SettlementBreak.objects.bulk_create([_break(run_id, one) for one in breaks], batch_size=500)
    # Close first: the review of a duplicate has the subject of the line that it duplicates.
    for one in results:
        if one.match_status in {MatchStatus.MATCHED, MatchStatus.LATE}:
            resolution = (
                "matched by a later run"
                if one.match_status is MatchStatus.MATCHED
                else "late, not missing"
            )
            reviews.close(
                code=REVIEW_CODE, subject=_subject(account, one), resolution=resolution, now=now
            )
    for one in breaks:
        if one.match_status is not MatchStatus.LATE:
            reviews.create_review(
                code=REVIEW_CODE,
                subject=_subject(account, one),
                payment_id=_payment(account, one),
                detail={"match_status": one.match_status.value, "reason": one.reason},
                now=now,
            )


def _subject(account: str, result: MatchResult) -> str:
    return f"{account}/{_category(result).value}/{source_of(result)}"


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


def _category(result: MatchResult) -> Category:
    return result.entries[0].category if result.entries else result.lines[0].category


def _payment(account: str, result: MatchResult) -> str | None:
    """Return the id of the payment that a group belongs to, by its object or by its charge."""
    kind = OBJECT_KINDS.get(_category(result))
    parents: list[settlement_matching.ExpectedEntry | SettlementLine] = [
        *result.entries,
        *result.lines,
    ]
    names = [(kind.value, source_of(result))] if kind else []
    names += [(ObjectKind.CHARGE.value, one.parent_reference) for one in parents]
    links = FactLink.objects.filter(provider_account_id=account)
    for own_kind, reference in names:
        link = links.filter(kind=own_kind, reference=reference).values_list("payment_id").first()
        if link:
            return str(link[0])
    return None
