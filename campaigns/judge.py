"""
The judge: checks that both books agree and that every acknowledged change was kept.

It uses rows and JSON and no code under test, except that the recomputation of a payment's cached
state uses `payment_state` and `accounting`, whose properties are tested elsewhere. Each finding is
one line; no findings means success.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from campaigns import recomputation
from campaigns.books import Books, Row
from campaigns.plan import Planned

LIVE = {"created", "pending", "requires_action", "unknown"}
OUTCOME_REVIEWS = {"outcome_undecidable", "outcome_unresolved"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """
    Input of the judge. *acknowledged* has the ids reported for each order number, *refunded* those
    for each refund key. *resolves_outcomes* says whether the provider can resolve unknown outcomes.
    """

    ours: Books
    theirs: list[dict[str, Any]]
    balances: Mapping[str, int]
    account: str
    resolves_outcomes: bool
    plan: Mapping[int, Planned]
    acknowledged: Mapping[int, Set[str]] = field(default_factory=dict)
    refunded: Mapping[str, Set[str]] = field(default_factory=dict)

    @cached_property
    def attempts(self) -> dict[str, Row]:
        return {row["id"]: row for row in self.ours["attempts"]}

    @cached_property
    def in_review(self) -> set[str]:
        """Attempts whose outcome is in manual review."""
        return {
            row["detail"]["attempt"]
            for row in self.ours["reviews"]
            if row["code"] in OUTCOME_REVIEWS and row["resolved_at"] is None
        }

    @cached_property
    def certain_objects(self) -> list[dict[str, Any]]:
        """Their charges and refunds with an attempt whose outcome is not in review."""
        return [
            one
            for one in self.theirs
            if one["key"] in self.attempts and one["key"] not in self.in_review
        ]

    def payment_of(self, one: Mapping[str, Any]) -> str:
        return str(self.attempts[one["key"]]["payment_id"])


def judge(case: Case) -> list[str]:
    """Return all findings, sorted."""
    checks = (
        _orders,
        _payments,
        _charges,
        _objects,
        _facts,
        _states,
        _money,
        _balances,
        _recomputed,
        _refunds,
        _attempts,
        _reviews,
        _remaining_work,
    )
    return sorted({finding for check in checks for finding in check(case)})


def _orders(case: Case) -> Iterator[str]:
    by_id = {row["id"]: row for row in case.ours["orders"]}
    for number, order_ids in case.acknowledged.items():
        planned = case.plan[number]
        if len(order_ids) > 1:
            yield f"order_acknowledged_twice: {planned.key} as {sorted(order_ids)}"
        for order_id in order_ids:
            row = by_id.get(order_id)
            if row is None:
                yield f"order_lost: {order_id} was acknowledged"
            elif (row["idempotency_key"], row["total_minor"], row["currency"]) != (
                planned.key,
                planned.total_minor,
                planned.currency,
            ):
                yield f"order_wrong: {order_id} is not {planned.key}"
    for key, count in Counter(row["idempotency_key"] for row in by_id.values()).items():
        if count > 1:
            yield f"order_doubled: {key}"
    planned_keys = {planned.key for planned in case.plan.values()}
    for row in by_id.values():
        if row["idempotency_key"] not in planned_keys:
            yield f"order_unplanned: {row['id']}"


def _payments(case: Case) -> Iterator[str]:
    payments = defaultdict(list)
    for row in case.ours["payments"]:
        payments[row["order_id"]].append(row)
    for order in case.ours["orders"]:
        own = payments.pop(order["id"], [])
        amounts = [(row["amount_minor"], row["currency"]) for row in own]
        if amounts != [(order["total_minor"], order["currency"])]:
            yield f"order_without_its_payment: {order['id']} has {amounts}"
    for order_id in payments:
        yield f"payment_without_order: {order_id}"


def _captured(case: Case) -> dict[str, list[dict[str, Any]]]:
    """Return their captured charges by our payment, including those in review."""
    by_payment = defaultdict(list)
    for one in case.theirs:
        if one["kind"] == "charge" and one["captured_minor"] and one["key"] in case.attempts:
            by_payment[case.payment_of(one)].append(one)
    return by_payment


def _charges(case: Case) -> Iterator[str]:
    captured = _captured(case)
    # Also without keys: as many charges of an amount as payments of it.
    expected = Counter((row["amount_minor"], row["currency"]) for row in case.ours["payments"])
    got = Counter(
        (one["captured_minor"], one["amount"]["currency"])
        for one in case.theirs
        if one["kind"] == "charge" and one["captured_minor"]
    )
    for (amount, currency), more in (got - expected).items():
        yield f"charged_twice: {amount} {currency} {more} times more than requested"
    for payment_id, charges in captured.items():
        if len(charges) > 1:
            yield f"charged_twice: {payment_id} by {[one['reference'] for one in charges]}"
    numbers = {planned.key: planned for planned in case.plan.values()}
    orders = {row["id"]: row["idempotency_key"] for row in case.ours["orders"]}
    doubtful = {case.attempts[i]["payment_id"] for i in case.in_review if i in case.attempts}
    for row in case.ours["payments"]:
        planned = numbers.get(orders.get(row["order_id"], ""))
        if planned is None:
            continue
        charges = captured.get(row["id"], [])
        if planned.is_declined and charges:
            yield f"charged_though_declined: {row['id']}"
        if not planned.is_declined and not charges and row["id"] not in doubtful:
            yield f"never_charged: {row['id']} is {row['status']}"
        for one in charges:
            sum_got = one["captured_minor"], one["amount"]["currency"]
            if sum_got != (row["amount_minor"], row["currency"]):
                yield f"charged_wrong: {row['id']} with {sum_got}"


def _objects(case: Case) -> Iterator[str]:
    """Check that each of their objects is in our books, or in review."""
    facts = _latest(case)
    links = {(row["kind"], row["reference"]): row["payment_id"] for row in case.ours["links"]}
    for one in case.theirs:
        name = (one["kind"], one["reference"])
        if one["kind"] not in {"charge", "refund"}:
            continue
        if one["key"] not in case.attempts:
            yield f"moved_without_attempt: {name} by key {one['key']}"
        elif name not in facts and one["key"] not in case.in_review:
            yield f"moved_and_not_booked: {name}"
        elif name in facts and links.get(name) != case.payment_of(one):
            yield f"booked_elsewhere: {name} to {links.get(name)}"


def _facts(case: Case) -> Iterator[str]:
    """Check that each of our facts is in their book with its current values."""
    theirs = {(one["kind"], one["reference"]): one for one in case.theirs}
    for name, row in _latest(case).items():
        one = theirs.get(name)
        if one is None:
            yield f"booked_and_never_moved: {name}"
            continue
        booked = row["status"], row["amount_minor"], row["currency"], row["captured_minor"]
        is_now = (
            one["status"],
            one["amount"]["amount"],
            one["amount"]["currency"],
            one["captured_minor"],
        )
        # Changes after the last fact of an object in review are unknown to us.
        in_doubt = one["key"] in case.in_review and row["provider_version"] < one["version"]
        if booked != is_now and not in_doubt:
            yield f"booked_wrong: {name} is {is_now}, we have {booked}"


def _latest(case: Case) -> dict[tuple[str, str], Row]:
    latest: dict[tuple[str, str], Row] = {}
    for row in case.ours["facts"]:
        name = (row["kind"], row["reference"])
        if name not in latest or latest[name]["provider_version"] <= row["provider_version"]:
            latest[name] = row
    return latest


def _reported_refunds(case: Case) -> dict[str, int]:
    """
    Return the refunded total of each payment that was certainly reported to us.

    A provider may include a refund in that total before it succeeds, so refunds last reported as
    pending are excluded.
    """
    refunded: Counter[str] = Counter()
    for row in _latest(case).values():
        if row["key"] in case.attempts:
            if row["kind"] == "charge":
                refunded[case.payment_of(row)] += row["refunded_minor"]
            elif row["kind"] == "refund" and row["status"] == "pending":
                refunded[case.payment_of(row)] -= row["amount_minor"]
    return refunded


def _totals(case: Case) -> dict[str, Counter[str]]:
    """Return what certainly moved at the provider, by payment: captured, refunded, fee, declined."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    owner = {one["reference"]: case.payment_of(one) for one in case.certain_objects}
    for one in case.certain_objects:
        own = totals[case.payment_of(one)]
        if one["kind"] == "charge":
            own["captured"] += one["captured_minor"]
            own["declined"] += one["status"] == "declined"
        elif one["kind"] == "refund" and one["status"] == "succeeded":
            own["refunded"] += one["amount"]["amount"]
    for one in case.theirs:
        if one["kind"] == "fee" and one["reference"] in owner:
            totals[owner[one["reference"]]]["fee"] += one["amount"]["amount"]
    for payment_id, refunded in _reported_refunds(case).items():
        # A refund in review whose charge was reported since: only its amount is known.
        totals[payment_id]["refunded"] = max(totals[payment_id]["refunded"], refunded)
    return totals


