"""What a merchant asks of the sandbox: each function runs inside one commit of the book."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bursar.providers import results
from bursar.providers.base import (
    CaptureRequest,
    ChargeRequest,
    ChargeStatus,
    Kind,
    Operation,
    Outcome,
    RefundRequest,
    RefundStatus,
    Result,
    StatusRequest,
    VoidRequest,
)
from bursar.providers.sandbox import happenings, outcomes
from bursar.providers.sandbox.outcomes import RefundCourse, Script, Wrong
from bursar.providers.sandbox.shelf import Item
from bursar.providers.sandbox.terms import converted

if TYPE_CHECKING:
    from bursar.providers.sandbox.book import Book

_DAY = timedelta(days=1)
_OPEN = {ChargeStatus.AUTHORIZED, ChargeStatus.PARTIALLY_CAPTURED}
_CAPTURED = {ChargeStatus.CAPTURED, ChargeStatus.PARTIALLY_CAPTURED}


def charge(book: Book, request: ChargeRequest) -> Result:
    """Charge or authorize as the method's script says."""
    script = outcomes.script_of(request.method, request.metadata)
    item = _new_charge(book, request, script)
    if script.decline:
        item.status, item.code, item.soft = ChargeStatus.DECLINED, script.decline, int(script.soft)
        book.change(item, new=True)
    elif script.requires_action:
        item.status = ChargeStatus.REQUIRES_ACTION
        book.change(item, new=True)
    elif script.pending:
        book.change(item, new=True)
        happenings.later(book, item, "charge_ends", _DAY)
    else:
        happenings.authorize(book, item, new=True)
    return _result(item, copies=script.copies)


def _new_charge(book: Book, request: ChargeRequest, script: Script) -> Item:
    amount_minor, currency = request.amount.amount_minor, request.amount.currency
    if script.wrong is Wrong.AMOUNT:
        amount_minor += 1
    if script.wrong is Wrong.CURRENCY:
        currency = "EUR" if currency == "USD" else "USD"
    item = book.item(Kind.CHARGE, ChargeStatus.PENDING, currency, amount_minor, request.key)
    item.rate = book.terms.rate_of(currency)
    item.balance_currency = book.terms.settlement_currency if item.rate else currency
    item.outcome = request.metadata.get(outcomes.METADATA_KEY) or request.method
    item.capture = int(request.capture)
    return item


def capture(book: Book, request: CaptureRequest) -> Result:
    """Capture a part or all of what is authorized; a final one releases the rest."""
    item = book.shelf.find(Kind.CHARGE, request.reference)
    refusal = _refuse_capture(item, request)
    if item is None or refusal:
        return _refused(refusal, item)
    captured_minor = item.captured_minor + request.amount.amount_minor
    final = request.final or captured_minor == item.amount_minor
    item.status = ChargeStatus.CAPTURED if final else ChargeStatus.PARTIALLY_CAPTURED
    happenings.collect(book, item, captured_minor)
    return _result(item)


def _refuse_capture(item: Item | None, request: CaptureRequest) -> str:
    if item is None:
        return "no_such_charge"
    if item.status == ChargeStatus.EXPIRED:
        return "authorization_expired"
    if item.status not in _OPEN:
        return "not_capturable"
    if item.currency != request.amount.currency:
        return "currency_differs"
    left_minor = item.amount_minor - item.captured_minor
    fits = 0 < request.amount.amount_minor <= left_minor
    return "" if fits else "capture_exceeds_authorization"


def void(book: Book, request: VoidRequest) -> Result:
    """Release what is authorized and not captured."""
    item = book.shelf.find(Kind.CHARGE, request.reference)
    if item is None or item.status not in _OPEN:
        return _refused("not_voidable" if item else "no_such_charge", item)
    captured = item.captured_minor > 0
    item.status = ChargeStatus.CAPTURED if captured else ChargeStatus.VOIDED
    book.change(item)
    return _result(item)


