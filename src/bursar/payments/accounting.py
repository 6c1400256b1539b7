"""
The target balances of a payment's transfers, as a pure function of its state.

The provider's side of every movement is the receivable of that provider account, so that it
always equals the balance reported by the provider; amounts without an order go to suspense on the
other side. Currency exchange goes through a clearing account per currency. `ledger.posting` posts
the difference between this target and the existing transfers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from bursar.money import Money
from bursar.payments import payment_state
from bursar.providers.interface import (
    DisputeStatus,
    MovementStatus,
    ObjectKind,
    RefundStatus,
    Snapshot,
)

#: (debit account, credit account) -> amount in minor units; negative is the reverse.
Target = Mapping[tuple[str, str], int]

SALES, TAX, RETURNS = "sales", "tax_payable", "sales_returns"
SUSPENSE, CLEARING = "suspense", "fx_clearing"
DISPUTES_HELD, DISPUTE_LOSSES = "disputes_held", "dispute_losses"


def receivable_account(provider_account: str) -> str:
    """Return the receivable account of a provider account, without its currency."""
    return f"receivable/{provider_account}"


class _Legs:
    """Accumulates signed amounts by pair of accounts of one currency."""

    def __init__(self, provider_account: str) -> None:
        self.receivable = receivable_account(provider_account)
        self.fees = f"fees/{provider_account}"
        self.in_transit = f"cash_in_transit/{provider_account}"
        self.amounts: defaultdict[tuple[str, str], int] = defaultdict(int)

    def add(self, debit: str, credit: str, currency: str, amount_minor: int) -> None:
        self.amounts[f"{debit}:{currency}", f"{credit}:{currency}"] += amount_minor

    def add_inflow(self, business: str, amount: Money, settled: Money | None) -> None:
        """Post money into the provider's balance, through clearing if it settles in another currency."""
        if settled is None or settled.currency == amount.currency:
            self.add(self.receivable, business, amount.currency, amount.amount_minor)
        else:
            self.add(CLEARING, business, amount.currency, amount.amount_minor)
            self.add(self.receivable, CLEARING, settled.currency, settled.amount_minor)

    def add_outflow(self, business: str, amount: Money, settled: Money | None) -> None:
        """Post money out of the provider's balance, through clearing if in another currency."""
        if settled is None or settled.currency == amount.currency:
            self.add(business, self.receivable, amount.currency, amount.amount_minor)
        else:
            self.add(business, CLEARING, amount.currency, amount.amount_minor)
            self.add(CLEARING, self.receivable, settled.currency, settled.amount_minor)

    def target(self) -> dict[tuple[str, str], int]:
        return {accounts: amount for accounts, amount in self.amounts.items() if amount}


def target_balances(
    *, commands: payment_state.Commands, state: payment_state.PaymentState, provider_account: str
) -> Target:
    """Return the balances that a payment's transfers must add up to, by pair of accounts."""
    legs = _Legs(provider_account)
    tax = _Tax(commands, state)
    for share in state.allocations:
        _book_captured(legs, share, tax)
    _book_refunds(legs, state.allocations, tax)
    for refund in state.orphan_refunds:
        _book_refund(legs, refund, SUSPENSE, refund.amount.amount_minor)
    _book_disputes(legs, state.disputes)
    _book_fees(legs, state.fees)
    return legs.target()


def target_balances_unmatched(
    *, objects: Iterable[Snapshot], provider_account: str, refunds: Iterable[Snapshot] = ()
) -> Target:
    """
    Return the target balances of provider objects without a payment of ours (yet).

    *refunds* have targets of their own; the running total of a charge in *objects* includes them.
    """
    legs = _Legs(provider_account)
    merged = payment_state.merge_all(objects)
    for snapshot in merged:
        if snapshot.kind is ObjectKind.CHARGE and (
            captured := payment_state.captured_minor(snapshot)
        ):
            amount = Money(captured, snapshot.amount.currency)
            legs.add_inflow(SUSPENSE, amount, snapshot.settled)
            refunded = payment_state.externally_refunded_minor(
                snapshot, payment_state.merge_all(refunds)
            )
            _book_refund(legs, _external_refund(snapshot, refunded), SUSPENSE, refunded)
        elif snapshot.kind is ObjectKind.REFUND:
            _book_refund(legs, snapshot, SUSPENSE, snapshot.amount.amount_minor)
        elif snapshot.kind is ObjectKind.PAYOUT and snapshot.status != MovementStatus.FAILED:
            legs.add_outflow(legs.in_transit, snapshot.amount, snapshot.settled)
    _book_disputes(legs, [s for s in merged if s.kind is ObjectKind.DISPUTE])
    _book_fees(legs, [s for s in merged if s.kind is ObjectKind.FEE])
    return legs.target()


