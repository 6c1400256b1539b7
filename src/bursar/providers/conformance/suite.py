"""How a case is written and run, and what it may ask of a provider."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bursar import errors, ids, money
from bursar.money import Money
from bursar.providers import capabilities, interface
from bursar.providers.interface import (
    ChargeRequest,
    ObjectKind,
    Operation,
    Outcome,
    PaymentProvider,
    Result,
)

#: "Not found" is only waited for where it is final soon.
SETTLING_MAX = timedelta(seconds=5)

_STATUSES: Mapping[ObjectKind, frozenset[str]] = {
    ObjectKind.CHARGE: frozenset(interface.ChargeStatus),
    ObjectKind.REFUND: frozenset(interface.RefundStatus),
    ObjectKind.DISPUTE: frozenset(interface.DisputeStatus),
    ObjectKind.FEE: frozenset(interface.MovementStatus),
    ObjectKind.PAYOUT: frozenset(interface.MovementStatus),
}


#: Makes a webhook of a provider, signed at a time: its headers and body.
Delivery = Callable[[Any, datetime], tuple[Mapping[str, str], bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """
    How a provider's test account is made to do what a case needs.

    Each text is a `ChargeRequest.method`, "" where there is none. *faults* has methods for what
    goes wrong on the way, by the names in `conformance.faults`; a method's fault strikes the first
    call of a key. *delivery* makes a webhook (headers and body) really signed at a given time,
    *foreign_delivery* one that is about another account than the provider account's own.
    *currencies* are tried one by one. Without *several_captures* one capture releases the rest.
    """

    approved: str = "tok_approved"
    declined: str = ""
    timeout_after: str = ""
    lost: str = ""
    disputed: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    several_captures: bool = True
    currencies: tuple[str, ...] = ("JPY", "EUR", "KWD", "CLF")
    delivery: Delivery | None = None
    foreign_delivery: Delivery | None = None


class Verdict(StrEnum):
    """What came of one case."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_OFFERED = "not offered"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case's verdict; *detail* says what was broken or is missing."""

    name: str
    verdict: Verdict
    detail: str = ""
    seconds: float = 0.0


class NotConforming(AssertionError):
    """The provider broke a promise of the interface."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A provider of its own for one case, and what is known of its test account."""

    provider: Any  # powers are called by name, once `capabilities` has found them
    methods: Conformance

    async def charge(
        self, amount_minor: int = 1_000, *, currency: str = "", key: str = "", **more: Any
    ) -> Result:
        """Charge with the approving method unless told otherwise."""
        request = ChargeRequest(
            key=key or new_key(),
            amount=Money(amount_minor, currency or self.currency),
            method=more.pop("method", self.methods.approved),
            **more,
        )
        return well_formed(await self.provider.charge(request))

    async def refund(self, reference: str, amount_minor: int, *, key: str = "") -> Result:
        """Refund a part of a charge in the first currency."""
        amount = Money(amount_minor, self.currency)
        request = interface.RefundRequest(key=key or new_key(), reference=reference, amount=amount)
        return well_formed(await self.provider.refund(request))

    async def status(self, operation: Operation, *, key: str = "", reference: str = "") -> Result:
        """Look an operation up."""
        request = interface.StatusRequest(
            operation=operation, key=key or new_key(), reference=reference
        )
        return well_formed(await self.provider.get_status(request))

    @property
    def currency(self) -> str:
        """The currency of cases that are not about currencies: euro where it is taken."""
        offered = self.methods.currencies
        return "EUR" if "EUR" in offered else offered[0]


@dataclass(frozen=True, slots=True)
class Case:
    """One promise: its name, what a provider needs to have made it, and the trial."""

    name: str
    needs: tuple[str, ...]
    run: Callable[[Trial], Awaitable[None]]

    def missing(self, provider: PaymentProvider, methods: Conformance) -> str:
        """What the provider does not offer; "" where the case can be tried."""
        offered = set(capabilities.capabilities(provider))
        texts = ("declined", "timeout_after", "lost", "disputed")
        for name in (*texts, "delivery", "foreign_delivery"):
            if getattr(methods, name):
                offered.add(f"test method: {name}")
        offered |= {f"fault: {name}" for name in methods.faults}
        if methods.several_captures:
            offered.add("several captures")
        for currency in methods.currencies:
            offered.add(f"a currency of {money.exponent_of(currency)} decimals")
        if provider.not_found_settles_after <= SETTLING_MAX:
            offered.add("not found is soon final")
        return ", ".join(need for need in self.needs if need not in offered)


