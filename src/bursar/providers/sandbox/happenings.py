"""What happens to the sandbox's objects after the answer: by time, by the buyer, by a payout."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bursar import errors
from bursar.providers.base import (
    ChargeStatus,
    Kind,
    MovementStatus,
    RefundStatus,
    Snapshot,
)
from bursar.providers.sandbox import outcomes
from bursar.providers.sandbox.disputes import COURSES
from bursar.providers.sandbox.shelf import Item
from bursar.providers.sandbox.terms import converted

if TYPE_CHECKING:
    from bursar.providers.sandbox.book import Book

#: An authorization that was not captured expires after this.
AUTHORIZATION_LIVES = timedelta(days=7)

_NEXT_DUE = (
    "SELECT position, action, kind, reference, step FROM due WHERE at <= ?"
    " ORDER BY at, position LIMIT 1"
)


def later(book: Book, item: Item, action: str, after: timedelta, step: int = 0) -> None:
    """Plan that *action* happens to *item* when *after* has passed."""
    book.shelf.run(
        "INSERT INTO due (at, action, kind, reference, step) VALUES (?, ?, ?, ?, ?)",
        _text(book.now() + after),
        action,
        item.kind,
        item.reference,
        step,
    )


def authorize(book: Book, item: Item, *, new: bool = False) -> None:
    """Approve a charge: collect it at once, or wait for its capture until it expires."""
    if item.capture:
        item.status = ChargeStatus.CAPTURED
        collect(book, item, item.amount_minor, new=new)
    else:
        item.status = ChargeStatus.AUTHORIZED
        book.change(item, new=new)
        later(book, item, "authorization_expires", AUTHORIZATION_LIVES)


def collect(book: Book, item: Item, captured_minor: int, *, new: bool = False) -> None:
    """Let *captured_minor* in all be captured of *item*; take the fee; plan a dispute."""
    first = item.captured_minor == 0
    item.captured_minor = captured_minor
    item.settled_minor = converted(captured_minor, item.currency, item.rate, item.balance_currency)
    item.fee_minor = book.terms.fee_minor(item.settled_minor)
    item.net_minor = item.settled_minor - item.fee_minor
    item.captured_at = book.now().isoformat()
    book.change(item, new=new)
    if item.fee_minor:
        book.tell(item.fee_snapshot(), outcome=item.outcome)
    course = outcomes.script_of(item.outcome, {}).dispute
    if course and first:
        days = COURSES[course][0].days
        if days:
            later(book, item, "dispute", timedelta(days=days))
        else:
            dispute(book, item, 0)


def advance(book: Book, seconds: float) -> int:
    """Move *book*'s clock and let everything happen that falls due; the number of happenings."""
    count = 0
    with book.shelf.transaction():
        ahead = book.move_clock(seconds)
        while due := book.shelf.all(_NEXT_DUE, _text(ahead)):
            position, action, kind, reference, step = due[0]
            book.shelf.run("DELETE FROM due WHERE position = ?", position)
            item = book.shelf.find(kind, reference)
            if item is not None:
                _happen(book, action, item, step)
            count += 1
    return count


def complete_action(book: Book, reference: str, *, approve: bool) -> Snapshot:
    """Let the buyer approve or refuse. :raises NotFound: if no such charge waits for them."""
    with book.shelf.transaction():
        item = book.shelf.find(Kind.CHARGE, reference)
        if item is None or item.status != ChargeStatus.REQUIRES_ACTION:
            raise errors.NotFound(f"no charge {reference!r} waits for its buyer")
        if approve:
            authorize(book, item)
        else:
            item.status, item.code = ChargeStatus.DECLINED, "authentication_failed"
            book.change(item)
        return item.snapshot()


def pay_out(book: Book) -> list[Snapshot]:
    """Pay every positive balance of *book* to the merchant."""
    paid = []
    with book.shelf.transaction():
        for currency, amount_minor in sorted(book.balances().items()):
            if amount_minor > 0:
                item = book.item(Kind.PAYOUT, MovementStatus.POSTED, currency, amount_minor)
                item.net_minor = -amount_minor
                book.change(item, new=True)
                paid.append(item.snapshot())
    return paid


def succeed_refund(book: Book, item: Item, charge: Item) -> None:
    """Let a pending refund succeed, and count it on its charge."""
    item.status, item.net_minor = RefundStatus.SUCCEEDED, -item.settled_minor
    book.change(item)
    # A running total: a refund that fails later stays counted here, and is told by its own object.
    charge.refunded_minor += item.amount_minor
    book.change(charge)


def dispute(book: Book, charge: Item, step: int) -> None:
    """
    Open the dispute of *charge* that its script names.

    Its amount is what the buyer paid and has not got back, in the currency of the balance it is
    withdrawn from.
    """
    claimed_minor = charge.captured_minor - book.given_back(charge)
    currency = charge.balance_currency
    amount_minor = converted(claimed_minor, charge.currency, charge.rate, currency)
    if amount_minor > 0:
        item = book.item(Kind.DISPUTE, "", currency, amount_minor)
        item.parent_reference, item.outcome = charge.reference, charge.outcome
        _step(book, item, step, new=True)


def _step(book: Book, item: Item, step: int, *, new: bool = False) -> None:
    course = COURSES[outcomes.script_of(item.outcome, {}).dispute]
    now = course[step]
    item.status, item.round = now.status, now.round
    item.withdrawn_minor = item.amount_minor * now.withdrawn
    item.reinstated_minor = item.amount_minor * now.reinstated
    item.net_minor = item.reinstated_minor - item.withdrawn_minor
    book.change(item, new=new)
    if step + 1 < len(course):
        later(
            book,
            item,
            "dispute_goes_on",
            timedelta(days=course[step + 1].days),
            step + 1,
        )


def _happen(book: Book, action: str, item: Item, step: int) -> None:
    if action == "dispute":
        dispute(book, item, step)
    elif action == "dispute_goes_on":
        _step(book, item, step)
    elif action == "refund_succeeds" and item.status == RefundStatus.PENDING:
        charge = book.shelf.find(Kind.CHARGE, item.parent_reference)
        assert charge is not None, "a refund without its charge"
        succeed_refund(book, item, charge)
    elif action == "refund_fails":
        item.status, item.net_minor, item.code = (
            RefundStatus.FAILED,
            0,
            "account_closed",
        )
        book.change(item)
    elif action == "charge_ends" and item.status == ChargeStatus.PENDING:
        _end_pending(book, item)
    elif action == "authorization_expires":
        _expire(book, item)


def _end_pending(book: Book, item: Item) -> None:
    refusal = outcomes.script_of(item.outcome, {}).pending_decline
    if refusal:
        item.status, item.code = ChargeStatus.DECLINED, refusal
        book.change(item)
    else:
        authorize(book, item)


def _expire(book: Book, item: Item) -> None:
    # What was captured in part stays captured; the rest is released.
    if item.status == ChargeStatus.AUTHORIZED:
        item.status = ChargeStatus.EXPIRED
    elif item.status == ChargeStatus.PARTIALLY_CAPTURED:
        item.status = ChargeStatus.CAPTURED
    else:
        return
    book.change(item)


def _text(at: datetime) -> str:
    # Always with microseconds: the column is compared as text.
    return at.isoformat(timespec="microseconds")
