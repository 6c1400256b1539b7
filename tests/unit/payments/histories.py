"""True histories of one payment at a provider, and what the provider owes at their end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from bursar.money import Money
from bursar.payments import accounting, payment_state
from bursar.providers.interface import ObjectKind, Snapshot

ACCOUNT = "bank-eu"
TRUE_START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Provider:
    """
    A provider that never errs: `news` tells each change, `owed` is its balance by currency.

    With *settles_in* everything reaches the balance in that currency, at two units for three.
    """

    amount_minor: int = 1000
    currency: str = "EUR"
    settles_in: str = ""
    #: Whether refunds that are objects are told in the charge's running total too.
    counts: bool = False
    news: list[Snapshot] = field(default_factory=list)
    owed: Counter[str] = field(default_factory=Counter)
    now: dict[tuple[str, str], Snapshot] = field(default_factory=dict)
    #: Our refunds: id -> references of the objects that carry it out.
    ours: dict[str, list[str]] = field(default_factory=dict)

    def settled(self, amount_minor: int) -> Money | None:
        return Money(amount_minor * 2 // 3, self.settles_in) if self.settles_in else None

    def tell(self, snapshot: Snapshot) -> Snapshot:
        name = (snapshot.kind, snapshot.reference)
        before = self.now.get(name)
        # The clock of each object's source is off by hours, and some run backwards.
        ticks = (len(self.news) * 7919) % 23 - 11
        told = replace(
            snapshot,
            version=before.version + 1 if before else 1,
            occurred_at=TRUE_START + timedelta(hours=ticks),
        )
        self.now[name] = told
        self.news.append(told)
        return told

    def balance(self, told: Snapshot, amount_minor: int, settled_minor: int | None = None) -> None:
        if settled_minor is None or not self.settles_in:
            self.owed[told.amount.currency] += amount_minor
        else:
            self.owed[self.settles_in] += settled_minor

    def balance_now(self) -> dict[str, int]:
        """What is owed, without the currencies of which nothing is."""
        return {currency: amount for currency, amount in self.owed.items() if amount}

    def charge(self, status: str, *, captured_minor: int = 0, reference: str = "ch_1") -> Snapshot:
        known = self.now.get((ObjectKind.CHARGE, reference))
        before = known.captured_minor if known else 0
        settled = self.settled(captured_minor) if captured_minor else None
        told = self.tell(
            Snapshot(
                kind=ObjectKind.CHARGE,
                reference=reference,
                status=status,
                amount=Money(self.amount_minor, self.currency),
                captured_minor=captured_minor,
                refunded_minor=known.refunded_minor if known else 0,
                settled=settled,
            )
        )
        was = self.settled(before)
        more = settled.amount_minor - (was.amount_minor if was else 0) if settled else None
        self.balance(told, captured_minor - before, more)
        return told

    def refund(
        self,
        amount_minor: int,
        *,
        reference: str,
        status: str = "succeeded",
        of: str = "ch_1",
        ours: str = "",
    ) -> None:
        before = self.now.get((ObjectKind.REFUND, reference))
        settled = self.settled(amount_minor)
        told = self.tell(
            Snapshot(
                kind=ObjectKind.REFUND,
                reference=reference,
                status=status,
                amount=Money(amount_minor, self.currency),
                parent_reference=of,
                settled=settled,
                key=f"att_{reference}" if ours else "",
            )
        )
        if ours:
            self.ours.setdefault(ours, []).append(reference)
        was, is_now = before is not None and before.status == "succeeded", status == "succeeded"
        sign = int(was) - int(is_now)
        self.balance(told, sign * amount_minor, sign * settled.amount_minor if settled else None)
        if self.counts and is_now and not was:
            charge = self.now[ObjectKind.CHARGE, of]
            self.tell(replace(charge, refunded_minor=charge.refunded_minor + amount_minor))

    def refund_elsewhere(self, amount_minor: int, *, of: str = "ch_1") -> None:
        """Given back by hand in the provider's own pages; only the running total tells."""
        charge = self.now[ObjectKind.CHARGE, of]
        total = charge.refunded_minor + amount_minor
        told = self.tell(replace(charge, refunded_minor=total))
        self.balance(told, -amount_minor)

    def dispute(
        self,
        status: str,
        *,
        withdrawn_minor: int = 0,
        reinstated_minor: int = 0,
        number: int = 1,
        currency: str = "",
    ) -> None:
        before = self.now.get((ObjectKind.DISPUTE, "dp_1"))
        told = self.tell(
            Snapshot(
                kind=ObjectKind.DISPUTE,
                reference="dp_1",
                status=status,
                amount=Money(self.amount_minor, currency or self.settles_in or self.currency),
                withdrawn_minor=withdrawn_minor,
                reinstated_minor=reinstated_minor,
                dispute_stage=number,
                parent_reference="ch_1",
            )
        )
        held = withdrawn_minor - reinstated_minor
        held -= before.withdrawn_minor - before.reinstated_minor if before else 0
        self.owed[told.amount.currency] -= held

    def fee(self, amount_minor: int, *, reference: str = "ch_1") -> None:
        before = self.now.get((ObjectKind.FEE, reference))
        currency = self.settles_in or self.currency
        self.tell(
            Snapshot(
                kind=ObjectKind.FEE,
                reference=reference,
                status="posted",
                amount=Money(amount_minor, currency),
                parent_reference="ch_1",
            )
        )
        self.owed[currency] -= amount_minor - (before.amount.amount_minor if before else 0)

    def commands(self, *, tax_minor: int = 160, closed: str = "") -> payment_state.Commands:
        amounts = {
            name: self.now[ObjectKind.REFUND, refs[0]].amount for name, refs in self.ours.items()
        }
        return payment_state.Commands(
            amount_minor=self.amount_minor,
            tax_minor=tax_minor,
            currency=self.currency,
            closed_status=closed,
            refunds=tuple(
                payment_state.RefundCommand(
                    refund_id=name,
                    amount_minor=amounts[name].amount_minor,
                    tax_minor=accounting.round_half_even(
                        tax_minor * amounts[name].amount_minor, self.amount_minor
                    ),
                    references=tuple(sorted(set(refs))),
                )
                for name, refs in self.ours.items()
            ),
        )


