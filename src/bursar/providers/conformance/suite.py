"""Conformance cases: declaration, requirements, execution, and the assertions they use."""

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

#: Cases wait until a lookup is final only where `lookup_final_after` is at most this.
LOOKUP_WAIT_MAX = timedelta(seconds=5)

_STATUSES: Mapping[ObjectKind, frozenset[str]] = {
    ObjectKind.CHARGE: frozenset(interface.ChargeStatus),
    ObjectKind.REFUND: frozenset(interface.RefundStatus),
    ObjectKind.DISPUTE: frozenset(interface.DisputeStatus),
    ObjectKind.FEE: frozenset(interface.MovementStatus),
    ObjectKind.PAYOUT: frozenset(interface.MovementStatus),
}


#: Returns the headers and body of a webhook of the provider, signed at the given time.
WebhookFactory = Callable[[Any, datetime], tuple[Mapping[str, str], bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """
    The test methods and abilities of a provider's test account.

    *approved*, *declined*, *timeout_after* (carried out, no response), *lost* (never received) and
    *disputed* are values of `ChargeRequest.method`; "" where the account has none. *faults* maps
    fault names (see `conformance.faults`) to methods; a fault affects the first call of a key.
    *sample_webhook* returns a webhook with a valid signature, *foreign_webhook* one that belongs to
    another account of the provider. The cases on amounts charge in each of *currencies*. With
    *multicapture* an authorization can be captured in several parts; else the first capture
    releases the rest.
    """

    approved: str = "tok_approved"
    declined: str = ""
    timeout_after: str = ""
    lost: str = ""
    disputed: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    multicapture: bool = True
    currencies: tuple[str, ...] = ("JPY", "EUR", "KWD", "CLF")
    sample_webhook: WebhookFactory | None = None
    foreign_webhook: WebhookFactory | None = None


class Verdict(StrEnum):
    """The result of one case."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_SUPPORTED = "not supported"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case's verdict; *detail* has the broken promise, or what the provider lacks."""

    name: str
    verdict: Verdict
    detail: str = ""
    seconds: float = 0.0


class ConformanceFailure(AssertionError):
    """The provider breaks a promise of the interface."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A provider instance for one case, with the methods of its test account."""

    provider: Any  # Any: optional methods are called where `capabilities` lists them
    methods: Conformance

    async def charge(
        self, amount_minor: int = 1_000, *, currency: str = "", key: str = "", **more: Any
    ) -> Result:
        """Charge, with the approving method and a new key by default."""
        request = ChargeRequest(
            key=key or new_key(),
            amount=Money(amount_minor, currency or self.currency),
            method=more.pop("method", self.methods.approved),
            **more,
        )
        return require_valid_result(await self.provider.charge(request))

    async def refund(self, reference: str, amount_minor: int, *, key: str = "") -> Result:
        """Refund *amount_minor* of the charge *reference* in `currency`."""
        amount = Money(amount_minor, self.currency)
        request = interface.RefundRequest(key=key or new_key(), reference=reference, amount=amount)
        return require_valid_result(await self.provider.refund(request))

    async def status(self, operation: Operation, *, key: str = "", reference: str = "") -> Result:
        """Look up the status of an operation."""
        request = interface.StatusRequest(
            operation=operation, key=key or new_key(), reference=reference
        )
        return require_valid_result(await self.provider.get_status(request))

    @property
    def currency(self) -> str:
        """The currency of cases that do not test currencies: EUR where supported."""
        supported = self.methods.currencies
        return "EUR" if "EUR" in supported else supported[0]


@dataclass(frozen=True, slots=True)
class Case:
    """One promise of the interface: its name, what it requires of a provider, and its check."""

    name: str
    needs: tuple[str, ...]
    run: Callable[[Trial], Awaitable[None]]

    def missing(self, provider: PaymentProvider, methods: Conformance) -> str:
        """Return what *provider* lacks for this case, comma-separated; "" if nothing."""
        supported = set(capabilities.capabilities(provider))
        texts = ("declined", "timeout_after", "lost", "disputed")
        for name in (*texts, "sample_webhook", "foreign_webhook"):
            if getattr(methods, name):
                supported.add(f"test method: {name}")
        supported |= {f"fault: {name}" for name in methods.faults}
        if methods.multicapture:
            supported.add("multicapture")
        for currency in methods.currencies:
            supported.add(f"currency with {money.exponent_of(currency)} decimals")
        if provider.lookup_final_after <= LOOKUP_WAIT_MAX:
            supported.add("lookup_final_after of at most 5 s")
        return ", ".join(need for need in self.needs if need not in supported)


_CASES: list[Case] = []


def case(*needs: str) -> Callable[[Callable[[Trial], Awaitable[None]]], Callable[..., Any]]:
    """Register a coroutine function as a case; its name, with spaces, is the case's name."""

    def register(run: Callable[[Trial], Awaitable[None]]) -> Callable[..., Any]:
        name = run.__name__.strip("_").replace("_", " ")
        _CASES.append(Case(name, needs, run))
        return run

    return register


def cases() -> tuple[Case, ...]:
    """Return all cases, in the order in which they run."""
    return tuple(_CASES)


def conformance_of(provider: PaymentProvider | type[PaymentProvider]) -> Conformance:
    """Return the provider's `conformance`, or the defaults where it declares none."""
    declared = getattr(provider, "conformance", None)
    return declared if isinstance(declared, Conformance) else Conformance()


async def run_suite(
    make: Callable[[], PaymentProvider], *, only: Iterable[Case] | None = None
) -> list[CaseResult]:
    """Run all cases, or *only* some, each with a new provider that is closed afterwards."""
    return [await run_case(make, case) for case in (cases() if only is None else only)]


async def run_case(
    make: Callable[[], PaymentProvider], case: Case, methods: Conformance | None = None
) -> CaseResult:
    """
    Run one case. Any exception counts as a failure of the provider.

    *methods* describes the test account, by default what the provider declares.
    """
    provider = make()
    methods = methods or conformance_of(provider)
    began = time.perf_counter()
    verdict, detail = Verdict.PASSED, ""
    try:
        if missing := case.missing(provider, methods):
            verdict, detail = Verdict.NOT_SUPPORTED, missing
        else:
            await case.run(Trial(provider, methods))
    except Exception as error:  # noqa: BLE001  (a provider under test may raise anything)
        verdict, detail = Verdict.FAILED, f"{type(error).__name__}: {error}"
    finally:
        await provider.close()
    seconds = time.perf_counter() - began
    return CaseResult(name=case.name, verdict=verdict, detail=detail, seconds=seconds)


# --- assertions of the cases ----------------------------------------------------------------------


def new_key() -> str:
    """Return an unused idempotency key."""
    return ids.new(ids.ATTEMPT)


def require(condition: object, message: str) -> None:
    """:raises ConformanceFailure: with *message*, unless *condition* is true."""
    if not condition:
        raise ConformanceFailure(message)


def require_equal(actual: object, expected: object, label: str) -> None:
    """:raises ConformanceFailure: if *actual* is not *expected*; *label* names the value."""
    require(actual == expected, f"{label} is {actual!r}, not {expected!r}")


def require_valid_result(result: Result) -> Result:
    """Check what holds for every result, and return it."""
    require(isinstance(result, Result), f"returned {type(result).__name__}, not a Result")
    require(isinstance(result.outcome, Outcome), f"{result.outcome!r} is not an Outcome")
    for one in result.snapshots:
        require(bool(one.reference), "a snapshot has no reference")
        require(
            one.status in _STATUSES[one.kind], f"{one.status!r} is not a status of a {one.kind}"
        )
        totals = (one.captured_minor, one.refunded_minor, one.withdrawn_minor, one.reinstated_minor)
        require(min(totals) >= 0, "a running total is negative")
    return result


def first_snapshot(result: Result, kind: ObjectKind) -> interface.Snapshot:
    """Return the first snapshot of *kind* in *result*."""
    snapshots = [one for one in result.snapshots if one.kind is kind]
    require(bool(snapshots), f"the result has no snapshot of a {kind}")
    return snapshots[0]


async def expect_refusal(call: Awaitable[Result], label: str) -> None:
    """Require a declined result, or a `BursarError` other than `OutcomeUnknown`."""
    try:
        result = await call
    except errors.OutcomeUnknown as error:
        raise ConformanceFailure(f"{label} left the outcome unknown") from error
    except errors.BursarError:
        return
    require_equal(result.outcome, Outcome.DECLINED, f"the outcome of {label}")


async def expect_unknown_outcome(call: Awaitable[Result]) -> None:
    """Require that the call raises `OutcomeUnknown`."""
    try:
        result = await call
    except errors.OutcomeUnknown:
        return
    raise ConformanceFailure(f"an operation without a response returned {result.outcome}")
