"""The judge of the fault campaigns sees what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

import bursar
from bursar import job_handlers
from campaigns import judge, mutants, plan, points

PLANNED = plan.order(7, 1)
THIRD = PLANNED.refunds_minor[0]
FEE = 20
LEFT = PLANNED.total_minor - THIRD - FEE
CURRENCY = PLANNED.currency


def _books() -> dict[str, Any]:
    """One order, charged with a fee, a third of it refunded; every row as it should be."""
    total, currency = PLANNED.total_minor, CURRENCY
    receivable, fees = f"receivable/bank:{currency}", f"fees/bank:{currency}"
    nothing: dict[str, Any] = {
        "captured_minor": 0,
        "refunded_minor": 0,
        "withdrawn_minor": 0,
        "reinstated_minor": 0,
        "settled_minor": None,
        "settled_currency": "",
        "rate": "",
        "key": "",
        "parent_reference": "",
        "failure_code": "",
        "soft_decline": False,
        "provider_version": 1,
        "dispute_stage": 1,
        "currency": currency,
    }
    ours: dict[str, list[dict[str, Any]]] = {
        "orders": [
            {"id": "o", "currency": currency, "total_minor": total, "idempotency_key": PLANNED.key}
        ],
        "payments": [
            {
                "id": "p",
                "order_id": "o",
                "amount_minor": total,
                "tax_minor": 0,
                "currency": currency,
                "status": "partially_refunded",
                "closed_status": "",
                "authorized_minor": 0,
                "captured_minor": total,
                "refunded_minor": THIRD,
                "pending_refund_minor": 0,
                "disputed_minor": 0,
            }
        ],
        "attempts": [
            {
                "id": "a",
                "payment_id": "p",
                "refund_id": None,
                "operation": "charge",
                "amount_minor": total,
                "status": "succeeded",
                "was_unknown": False,
            },
            {
                "id": "b",
                "payment_id": "p",
                "refund_id": "r",
                "operation": "refund",
                "amount_minor": THIRD,
                "status": "succeeded",
                "was_unknown": False,
            },
        ],
        "refunds": [
            {
                "id": "r",
                "payment_id": "p",
                "amount_minor": THIRD,
                "tax_minor": 0,
                "status": "succeeded",
                "idempotency_key": PLANNED.refund_key(0),
            }
        ],
        "facts": [
            {
                **nothing,
                "kind": "charge",
                "reference": "ch",
                "status": "captured",
                "amount_minor": total,
                "captured_minor": total,
                "key": "a",
            },
            {
                **nothing,
                "kind": "fee",
                "reference": "ch",
                "status": "posted",
                "amount_minor": FEE,
                "parent_reference": "ch",
            },
            {
                **nothing,
                "kind": "refund",
                "reference": "re",
                "status": "succeeded",
                "amount_minor": THIRD,
                "key": "b",
                "parent_reference": "ch",
            },
        ],
        "links": [
            {"kind": "charge", "reference": "ch", "payment_id": "p", "refund_id": None},
            {"kind": "fee", "reference": "ch", "payment_id": "p", "refund_id": None},
            {"kind": "refund", "reference": "re", "payment_id": "p", "refund_id": "r"},
        ],
        "transfers": [
            {
                "subject": "p",
                "debit_account_id": debit,
                "credit_account_id": credit,
                "amount_minor": amount,
                "currency": currency,
            }
            for debit, credit, amount in (
                (receivable, f"sales:{currency}", total),
                (fees, receivable, FEE),
                (f"sales_returns:{currency}", receivable, THIRD),
            )
        ],
        "reviews": [],
        "jobs": [],
        "events": [{"event_id": "e", "processed_at": "then"}],
    }
    return ours


def _theirs() -> list[dict[str, Any]]:
    def told(kind: str, reference: str, status: str, amount: int, **more: Any) -> dict[str, Any]:
        return {
            "kind": kind,
            "reference": reference,
            "status": status,
            "captured_minor": 0,
            "amount": {"amount": amount, "currency": CURRENCY},
            "key": "",
            "version": 1,
            **more,
        }

    total = PLANNED.total_minor
    return [
        told("charge", "ch", "captured", total, captured_minor=total, key="a"),
        told("fee", "ch", "posted", FEE),
        told("refund", "re", "succeeded", THIRD, key="b"),
    ]


def _case(**changes: Any) -> judge.Case:
    given: dict[str, Any] = {
        "ours": _books(),
        "theirs": _theirs(),
        "balances": {CURRENCY: LEFT},
        "account": "bank",
        "resolves_outcomes": True,
        "plan": {1: PLANNED},
        "acknowledged": {1: {"o"}},
        "refunded": {PLANNED.refund_key(0): {"r"}},
        **changes,
    }
    return judge.Case(**given)


def _codes(case: judge.Case) -> list[str]:
    return sorted({finding.partition(":")[0] for finding in judge.judge(case)})


def test_the_judge_acquits_books_that_agree():
    assert judge.judge(_case()) == []


def test_the_judge_misses_an_acknowledged_order():
    assert _codes(_case(acknowledged={1: {"o", "lost"}})) == [
        "order_acknowledged_twice",
        "order_lost",
    ]


def test_the_judge_misses_an_acknowledged_refund():
    refunded = {PLANNED.refund_key(0): {"gone"}}
    assert _codes(_case(refunded=refunded)) == ["refund_lost"]


def test_the_judge_sees_a_second_charge_of_the_same_attempt():
    again = {**_theirs()[0], "reference": "ch2"}
    found = _codes(_case(theirs=[*_theirs(), again]))
    assert "charged_twice" in found
    assert "moved_and_not_booked" in found


def test_the_judge_sees_a_charge_under_a_key_of_nobody():
    again = {**_theirs()[0], "reference": "ch2", "key": "new"}
    assert _codes(_case(theirs=[*_theirs(), again])) == ["charged_twice", "moved_without_attempt"]


def test_the_judge_sees_what_was_booked_and_never_moved():
    found = _codes(_case(theirs=_theirs()[:2], balances={CURRENCY: LEFT + THIRD}))
    assert "booked_and_never_moved" in found
    assert "balance_differs" in found


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "expected"),
    [
        ("payments", 0, "status", "captured", ["cache_differs_from_fold", "state_wrong"]),
        ("payments", 0, "refunded_minor", 0, ["cache_differs_from_fold", "state_wrong"]),
        ("payments", 0, "pending_refund_minor", 5, ["cache_differs_from_fold"]),
        ("attempts", 0, "status", "created", ["attempt_left_open"]),
        ("refunds", 0, "status", "failed", ["refund_differs_from_fold", "refund_not_made"]),
        ("events", 0, "processed_at", None, ["event_unprocessed"]),
        ("orders", 0, "total_minor", 1, ["order_without_its_payment", "order_wrong"]),
        (
            "transfers",
            0,
            "amount_minor",
            1,
            ["balance_differs", "ledger_wrong", "transfers_differ_from_fold"],
        ),
    ],
)
def test_the_judge_sees_one_wrong_column(table, row, column, value, expected):
    ours = _books()
    ours[table][row][column] = value
    assert _codes(_case(ours=ours)) == expected


def test_the_judge_sees_work_that_was_left():
    ours = _books()
    ours["jobs"] = [{"name": "charge", "state": "dead", "payload": {}, "last_error": ""}]
    assert _codes(_case(ours=ours)) == ["job_left"]


def _in_doubt() -> dict[str, Any]:
    """As above, but the refund's answer was lost, and nothing was heard of it since."""
    ours = copy.deepcopy(_books())
    ours["attempts"][1]["status"] = "unknown"
    ours["refunds"][0]["status"] = "pending"
    ours["payments"][0].update(status="captured", refunded_minor=0, pending_refund_minor=THIRD)
    del ours["facts"][2], ours["links"][2], ours["transfers"][2]
    ours["reviews"] = [
        {
            "code": "outcome_undecidable",
            "subject": "p",
            "detail": {"attempt": "b"},
            "resolved_at": None,
        }
    ]
    return ours