def _states(case: Case) -> Iterator[str]:
    """Check that the cached state is what certainly happened at the provider."""
    totals = _totals(case)
    doubtful = {
        case.attempts[i]["payment_id"]
        for i in case.in_review
        if i in case.attempts and not case.attempts[i]["refund_id"]
    }
    for row in case.ours["payments"]:
        total = totals.get(row["id"], Counter())
        status = _status(total, in_doubt=row["id"] in doubtful)
        should = status, total["captured"], total["refunded"], 0, 0
        cached = (
            row["status"],
            row["captured_minor"],
            row["refunded_minor"],
            row["authorized_minor"],
            row["disputed_minor"],
        )
        if cached != should:
            yield f"state_wrong: {row['id']} is {should}, we have {cached}"


def _status(total: Counter[str], *, in_doubt: bool) -> str:
    captured, refunded = total["captured"], total["refunded"]
    if captured:
        if not refunded:
            return "captured"
        return "refunded" if refunded >= captured else "partially_refunded"
    if in_doubt:
        return "unknown"
    return "declined" if total["declined"] else "pending"


def _receivable(case: Case) -> dict[tuple[str, str], int]:
    """Return the ledger's receivable by (subject, currency)."""
    balances: Counter[tuple[str, str]] = Counter()
    name = f"receivable/{case.account}:"
    for row in case.ours["transfers"]:
        own = row["subject"], row["currency"]
        balances[own] += row["amount_minor"] * row["debit_account_id"].startswith(name)
        balances[own] -= row["amount_minor"] * row["credit_account_id"].startswith(name)
    return balances