class Books:
    """Transfers in memory; `post` appends what the target lacks, as the ledger does."""

    def __init__(self) -> None:
        self.transfers: list[tuple[str, str, int]] = []

    def post(self, target: accounting.Target) -> None:
        due: Counter[tuple[str, str]] = Counter()
        for (debit, credit), amount in target.items():
            due[debit, credit] += amount
        for debit, credit, amount in self.transfers:
            due[debit, credit] -= amount
        for (debit, credit), amount in due.items():
            if amount:
                self.transfers.append((debit, credit, amount))

    def balances(self) -> dict[str, int]:
        """Debits less credits of every account that is not level."""
        balances: Counter[str] = Counter()
        for debit, credit, amount in self.transfers:
            assert debit.rpartition(":")[2] == credit.rpartition(":")[2]
            balances[debit] += amount
            balances[credit] -= amount
        return {account: amount for account, amount in sorted(balances.items()) if amount}


def state_of(
    commands: payment_state.Commands,
    news: Sequence[Snapshot],
    attempts: Sequence[payment_state.AttemptSummary] = (),
) -> payment_state.PaymentState:
    return payment_state.fold(commands, attempts, news)


def balances_of(
    commands: payment_state.Commands,
    news: Sequence[Snapshot],
    attempts: Sequence[payment_state.AttemptSummary] = (),
) -> dict[str, int]:
    """The balance of every account when all of *news* is folded at once."""
    books = Books()
    state = state_of(commands, news, attempts)
    books.post(accounting.target_balances(commands=commands, state=state, provider_account=ACCOUNT))
    return books.balances()


def receivables(balances: dict[str, int]) -> dict[str, int]:
    """The receivable of each currency."""
    prefix = f"receivable/{ACCOUNT}:"
    return {
        account.removeprefix(prefix): amount
        for account, amount in balances.items()
        if account.startswith(prefix)
    }


# --- Named courses ------------------------------------------------------------------------------


def _captured_in_parts() -> Provider:
    provider = Provider()
    provider.charge("authorized")
    provider.charge("partially_captured", captured_minor=400)
    provider.fee(12)
    provider.charge("captured", captured_minor=900)
    provider.fee(27)
    provider.refund(300, reference="re_1", ours="re_a")
    return provider


def _refunded_twice() -> Provider:
    provider = Provider()
    provider.charge("captured", captured_minor=1000)
    provider.refund(1000, reference="re_1", status="pending", ours="re_a")
    provider.refund(1000, reference="re_1", ours="re_a")
    provider.refund(1000, reference="re_1", status="failed", ours="re_a")
    provider.refund(1000, reference="re_2", status="pending", ours="re_b")
    provider.refund(1000, reference="re_2", ours="re_b")
    return provider