def test_a_review_excuses_only_where_nobody_can_tell():
    assert _codes(_case(ours=_in_doubt(), resolves_outcomes=False)) == []
    assert _codes(_case(ours=_in_doubt(), resolves_outcomes=True)) == ["needless_review"]


def test_doubt_without_a_review_is_no_excuse():
    ours = _in_doubt()
    ours["reviews"] = []
    found = _codes(_case(ours=ours, resolves_outcomes=False))
    assert "attempt_left_open" in found
    assert "moved_and_not_booked" in found


def test_a_review_about_what_is_known_is_stale():
    ours = _books()
    ours["reviews"] = _in_doubt()["reviews"]
    assert "stale_review" in _codes(_case(ours=ours, resolves_outcomes=False))


def test_the_plan_is_the_same_in_every_process():
    assert plan.order(3, 9) == plan.order(3, 9)
    assert plan.order(3, 9) != plan.order(4, 9)
    assert [plan.order(0, n).method for n in (4, 7, 8)] == [
        "tok_timeout_after_charge",
        "tok_declined_soft",
        "tok_visa",
    ]


def test_every_mutant_and_point_has_its_name():
    assert len(mutants.ALL) == 4
    assert len(points.all_points(lookup=True)) == 42
    assert len(set(points.all_points(lookup=False))) == 37


def _code_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_in(constant)


def test_every_named_member_is_in_the_code() -> None:
    files = [
        *Path(bursar.__file__).parent.rglob("*.py"),
        Path(points.__file__).with_name("child.py"),
    ]
    found: dict[str, list[CodeType]] = {}
    for file in files:
        for code in _code_in(compile(file.read_text("utf-8"), file, "exec")):
            found.setdefault(f"{file.stem}.{code.co_qualname}", []).append(code)
    assert sorted(points.NAMES.keys() - found) == []
    assert {points.OPEN in code.co_names for code in found[points.CHECK]} == {True, False}


def test_every_point_of_a_job_names_one_that_there_is() -> None:
    members = {member for member in points.MEMBERS if member.startswith("finish ")}
    assert {member.partition(" ")[2] for member in members} <= set(job_handlers.HANDLERS)
    assert {"place", "claim", *points.NAMES.values()} >= set(points.MEMBERS) - members