def _money(case: Case) -> Iterator[str]:
    """Check that the ledger's receivable of each payment equals the provider's."""
    ledger = _receivable(case)
    totals = _totals(case)
    for row in case.ours["payments"]:
        total = totals.get(row["id"], Counter())
        should = total["captured"] - total["refunded"] - total["fee"]
        booked = ledger.pop((row["id"], row["currency"]), 0)
        if booked != should:
            yield f"ledger_wrong: {row['id']} should be {should}, is {booked}"
    in_doubt = {one["reference"] for one in case.theirs if one["key"] in case.in_review}
    for (subject, currency), amount in ledger.items():
        # The fee of a charge in review may have been reported, and is owed.
        if amount and subject.removeprefix(f"{case.account}/fee/") not in in_doubt:
            yield f"ledger_unmatched: {subject} {amount} {currency}"


def _balances(case: Case) -> Iterator[str]:
    """Check that the total receivable is their balance, except for unreported changes in review."""
    ours: Counter[str] = Counter()
    for (_, currency), amount in _receivable(case).items():
        ours[currency] += amount
    for currency, amount in _in_doubt(case):
        ours[currency] += amount
    for currency in sorted({*ours, *case.balances}):
        if ours[currency] != case.balances.get(currency, 0):
            theirs = case.balances.get(currency, 0)
            yield f"balance_differs: {currency} ours {ours[currency]}, theirs {theirs}"