def _disputed_twice() -> Provider:
    provider = Provider()
    provider.charge("captured", captured_minor=1000)
    provider.dispute("inquiry")
    provider.dispute("needs_response", withdrawn_minor=1000)
    provider.dispute("won", withdrawn_minor=1000, reinstated_minor=1000)
    provider.dispute("needs_response", withdrawn_minor=2000, reinstated_minor=1000, number=2)
    provider.dispute("lost", withdrawn_minor=2000, reinstated_minor=1000, number=2)
    return provider


def _abroad() -> Provider:
    provider = Provider(currency="USD", settles_in="EUR")
    provider.charge("captured", captured_minor=1000)
    provider.fee(20)
    provider.refund(300, reference="re_1", ours="re_a")
    provider.refund(300, reference="re_2")
    provider.dispute("needs_response", withdrawn_minor=266)
    provider.dispute("won", withdrawn_minor=266, reinstated_minor=266)
    return provider


def _charged_twice() -> Provider:
    provider = Provider()
    provider.charge("captured", captured_minor=1000)
    provider.charge("captured", captured_minor=1000, reference="ch_2")
    provider.fee(15)
    provider.fee(15, reference="ch_2")
    provider.refund(1000, reference="re_1", of="ch_2")
    provider.refund(250, reference="re_2", ours="re_a")
    return provider


def _refunded_elsewhere() -> Provider:
    provider = Provider()
    provider.charge("authorized")
    provider.charge("expired")
    provider.charge("captured", captured_minor=1000)
    provider.refund_elsewhere(250)
    provider.refund_elsewhere(100)
    provider.fee(30)
    return provider


COURSES = {
    "captured in parts": _captured_in_parts,
    "refunded twice": _refunded_twice,
    "disputed twice": _disputed_twice,
    "abroad": _abroad,
    "charged twice": _charged_twice,
    "refunded elsewhere": _refunded_elsewhere,
}


# --- Random courses -----------------------------------------------------------------------------


@st.composite
def providers(draw: st.DrawFn) -> Provider:
    """A provider after a true history of 1 to about 14 changes."""
    dice = random.Random(draw(st.integers(0, 2**32)))
    amount = dice.choice([1, 7, 1000, 99_999])
    provider = Provider(amount_minor=amount, settles_in=dice.choice(["", "", "USD"]))
    by_hand = dice.random() < 0.3
    provider.counts = dice.random() < 0.5
    captured = _collect(provider, dice)
    left, held, number, paid = captured, 0, 1, 0
    refunds: list[tuple[str, int]] = []
    for step in range(dice.randrange(9)):
        action = dice.choice(["refund", "fail", "elsewhere", "fee", "take", "give"])
        if action == "refund" and left and not by_hand:
            part = dice.randint(1, left)
            reference, ours = f"re_{step}", dice.choice(["", f"ours_{step}"])
            if dice.random() < 0.5:
                provider.refund(part, reference=reference, status="pending", ours=ours)
            provider.refund(part, reference=reference, ours=ours)
            refunds.append((reference, part))
            left -= part
        elif action == "fail" and refunds:
            reference, part = refunds.pop()
            ours = next((n for n, refs in provider.ours.items() if reference in refs), "")
            provider.refund(part, reference=reference, status="failed", ours=ours)
            left += part
        elif action == "elsewhere" and left and by_hand and not provider.settles_in:
            part = dice.randint(1, left)
            provider.refund_elsewhere(part)
            left -= part
        elif action == "fee":
            provider.fee(provider.now[ObjectKind.CHARGE, "ch_1"].captured_minor // 50 + step)
        elif action == "take" and not held and captured:
            held += captured
            provider.dispute(
                "needs_response", withdrawn_minor=paid + held, reinstated_minor=paid, number=number
            )
        elif action == "give" and held:
            paid, held = paid + held, 0
            provider.dispute("won", withdrawn_minor=paid, reinstated_minor=paid, number=number)
            number += 1
    return provider


def _collect(provider: Provider, dice: random.Random) -> int:
    """Let the charge come to be, in one of the ways it can; returns what was captured."""
    amount = provider.amount_minor
    way = dice.choice(["at once", "in parts", "after all", "never"])
    if way == "at once":
        provider.charge("captured", captured_minor=amount)
        return amount
    if way == "never":
        provider.charge("requires_action")
        provider.charge("declined")
        return 0
    provider.charge("pending")
    provider.charge("authorized")
    part = dice.randint(1, amount)
    if way == "after all":
        provider.charge("expired")
    elif part > 1:
        provider.charge("partially_captured", captured_minor=part // 2)
    provider.charge("captured", captured_minor=part)
    return part
