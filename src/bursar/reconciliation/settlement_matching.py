"""
Matching of settlement lines with our books, in plain Python without a database.

This is the specification: a faster implementation must give the same results. Every line and every
entry is in exactly one group, so that the groups' counts and sums add up to both inputs.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bursar.money import Money
from bursar.providers.interface import Category, SettlementLine

#: Lines and entries with different references are compared only within so many days.
DAYS_APART_MAX = timedelta(days=5)


class MatchStatus(StrEnum):
    """The status of a group of lines and entries."""

    MATCHED = "matched"
    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    FEE_MISMATCH = "fee_mismatch"
    MISSING_IN_BOOKS = "missing_in_books"
    MISSING_AT_PROVIDER = "missing_at_provider"
    DUPLICATE = "duplicate"
    LATE = "late"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedEntry:
    """
    A movement of a provider's balance that our books expect.

    Amounts as in `SettlementLine`: minor units, positive for the merchant. *fee_minor* is None if
    not yet reported. An entry that is not *settled* is in the buyer's currency, because the
    settled amount is not yet reported.
    """

    category: Category
    source: str
    currency: str
    gross_minor: int
    fee_minor: int | None
    occurred_at: datetime
    parent_reference: str = ""
    settled: bool = True
    converted: bool = False

    @property
    def name(self) -> tuple[Category, str]:
        """The key by which it is matched."""
        return self.category, self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchResult:
    """A group of lines and entries, its status, and the reason as text."""

    match_status: MatchStatus
    reason: str = ""
    lines: tuple[SettlementLine, ...] = ()
    entries: tuple[ExpectedEntry, ...] = ()


def reconcile(
    entries: Iterable[ExpectedEntry],
    lines: Iterable[SettlementLine],
    *,
    period_end: datetime,
    late_after: timedelta,
    settled_references: frozenset[str] = frozenset(),
    payout_totals: Mapping[str, int] | None = None,
) -> list[MatchResult]:
    """
    Match *lines* with *entries*, one entry per category and source.

    *period_end* is the end of the report: an unmatched entry less than *late_after* before it is
    late, not missing. *settled_references* are lines of earlier reports; *payout_totals* are the
    net sums of each payout's earlier lines.

    :raises ValueError: if two entries have the same category and source.
    """
    entries = list(entries)
    by_name = {entry.name: entry for entry in entries}
    if len(by_name) != len(entries):
        raise ValueError("two entries have the same category and source")
    new_lines, results = _without_duplicates(lines, settled_references)
    sums = Counter(payout_totals or {})
    for line in new_lines:
        if line.payout and line.category not in _PAYOUTS:
            sums[line.payout] += line.net_minor
    grouped: defaultdict[tuple[Category, str], list[SettlementLine]] = defaultdict(list)
    for line in new_lines:
        grouped[line.category, line.source].append(line)
    unmatched_lines: list[SettlementLine] = []
    for name, group in grouped.items():
        entry = by_name.pop(name, None)
        if entry is None:
            unmatched_lines += group
        else:
            results += _compare(entry, group, sums)
    step_results = list(_match_payouts(by_name.values(), sums))
    step_results, unmatched_lines, unmatched_entries = _remove_matched(
        step_results, unmatched_lines, list(by_name.values())
    )
    results += step_results
    for step in (_match_by_parent, _match_by_normalized_reference, _match_by_amount):
        step_results, unmatched_lines, unmatched_entries = step(unmatched_lines, unmatched_entries)
        results += step_results
    results += [
        MatchResult(
            match_status=MatchStatus.MISSING_IN_BOOKS,
            reason="no such movement in our books",
            lines=(line,),
        )
        for line in unmatched_lines
    ]
    results += [_classify_unmatched(entry, period_end, late_after) for entry in unmatched_entries]
    return results


_PAYOUTS = {Category.PAYOUT, Category.PAYOUT_REVERSAL}
_Step = tuple[list[MatchResult], list[SettlementLine], list[ExpectedEntry]]


def _without_duplicates(
    lines: Iterable[SettlementLine], settled_references: frozenset[str]
) -> tuple[list[SettlementLine], list[MatchResult]]:
    references, new_lines, duplicates = set(settled_references), [], []
    for line in lines:
        if line.reference in references:
            reason = f"{line.reference} was reported before"
            duplicates.append(
                MatchResult(match_status=MatchStatus.DUPLICATE, reason=reason, lines=(line,))
            )
        else:
            references.add(line.reference)
            new_lines.append(line)
    return new_lines, duplicates


def _compare(
    entry: ExpectedEntry, group: Sequence[SettlementLine], sums: Mapping[str, int]
) -> Iterator[MatchResult]:
    """Compare an entry with the lines of the same category and source."""
    if len(group) > 1 and _is_match(group[0], entry) and len({_amounts(one) for one in group}) == 1:
        # The full amount repeated under another id: the first one counts.
        yield from _compare(entry, group[:1], sums)
        for line in group[1:]:
            reason = f"{entry.source} is already settled by {group[0].reference}"
            yield MatchResult(match_status=MatchStatus.DUPLICATE, reason=reason, lines=(line,))
        return
    match_status, reason = _difference(entry, group)
    if (
        match_status is MatchStatus.MATCHED
        and entry.category is Category.PAYOUT
        and entry.source in sums
    ):
        match_status, reason = _check_payout_sum(entry, sums[entry.source])
    if match_status is MatchStatus.MATCHED and len(group) > 1:
        reason = f"sum of {len(group)} lines"
    yield MatchResult(
        match_status=match_status, reason=reason, lines=tuple(group), entries=(entry,)
    )


def _amounts(line: SettlementLine) -> tuple[object, ...]:
    return line.currency, line.gross_minor, line.fee_minor, line.paid


def _is_match(line: SettlementLine, entry: ExpectedEntry) -> bool:
    return _difference(entry, [line])[0] is MatchStatus.MATCHED


def _difference(entry: ExpectedEntry, group: Sequence[SettlementLine]) -> tuple[MatchStatus, str]:
    currencies = {line.currency for line in group}
    gross = sum(line.gross_minor for line in group)
    fee = sum(line.fee_minor for line in group)
    if currencies != {entry.currency}:
        paid = [line.paid for line in group if line.paid is not None]
        paid_total = (
            Money(sum(one.amount_minor for one in paid), paid[0].currency) if paid else None
        )
        if not entry.settled and paid_total == Money(entry.gross_minor, entry.currency):
            return MatchStatus.MATCHED, "settled in another currency"
        reported_currencies = ", ".join(sorted(currencies))
        return (
            MatchStatus.CURRENCY_MISMATCH,
            f"{reported_currencies} reported, {entry.currency} in our books",
        )
    if gross != entry.gross_minor:
        return MatchStatus.AMOUNT_MISMATCH, _amount_mismatch_reason(entry, gross)
    if entry.fee_minor is not None and fee != entry.fee_minor:
        ours = Money(entry.fee_minor, entry.currency)
        return (
            MatchStatus.FEE_MISMATCH,
            f"fee of {Money(fee, entry.currency)} reported, {ours} in our books",
        )
    return MatchStatus.MATCHED, ""


def _amount_mismatch_reason(entry: ExpectedEntry, gross: int) -> str:
    difference = gross - entry.gross_minor
    amounts = f"{Money(gross, entry.currency)} reported, {Money(entry.gross_minor, entry.currency)} in our books"
    if gross == -entry.gross_minor:
        return f"opposite sign: {amounts}"
    if abs(difference) == 1:
        return f"rounding difference: {amounts}"
    if entry.converted:
        return f"different exchange rate: {amounts}"
    return amounts


def _check_payout_sum(entry: ExpectedEntry, net: int) -> tuple[MatchStatus, str]:
    if net == -entry.gross_minor:
        return MatchStatus.MATCHED, "sum of its lines"
    paid = Money(-entry.gross_minor, entry.currency)
    sign = "less" if -entry.gross_minor < net else "more"
    reason = f"payout of {paid} is {sign} than the sum of its lines, {Money(net, entry.currency)}"
    return MatchStatus.AMOUNT_MISMATCH, reason


def _match_payouts(
    entries: Iterable[ExpectedEntry], sums: Mapping[str, int]
) -> Iterator[MatchResult]:
    """Match a payout without a line of its own with the sum of the lines that it paid out."""
    for entry in entries:
        if entry.category is Category.PAYOUT and entry.source in sums:
            match_status, reason = _check_payout_sum(entry, sums[entry.source])
            yield MatchResult(match_status=match_status, reason=reason, entries=(entry,))


def _match_by_parent(
    unmatched_lines: list[SettlementLine], unmatched_entries: list[ExpectedEntry]
) -> _Step:
    """Match by parent and sum: one refund of ours may be several at the provider, and vice versa."""
    ours: defaultdict[tuple[str, ...], list[ExpectedEntry]] = defaultdict(list)
    theirs: defaultdict[tuple[str, ...], list[SettlementLine]] = defaultdict(list)
    for entry in unmatched_entries:
        if entry.parent_reference:
            ours[entry.category, entry.parent_reference, entry.currency].append(entry)
    for line in unmatched_lines:
        if line.parent_reference:
            theirs[line.category, line.parent_reference, line.currency].append(line)
    results = []
    for name, entries in ours.items():
        lines = theirs.get(name, [])
        if lines and sum(e.gross_minor for e in entries) == sum(s.gross_minor for s in lines):
            reason = f"lines: {len(lines)}, entries: {len(entries)}, same sum for {name[1]}"
            results.append(
                MatchResult(
                    match_status=MatchStatus.MATCHED,
                    reason=reason,
                    lines=tuple(lines),
                    entries=tuple(entries),
                )
            )
    return _remove_matched(results, unmatched_lines, unmatched_entries)


def _match_by_normalized_reference(
    unmatched_lines: list[SettlementLine], unmatched_entries: list[ExpectedEntry]
) -> _Step:
    """Match references that differ only in case or punctuation, if unambiguous."""
    entries_by_reference: defaultdict[tuple[object, ...], list[ExpectedEntry]] = defaultdict(list)
    for entry in unmatched_entries:
        entries_by_reference[entry.category, _normalize(entry.source)].append(entry)
    counted = Counter((line.category, _normalize(line.source)) for line in unmatched_lines)
    results = []
    for line in unmatched_lines:
        name = line.category, _normalize(line.source)
        candidates = entries_by_reference.get(name, [])
        if len(candidates) == 1 and counted[name] == 1 and _is_match(line, candidates[0]):
            reason = (
                f"{line.source!r} matched to {candidates[0].source}, ignoring case and punctuation"
            )
            results.append(
                MatchResult(
                    match_status=MatchStatus.MATCHED,
                    reason=reason,
                    lines=(line,),
                    entries=(candidates[0],),
                )
            )
    return _remove_matched(results, unmatched_lines, unmatched_entries)


def _normalize(reference: str) -> str:
    return re.sub(r"[^0-9a-z]", "", reference.casefold())


def _match_by_amount(
    unmatched_lines: list[SettlementLine], unmatched_entries: list[ExpectedEntry]
) -> _Step:
    """Group equal categories and amounts within `DAYS_APART_MAX` as ambiguous, for a review."""
    ours: defaultdict[tuple[object, ...], list[ExpectedEntry]] = defaultdict(list)
    theirs: defaultdict[tuple[object, ...], list[SettlementLine]] = defaultdict(list)
    for entry in unmatched_entries:
        ours[entry.category, entry.currency, entry.gross_minor].append(entry)
    for line in unmatched_lines:
        theirs[line.category, line.currency, line.gross_minor].append(line)
    results = []
    for name, lines in theirs.items():
        near = [
            entry
            for entry in ours.get(name, [])
            if any(abs(entry.occurred_at - one.occurred_at) <= DAYS_APART_MAX for one in lines)
        ]
        if near:
            entry_sources = ", ".join(entry.source for entry in near)
            line_sources = ", ".join(line.source for line in lines)
            results.append(
                MatchResult(
                    match_status=MatchStatus.AMBIGUOUS,
                    reason=f"{line_sources} possibly equals {entry_sources}",
                    lines=tuple(lines),
                    entries=tuple(near),
                )
            )
    return _remove_matched(results, unmatched_lines, unmatched_entries)


def _remove_matched(
    results: list[MatchResult],
    unmatched_lines: list[SettlementLine],
    unmatched_entries: list[ExpectedEntry],
) -> _Step:
    lines = {line.reference for judged in results for line in judged.lines}
    names = {entry.name for judged in results for entry in judged.entries}
    return (
        results,
        [line for line in unmatched_lines if line.reference not in lines],
        [entry for entry in unmatched_entries if entry.name not in names],
    )


def _classify_unmatched(
    entry: ExpectedEntry, period_end: datetime, late_after: timedelta
) -> MatchResult:
    if entry.occurred_at > period_end - late_after:
        reason = "too recent for this report; expected in the next one"
        return MatchResult(match_status=MatchStatus.LATE, reason=reason, entries=(entry,))
    return MatchResult(
        match_status=MatchStatus.MISSING_AT_PROVIDER, reason="not in any report", entries=(entry,)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Counts and gross sums of the lines and entries of one status and currency."""

    match_status: MatchStatus
    currency: str
    lines: int = 0
    lines_minor: int = 0
    entries: int = 0
    entries_minor: int = 0


def totals(results: Iterable[MatchResult]) -> list[Total]:
    """Count and sum both sides by match status and currency."""
    sums: dict[tuple[MatchStatus, str], Total] = {}

    def of(match_status: MatchStatus, currency: str) -> Total:
        return sums.get(
            (match_status, currency), Total(match_status=match_status, currency=currency)
        )

    for one in results:
        for line in one.lines:
            total = of(one.match_status, line.currency)
            sums[one.match_status, line.currency] = replace(
                total, lines=total.lines + 1, lines_minor=total.lines_minor + line.gross_minor
            )
        for entry in one.entries:
            total = of(one.match_status, entry.currency)
            sums[one.match_status, entry.currency] = replace(
                total,
                entries=total.entries + 1,
                entries_minor=total.entries_minor + entry.gross_minor,
            )
    return [sums[name] for name in sorted(sums)]