_CASES: list[Case] = []


def case(*needs: str) -> Callable[[Callable[[Trial], Awaitable[None]]], Callable[..., Any]]:
    """Add a coroutine function to the suite; its name is the promise, *needs* what it takes."""

    def keep(run: Callable[[Trial], Awaitable[None]]) -> Callable[..., Any]:
        name = run.__name__.strip("_").replace("_", " ")
        _CASES.append(Case(name, needs, run))
        return run

    return keep


def cases() -> tuple[Case, ...]:
    """Every case, in the order they are run."""
    return tuple(_CASES)


def methods_of(provider: PaymentProvider | type[PaymentProvider]) -> Conformance:
    """What the provider says of its test account."""
    found = getattr(provider, "conformance", None)
    return found if isinstance(found, Conformance) else Conformance()


async def run(
    make: Callable[[], PaymentProvider], *, only: Iterable[Case] | None = None
) -> list[CaseResult]:
    """Try every case (or *only* some), each with a provider of its own that is closed after it."""
    return [await run_case(make, case) for case in (cases() if only is None else only)]


async def run_case(
    make: Callable[[], PaymentProvider], case: Case, methods: Conformance | None = None
) -> CaseResult:
    """
    Try one case; an exception of any kind is a failure of the provider.

    *methods* are those of the server behind it, by default what the provider says of it.
    """
    provider = make()
    methods = methods or methods_of(provider)
    began = time.perf_counter()
    verdict, detail = Verdict.PASSED, ""
    try:
        if missing := case.missing(provider, methods):
            verdict, detail = Verdict.NOT_OFFERED, missing
        else:
            await case.run(Trial(provider, methods))
    except Exception as error:  # noqa: BLE001  (a provider under test may raise anything)
        verdict, detail = Verdict.FAILED, f"{type(error).__name__}: {error}"
    finally:
        await provider.close()
    seconds = time.perf_counter() - began
    return CaseResult(name=case.name, verdict=verdict, detail=detail, seconds=seconds)


# --- what the cases say with ----------------------------------------------------------------


def new_key() -> str:
    """An idempotency key never used before."""
    return ids.new(ids.ATTEMPT)


def check(promise: object, broken: str) -> None:
    """Hold the provider to a promise. :raises NotConforming: if it was *broken*."""
    if not promise:
        raise NotConforming(broken)


def equal(actual: object, expected: object, what: str) -> None:
    """Compare. :raises NotConforming: if *what* is not as expected."""
    check(actual == expected, f"{what} is {actual!r}, not {expected!r}")


def well_formed(result: Result) -> Result:
    """Check what holds for every answer, and return it."""
    check(isinstance(result, Result), f"answered {type(result).__name__}, not a Result")
    check(isinstance(result.outcome, Outcome), f"{result.outcome!r} is no Outcome")
    for one in result.snapshots:
        check(bool(one.reference), "a snapshot has no reference")
        check(one.status in _STATUSES[one.kind], f"{one.status!r} is no status of a {one.kind}")
        totals = (one.captured_minor, one.refunded_minor, one.withdrawn_minor, one.reinstated_minor)
        check(min(totals) >= 0, "a running total is negative")
    return result


def failure_message(result: Result, kind: ObjectKind) -> interface.Snapshot:
    """The first object of *kind* that an answer tells of."""
    found = [one for one in result.snapshots if one.kind is kind]
    check(bool(found), f"the answer tells of no {kind}")
    return found[0]


async def refused(asked: Awaitable[Result], what: str) -> None:
    """A refusal is a declined result, or any of our errors that says nothing happened."""
    try:
        result = await asked
    except errors.OutcomeUnknown as error:
        raise NotConforming(f"{what} left the outcome unknown") from error
    except errors.BursarError:
        return
    equal(result.outcome, Outcome.DECLINED, f"the outcome of {what}")


async def unknown(asked: Awaitable[Result]) -> None:
    """Check that an operation without an answer says so."""
    try:
        result = await asked
    except errors.OutcomeUnknown:
        return
    raise NotConforming(f"an operation without an answer was told to be {result.outcome}")
