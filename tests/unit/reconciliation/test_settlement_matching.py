"""The rule of reconciliation: every line and entry in one class, each kind of trouble in its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.money import Money
from bursar.providers.interface import Category, SettlementLine
from bursar.reconciliation import settlement_matching
from bursar.reconciliation.settlement_matching import ExpectedEntry, MatchResult, MatchStatus
from tests import thoroughness

NOW = datetime(2026, 5, 20, tzinfo=UTC)
DAY = timedelta(days=1)


def entry(source: str = "pi_1", gross: int = 1000, **told) -> ExpectedEntry:
    return ExpectedEntry(
        **{
            "category": Category.CHARGE,
            "source": source,
            "currency": "EUR",
            "gross_minor": gross,
            "fee_minor": 40,
            "occurred_at": NOW - 5 * DAY,
            **told,
        }
    )


def line(reference: str = "txn_1", gross: int = 1000, **told) -> SettlementLine:
    fee = told.pop("fee_minor", 40)
    return SettlementLine(
        **{
            "reference": reference,
            "category": Category.CHARGE,
            "source": "pi_1",
            "currency": "EUR",
            "gross_minor": gross,
            "fee_minor": fee,
            "net_minor": gross - fee,
            "occurred_at": NOW - 5 * DAY,
            **told,
        }
    )


def judged(entries, lines, **told) -> list[MatchResult]:
    return settlement_matching.reconcile(
        entries, lines, **{"period_end": NOW, "late_after": 3 * DAY, **told}
    )


def verdicts(entries, lines, **told) -> list[tuple[str, str]]:
    return [(one.match_status.value, one.reason) for one in judged(entries, lines, **told)]


REFUND = {"category": Category.REFUND, "parent_reference": "pi_1", "fee_minor": 0}
PAYOUT = {"category": Category.PAYOUT, "fee_minor": 0}


@pytest.mark.parametrize(
    ("entries", "lines", "expected"),
    [
        ([entry()], [line()], [("matched", "")]),
        ([entry(fee_minor=None)], [line()], [("matched", "")]),
        (
            [entry()],
            [line(gross=1001)],
            [
                (
                    "amount_mismatch",
                    "rounding difference: 10.01 EUR reported, 10.00 EUR in our books",
                )
            ],
        ),
        (
            [entry()],
            [line(gross=-1000)],
            [("amount_mismatch", "opposite sign: -10.00 EUR reported, 10.00 EUR in our books")],
        ),
        (
            [entry(converted=True)],
            [line(gross=900)],
            [
                (
                    "amount_mismatch",
                    "different exchange rate: 9.00 EUR reported, 10.00 EUR in our books",
                )
            ],
        ),
        (
            [entry()],
            [line(gross=900)],
            [("amount_mismatch", "9.00 EUR reported, 10.00 EUR in our books")],
        ),
        (
            [entry()],
            [line(currency="USD")],
            [("currency_mismatch", "USD reported, EUR in our books")],
        ),
        (
            [entry()],
            [line(fee_minor=45)],
            [("fee_mismatch", "fee of 0.45 EUR reported, 0.40 EUR in our books")],
        ),
        ([], [line()], [("missing_in_books", "no such movement in our books")]),
        ([entry()], [], [("missing_at_provider", "not in any report")]),
        (
            [entry(occurred_at=NOW - DAY)],
            [],
            [("late", "too recent for this report; expected in the next one")],
        ),
        (
            [entry()],
            [line(), line()],
            [("duplicate", "txn_1 was reported before"), ("matched", "")],
        ),
        (
            [entry()],
            [line(), line("txn_2")],
            [("matched", ""), ("duplicate", "pi_1 is already settled by txn_1")],
        ),
        (
            [entry(fee_minor=40)],
            [line(gross=400, fee_minor=15), line("txn_2", 600, fee_minor=25)],
            [("matched", "sum of 2 lines")],
        ),
        (
            [entry("re_1", -500, **REFUND)],
            [
                line("txn_1", -200, source="re_8", **REFUND),
                line("txn_2", -300, source="re_9", **REFUND),
            ],
            [("matched", "lines: 2, entries: 1, same sum for pi_1")],
        ),
        (
            [entry("re_1", -200, **REFUND), entry("re_2", -300, **REFUND)],
            [line("txn_1", -500, source="re_9", **REFUND)],
            [("matched", "lines: 1, entries: 2, same sum for pi_1")],
        ),
        (
            [entry("pi_AbC")],
            [line(source=" PI-abc")],
            [("matched", "' PI-abc' matched to pi_AbC, ignoring case and punctuation")],
        ),
        ([entry("pi_1")], [line(source="pi_")], [("ambiguous", "pi_ possibly equals pi_1")]),
        (
            [entry("po_1", -960, **PAYOUT), entry()],
            [line(payout="po_1")],
            [("matched", ""), ("matched", "sum of its lines")],
        ),
        (
            [entry("po_1", -950, **PAYOUT), entry()],
            [line(payout="po_1")],
            [
                ("matched", ""),
                (
                    "amount_mismatch",
                    "payout of 9.50 EUR is less than the sum of its lines, 9.60 EUR",
                ),
            ],
        ),
        (
            [entry("po_1", -960, **PAYOUT), entry()],
            [line(payout="po_1"), line("txn_2", -960, source="po_1", payout="po_1", **PAYOUT)],
            [("matched", ""), ("matched", "sum of its lines")],
        ),
        (
            [entry(settled=False, currency="USD", fee_minor=None)],
            [line(gross=900, paid=Money(1000, "USD"))],
            [("matched", "settled in another currency")],
        ),
        (
            [entry(settled=False, currency="USD", fee_minor=None)],
            [line(gross=900, paid=Money(1001, "USD"))],
            [("currency_mismatch", "EUR reported, USD in our books")],
        ),
    ],
)
def test_each_kind_of_trouble_has_its_class_and_reason(entries, lines, expected):
    assert verdicts(entries, lines) == expected


def test_a_line_of_an_earlier_report_is_a_duplicate():
    told = verdicts([], [line()], settled_references=frozenset({"txn_1"}))
    assert told == [("duplicate", "txn_1 was reported before")]


def test_a_payout_counts_the_lines_of_earlier_reports():
    entries = [entry("po_1", -1000, **PAYOUT), entry()]
    told = verdicts(entries, [line(payout="po_1")], payout_totals={"po_1": 40})
    assert told[1] == ("matched", "sum of its lines")


def test_two_that_look_alike_are_not_guessed():
    entries = [entry("pi_1"), entry("pi_2")]
    [one] = judged(entries, [line(source="x"), line("txn_2", source="y")])
    assert (one.match_status, len(one.lines), len(one.entries)) == (MatchStatus.AMBIGUOUS, 2, 2)


def test_what_happened_long_apart_does_not_look_alike():
    entries = [entry("pi_1", occurred_at=NOW - 60 * DAY)]
    told = {one.match_status for one in judged(entries, [line(source="x")])}
    assert told == {MatchStatus.MISSING_IN_BOOKS, MatchStatus.MISSING_AT_PROVIDER}


def test_two_entries_of_one_name_are_a_mistake_of_ours():
    with pytest.raises(ValueError, match="two entries"):
        judged([entry(), entry()], [])


SOURCES = st.sampled_from(["pi_1", "pi_2", "PI_1", "re_1", "re_2", "po_1"])
CATEGORIES = st.sampled_from(
    [Category.CHARGE, Category.REFUND, Category.FEE, Category.PAYOUT, Category.OTHER]
)
AMOUNTS = st.sampled_from([-1000, -300, -1, 1, 300, 700, 1000, 1001])
PARENTS = st.sampled_from(["", "pi_1", "pi_2"])
CURRENCIES = st.sampled_from(["EUR", "USD"])
LINES = st.lists(
    st.builds(
        lambda n, c, s, g, f, p, cur, po: line(
            f"txn_{n}",
            g,
            category=c,
            source=s,
            fee_minor=f,
            parent_reference=p,
            currency=cur,
            payout=po,
        ),
        st.integers(1, 8),
        CATEGORIES,
        SOURCES,
        AMOUNTS,
        st.integers(0, 2),
        PARENTS,
        CURRENCIES,
        st.sampled_from(["", "po_1"]),
    ),
    max_size=10,
)
ENTRIES = st.lists(
    st.builds(
        lambda c, s, g, f, p, cur, d: entry(
            s,
            g,
            category=c,
            fee_minor=f,
            parent_reference=p,
            currency=cur,
            occurred_at=NOW - d * DAY,
        ),
        CATEGORIES,
        SOURCES,
        AMOUNTS,
        st.one_of(st.none(), st.integers(0, 2)),
        PARENTS,
        CURRENCIES,
        st.integers(0, 9),
    ),
    max_size=8,
    unique_by=lambda one: one.name,
)


@given(entries=ENTRIES, lines=LINES)
@settings(max_examples=thoroughness.examples(300), deadline=None)
def test_the_classes_add_up_to_both_inputs(entries, lines):
    found = judged(entries, lines)
    assert Counter(one for group in found for one in group.lines) == Counter(lines)
    assert Counter(one for group in found for one in group.entries) == Counter(entries)
    totals = settlement_matching.totals(found)
    assert sum(total.lines for total in totals) == len(lines)
    assert sum(total.entries for total in totals) == len(entries)
    for currency in ("EUR", "USD"):
        own = [total for total in totals if total.currency == currency]
        assert sum(t.lines_minor for t in own) == sum(
            one.gross_minor for one in lines if one.currency == currency
        )
        assert sum(t.entries_minor for t in own) == sum(
            one.gross_minor for one in entries if one.currency == currency
        )


@given(entries=ENTRIES)
@settings(max_examples=thoroughness.examples(100), deadline=None)
def test_a_report_of_our_own_books_matches_whole(entries):
    lines = [
        line(
            f"txn_{n}",
            one.gross_minor,
            category=one.category,
            source=one.source,
            fee_minor=one.fee_minor or 0,
            currency=one.currency,
            parent_reference=one.parent_reference,
        )
        for n, one in enumerate(entries)
    ]
    assert {one.match_status for one in judged(entries, lines)} <= {MatchStatus.MATCHED}


@given(entries=ENTRIES, lines=LINES)
@settings(max_examples=thoroughness.examples(100), deadline=None)
def test_the_order_of_the_entries_does_not_matter(entries, lines):
    def named(found):
        return sorted((one.match_status, one.reason) for one in found)

    # Reasons name several entries in the order they come.
    forward = [replace_reason(one) for one in judged(entries, lines)]
    backward = [replace_reason(one) for one in judged(list(reversed(entries)), lines)]
    assert named(forward) == named(backward)


def replace_reason(one: MatchResult) -> MatchResult:
    names = sorted(f"{e.category}/{e.source}" for e in one.entries)
    return replace(one, reason=" ".join([*names, *sorted(s.reference for s in one.lines)]))
