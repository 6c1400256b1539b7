"""Compare the cached state and the transfers of every payment with those folded from its facts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from bursar.money import Money
from bursar.payments import accounting, payment_state
from bursar.providers.interface import ObjectKind, Snapshot
from campaigns.books import Books, Row


def differences(ours: Books, *, account: str) -> Iterator[str]:
    """The cached state and the transfers are what the facts fold to."""
    facts = defaultdict(list)
    links = {(row["kind"], row["reference"]): row for row in ours["links"]}
    references = defaultdict(set)
    for row in ours["facts"]:
        link = links.get((row["kind"], row["reference"]))
        if link is not None:
            facts[link["payment_id"]].append(_snapshot(row))
            references[link["refund_id"]].add(row["reference"])
    posted: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for row in ours["transfers"]:
        pair = row["debit_account_id"], row["credit_account_id"]
        sign = 1 if pair[0] < pair[1] else -1
        posted[row["subject"]][min(pair), max(pair)] += sign * row["amount_minor"]
    for row in ours["payments"]:
        refunds = [one for one in ours["refunds"] if one["payment_id"] == row["id"]]
        commands = _commands(row, refunds, references)
        requested = [
            payment_state.AttemptSummary(
                operation=a["operation"], status=a["status"], refund_id=a["refund_id"]
            )
            for a in ours["attempts"]
            if a["payment_id"] == row["id"]
        ]
        state = payment_state.fold(commands, requested, facts[row["id"]])
        yield from _differs(row, state, refunds)
        target: Counter[tuple[str, str]] = Counter()
        books = accounting.target_balances(commands=commands, state=state, provider_account=account)
        for pair, amount in books.items():
            target[min(pair), max(pair)] += amount if pair[0] < pair[1] else -amount
        if {k: v for k, v in target.items() if v} != {
            k: v for k, v in posted[row["id"]].items() if v
        }:
            yield f"transfers_differ_from_fold: {row['id']}"


def _differs(row: Row, state: payment_state.PaymentState, refunds: list[Row]) -> Iterator[str]:
    reserved = sum(one["amount_minor"] for one in refunds if one["status"] == "pending")
    folded = (
        state.status.value,
        state.authorized_minor,
        state.captured_minor,
        state.refunded_minor,
        state.disputed_minor,
        reserved,
    )
    cached = (
        row["status"],
        row["authorized_minor"],
        row["captured_minor"],
        row["refunded_minor"],
        row["disputed_minor"],
        row["pending_refund_minor"],
    )
    if folded != cached:
        yield f"cache_differs_from_fold: {row['id']} folds to {folded}, we have {cached}"
    for one in refunds:
        status = state.refund_statuses.get(one["id"])
        if status != one["status"]:
            yield f"refund_differs_from_fold: {one['id']} folds to {status}, is {one['status']}"
    for issue in state.issues:
        yield f"issue: {row['id']} {issue.code}"


def _commands(
    row: Row, refunds: list[Row], references: Mapping[str, set[str]]
) -> payment_state.Commands:
    return payment_state.Commands(
        amount_minor=row["amount_minor"],
        tax_minor=row["tax_minor"],
        currency=row["currency"],
        closed_status=row["closed_status"],
        refunds=tuple(
            payment_state.RefundCommand(
                refund_id=one["id"],
                amount_minor=one["amount_minor"],
                tax_minor=one["tax_minor"],
                references=tuple(sorted(references.get(one["id"], ()))),
            )
            for one in refunds
        ),
    )


def _snapshot(row: Row) -> Snapshot:
    same = (
        "reference",
        "status",
        "captured_minor",
        "refunded_minor",
        "withdrawn_minor",
        "reinstated_minor",
        "rate",
        "key",
        "parent_reference",
    )
    settled = row["settled_minor"]
    return Snapshot(
        kind=ObjectKind(row["kind"]),
        amount=Money(row["amount_minor"], row["currency"]),
        settled=None if settled is None else Money(settled, row["settled_currency"]),
        code=row["failure_code"],
        soft_decline=bool(row["soft_decline"]),
        version=row["provider_version"],
        dispute_stage=row["dispute_stage"],
        **{name: row[name] for name in same},
    )