class _Tax:
    """
    Splits tax over captures and refunds without losing a minor unit.

    Captured tax is the payment's tax in proportion, rounded half to even. Our refunds have their
    own tax; an external refund takes its proportion; the refund that completes takes the rest.
    """

    def __init__(self, commands: payment_state.Commands, state: payment_state.PaymentState) -> None:
        self.commands = commands
        self.captured_so_far = 0
        self.returned_so_far = 0
        self.allocated = sum(share.allocated_minor for share in state.allocations)
        self.total = self._of(self.allocated)
        self.remaining = self.total
        self.decided = {
            reference: command.tax_minor
            for command in commands.refunds
            for reference in command.references
        }
        succeeded = [
            r.reference
            for share in state.allocations
            for r in share.refunds
            if r.status == RefundStatus.SUCCEEDED
        ]
        # Tax claimed by our own refunds is not available to external ones.
        self.claimed = sum(self.decided.get(reference, 0) for reference in succeeded)

    def _of(self, amount_minor: int) -> int:
        return round_half_even(self.commands.tax_minor * amount_minor, self.commands.amount_minor)

    def in_capture(self, allocated_minor: int) -> int:
        before = self._of(self.captured_so_far)
        self.captured_so_far += allocated_minor
        return self._of(self.captured_so_far) - before

    def in_refund(self, reference: str, returned_minor: int) -> int:
        self.returned_so_far += returned_minor
        free = self.remaining - self.claimed
        if reference in self.decided:
            self.claimed -= self.decided[reference]
            tax = min(self.decided[reference], self.remaining, returned_minor)
        elif self.returned_so_far >= self.allocated:
            tax = min(free, returned_minor)
        else:
            share = (
                round_half_even(self.total * returned_minor, self.allocated)
                if self.allocated
                else 0
            )
            tax = min(share, free, returned_minor)
        tax = max(0, tax)
        self.remaining -= tax
        return tax


def round_half_even(numerator: int, denominator: int) -> int:
    """Divide integers exactly, rounding half to even."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2))


def _book_captured(legs: _Legs, share: payment_state.ChargeAllocation, tax: _Tax) -> None:
    charge, currency = share.charge, share.charge.amount.currency
    tax_minor = tax.in_capture(share.allocated_minor)
    parts = {
        SALES: share.allocated_minor - tax_minor,
        TAX: tax_minor,
        SUSPENSE: share.captured_minor - share.allocated_minor,
    }
    if charge.settled is None or charge.settled.currency == currency:
        for business, amount in parts.items():
            legs.add(legs.receivable, business, currency, amount)
    else:
        for business, amount in parts.items():
            legs.add(CLEARING, business, currency, amount)
        if share.captured_minor:
            settled = charge.settled
            legs.add(legs.receivable, CLEARING, settled.currency, settled.amount_minor)


def _book_refunds(legs: _Legs, shares: Iterable[payment_state.ChargeAllocation], tax: _Tax) -> None:
    # Overcaptured money is refunded first, whichever charge the refund is of: refunding a
    # duplicate charge is no sales return.
    excess: Counter[str] = Counter()
    allocated: Counter[str] = Counter()
    for share in shares:
        excess[share.charge.amount.currency] += share.captured_minor - share.allocated_minor
        allocated[share.charge.amount.currency] += share.allocated_minor
    for share in shares:
        for refund in _succeeded_refunds(share):
            currency, amount = refund.amount.currency, refund.amount.amount_minor
            if currency != share.charge.amount.currency:
                _book_refund(legs, refund, SUSPENSE, amount)
                continue
            from_excess = min(excess[currency], amount)
            returned = min(allocated[currency], amount - from_excess)
            excess[currency] -= from_excess
            allocated[currency] -= returned
            tax_minor = tax.in_refund(refund.reference, returned)
            business = {SUSPENSE: amount - returned, RETURNS: returned - tax_minor, TAX: tax_minor}
            for account, part in business.items():
                legs.add(account, _other_side(legs, refund), currency, part)
            _settle_refund(legs, refund)


def _succeeded_refunds(share: payment_state.ChargeAllocation) -> Iterator[Snapshot]:
    """Yield the refunds of a charge that were debited from the provider's balance."""
    yield from (r for r in share.refunds if r.status == RefundStatus.SUCCEEDED)
    if share.externally_refunded_minor:
        yield _external_refund(share.charge, share.externally_refunded_minor)


def _external_refund(charge: Snapshot, refunded_minor: int) -> Snapshot:
    settled, captured = charge.settled, payment_state.captured_minor(charge)
    if settled is not None and captured:
        # Only the charge's own rate is known, so it is used.
        part = round_half_even(settled.amount_minor * refunded_minor, captured)
        settled = Money(part, settled.currency)
    return Snapshot(
        kind=ObjectKind.REFUND,
        reference=f"{charge.reference} refunded elsewhere",
        status=RefundStatus.SUCCEEDED,
        amount=Money(refunded_minor, charge.amount.currency),
        settled=settled,
        parent_reference=charge.reference,
    )


def _other_side(legs: _Legs, refund: Snapshot) -> str:
    settled = refund.settled
    same = settled is None or settled.currency == refund.amount.currency
    return legs.receivable if same else CLEARING


def _settle_refund(legs: _Legs, refund: Snapshot) -> None:
    settled = refund.settled
    if settled is not None and settled.currency != refund.amount.currency:
        legs.add(CLEARING, legs.receivable, settled.currency, settled.amount_minor)


def _book_refund(legs: _Legs, refund: Snapshot, business: str, amount_minor: int) -> None:
    if refund.status == RefundStatus.SUCCEEDED:
        legs.add(business, _other_side(legs, refund), refund.amount.currency, amount_minor)
        _settle_refund(legs, refund)


def _book_disputes(legs: _Legs, disputes: Iterable[Snapshot]) -> None:
    for dispute in disputes:
        lost = dispute.status == DisputeStatus.LOST
        account = DISPUTE_LOSSES if lost else DISPUTES_HELD
        held_minor = dispute.withdrawn_minor - dispute.reinstated_minor
        legs.add(account, legs.receivable, dispute.amount.currency, held_minor)


def _book_fees(legs: _Legs, fees: Iterable[Snapshot]) -> None:
    for fee in fees:
        if fee.status != MovementStatus.FAILED:
            legs.add(legs.fees, legs.receivable, fee.amount.currency, fee.amount.amount_minor)