def refund(book: Book, request: RefundRequest) -> Result:
    """Give back a part or all of what was captured."""
    paid = book.shelf.find(Kind.CHARGE, request.reference)
    refusal = _refuse_refund(book, paid, request)
    if paid is None or refusal:
        return _refused(refusal)
    item = _new_refund(book, paid, request)
    script = _refund_script(paid, request)
    book.change(item, new=True)
    if script.refunds is RefundCourse.PENDING:
        happenings.later(book, item, "refund_succeeds", _DAY)
    else:
        happenings.succeed_refund(book, item, paid)
    if script.refunds is RefundCourse.FAILS_LATER:
        happenings.later(book, item, "refund_fails", _DAY)
    return _result(item, paid, copies=script.copies)


def _refund_script(paid: Item, request: RefundRequest) -> Script:
    named = request.metadata.get(outcomes.METADATA_KEY)
    return outcomes.script_of(named or paid.outcome, {})


def _refuse_refund(book: Book, paid: Item | None, request: RefundRequest) -> str:
    if paid is None:
        return "no_such_charge"
    if paid.status not in _CAPTURED:
        return "not_refundable"
    if paid.currency != request.amount.currency:
        return "currency_differs"
    left_minor = paid.captured_minor - book.given_back(paid)
    if not 0 < request.amount.amount_minor <= left_minor:
        return "refund_exceeds_charge"
    # "" for an approved charge; only the refund's own metadata can have it declined.
    return _refund_script(paid, request).decline


def _new_refund(book: Book, paid: Item, request: RefundRequest) -> Item:
    amount_minor, currency = request.amount.amount_minor, request.amount.currency
    item = book.item(Kind.REFUND, RefundStatus.PENDING, currency, amount_minor, request.key)
    item.parent_reference = paid.reference
    item.rate, item.balance_currency = paid.rate, paid.balance_currency
    # The difference of two totals: the parts of a refund convert to exactly the whole.
    before_minor = book.given_back(paid)
    item.settled_minor = _converted(paid, before_minor + amount_minor)
    item.settled_minor -= _converted(paid, before_minor)
    return item


def _converted(paid: Item, amount_minor: int) -> int:
    return converted(amount_minor, paid.currency, paid.rate, paid.balance_currency)


def status(book: Book, request: StatusRequest, *, by_key: bool) -> Result:
    """What became of an operation, by its object's reference or (*by_key*) by our key."""
    changing = request.operation in {Operation.CAPTURE, Operation.VOID}
    kind = Kind.REFUND if request.operation is Operation.REFUND else Kind.CHARGE
    item = book.shelf.find(kind, request.reference) if request.reference else None
    if item is None and by_key and not changing:
        made = book.shelf.items("key = ? AND kind = ?", request.key, kind)
        item = made[0] if made else None
    if item is not None and not changing:
        return _result(item)
    if by_key and (answer := book.answer(request.key)) is not None:
        return answer
    if item is None or not _was_done(request.operation, item):
        return Result(outcome=Outcome.NOT_FOUND)
    return _result(item)


def _was_done(operation: Operation, item: Item) -> bool:
    # Without the key only the charge's state can tell whether it was captured or voided.
    if operation is Operation.CAPTURE:
        return item.status in _CAPTURED
    released = item.status == ChargeStatus.CAPTURED and item.captured_minor < item.amount_minor
    return item.status == ChargeStatus.VOIDED or released


def _result(item: Item, paid: Item | None = None, *, copies: int = 1) -> Result:
    told = item.snapshots() if paid is None else [item.snapshot(), paid.snapshot()]
    waits = item.status == ChargeStatus.REQUIRES_ACTION
    url = f"https://sandbox.invalid/actions/{item.reference}" if waits else ""
    return results.result_of(*(told * copies), action_url=url)


def _refused(code: str, item: Item | None = None) -> Result:
    told = (item.snapshot(),) if item else ()
    reference = item.reference if item else ""
    return Result(outcome=Outcome.DECLINED, code=code, reference=reference, snapshots=told)