def _in_doubt(case: Case) -> Iterator[tuple[str, int]]:
    """Yield what moved at the provider unknown to us, as (currency, additional amount owed)."""
    in_doubt = [one for one in case.theirs if one["key"] in case.in_review]
    charges = {one["reference"] for one in in_doubt if one["kind"] == "charge"}
    booked_fees = {row["reference"] for row in case.ours["facts"] if row["kind"] == "fee"}
    for one in case.theirs:
        currency, amount = one["amount"]["currency"], one["amount"]["amount"]
        if one["kind"] == "charge" and one["reference"] in charges:
            yield currency, one["captured_minor"]
        elif one["kind"] == "fee" and one["reference"] in charges - booked_fees:
            yield currency, -amount
    totals = _totals(case)
    moved: Counter[tuple[str, str]] = Counter()
    for one in case.theirs:
        if one["kind"] == "refund" and one["status"] == "succeeded" and one["key"] in case.attempts:
            moved[case.payment_of(one), one["amount"]["currency"]] += one["amount"]["amount"]
    for (payment_id, currency), amount in moved.items():
        if payment_id in {case.attempts[i]["payment_id"] for i in case.in_review}:
            yield currency, totals[payment_id]["refunded"] - amount


def _recomputed(case: Case) -> Iterator[str]:
    return recomputation.differences(case.ours, account=case.account)


def _refunds(case: Case) -> Iterator[str]:
    """Check that each planned refund was executed once, in our books and at the provider."""
    rows = {row["idempotency_key"]: row for row in case.ours["refunds"]}
    by_id = {row["id"]: row for row in case.ours["refunds"]}
    for key, refund_ids in case.refunded.items():
        if len(refund_ids) > 1:
            yield f"refund_acknowledged_twice: {key} as {sorted(refund_ids)}"
        for refund_id in refund_ids - by_id.keys():
            yield f"refund_lost: {refund_id} was acknowledged"
    succeeded: Counter[str] = Counter(
        case.attempts[one["key"]]["refund_id"]
        for one in case.theirs
        if one["kind"] == "refund" and one["status"] == "succeeded" and one["key"] in case.attempts
    )
    doubtful = {case.attempts[i]["refund_id"] for i in case.in_review if i in case.attempts}
    for row in by_id.values():
        if succeeded[row["id"]] > 1:
            yield f"refunded_twice: {row['id']}"
        if row["id"] in doubtful:
            continue
        if (row["status"], succeeded[row["id"]]) != ("succeeded", 1):
            yield f"refund_not_made: {row['id']} is {row['status']}, made {succeeded[row['id']]} times"
    yield from _missing_refunds(case, rows.keys())


def _missing_refunds(case: Case, existing_keys: Collection[str]) -> Iterator[str]:
    """Every planned refund of a captured payment is in the books."""
    orders = {row["id"]: row["idempotency_key"] for row in case.ours["orders"]}
    planned = {one.key: one for one in case.plan.values()}
    for row in case.ours["payments"]:
        one = planned.get(orders.get(row["order_id"], ""))
        if one is not None and row["captured_minor"]:
            for part in range(len(one.refunds_minor)):
                if one.refund_key(part) not in existing_keys:
                    yield f"refund_forgotten: {one.refund_key(part)}"


def _attempts(case: Case) -> Iterator[str]:
    for attempt_id, row in case.attempts.items():
        if row["status"] in LIVE and attempt_id not in case.in_review:
            yield f"attempt_left_open: {attempt_id} ({row['operation']}) is {row['status']}"


def _reviews(case: Case) -> Iterator[str]:
    """Check that reviews exist only where an outcome cannot be resolved automatically."""
    for row in case.ours["reviews"]:
        if row["resolved_at"] is not None:
            continue
        if row["code"] not in OUTCOME_REVIEWS:
            yield f"needless_review: {row['code']} about {row['subject']}"
            continue
        attempt = case.attempts.get(row["detail"]["attempt"])
        if case.resolves_outcomes:
            yield f"needless_review: {row['code']} about {row['subject']}, although the provider can resolve it"
        elif attempt is None or attempt["status"] != "unknown":
            is_now = attempt and attempt["status"]
            yield f"stale_review: {row['code']} about {row['subject']}, its attempt is {is_now}"


def _remaining_work(case: Case) -> Iterator[str]:
    for row in case.ours["jobs"]:
        yield f"job_left: {row['name']} is {row['state']}: {row['payload']} {row['last_error']}"
    for row in case.ours["events"]:
        if row["processed_at"] is None:
            yield f"event_unprocessed: {row['event_id']}"
